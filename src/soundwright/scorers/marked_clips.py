"""Clips whose events are known, in memory, dealt in shuffled batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soundwright.core.errors import UserError
from soundwright.core.records import Event
from soundwright.scorers.dealing import deal, deal_once
from soundwright.scorers.levels import Levels, pad_levels

ONSET_SHAPE = (0.3, 0.8, 1.0, 0.8, 0.3)
"""What an onset leaves in the target of the frames around it."""


@dataclass(frozen=True)
class MarkedBatch:
    """Whole clips as levels with their events frame by frame, padded with nothing."""

    levels: Tensor
    """[B, M, F] dB relative to each clip's peak."""
    activity: Tensor
    """[B, L, F] in {0, 1}: the label sounds."""
    onset: Tensor
    """[B, L, F] in [0, 1]: 1 where an event of the label begins, less beside it."""


class MarkedClips:
    """Implements `Batches[MarkedBatch]`: an endless sequence of shuffled passes over all clips.

    Args:
        waveforms: [C, N] or [N] each.
        events: Those of each waveform; labels that are not among `names` are left out.
        names: The detector's labels; their order gives the rows.
        levels: The detector's front end.
        sample_rate: Of all waveforms.
        batch_size: Clips a batch.
        seed: Of the order.

    Raises:
        UserError: No clips, or a clip that is silent.
        AudioError: A clip without samples, or with some that are not finite.
    """

    def __init__(
        self,
        waveforms: Sequence[Tensor],
        events: Sequence[Sequence[Event]],
        *,
        names: Sequence[str],
        levels: Levels,
        sample_rate: int,
        batch_size: int,
        seed: int,
    ) -> None:
        if len(waveforms) != len(events) or not events:
            raise UserError(f"{len(waveforms)} waveforms came with the events of {len(events)}.")
        self._rows = {name: row for row, name in enumerate(names)}
        mel = levels.config.mel
        self._frame_rate = mel.sample_rate / mel.hop_length
        self._events = [tuple(those) for those in events]
        # Half the memory; a hundredth of a decibel is nothing.
        self._clips = [
            read_untrimmed(levels, waveform, sample_rate, number).half()
            for number, waveform in enumerate(waveforms)
        ]
        self._batch_size, self._seed = batch_size, seed

    def __getitem__(self, index: int) -> MarkedBatch:
        """Batch `index` of the endless sequence."""
        return self._collate(
            deal(index, count=len(self._clips), batch_size=self._batch_size, seed=self._seed)
        )

    def everything(self) -> list[MarkedBatch]:
        """Every clip once, in the order given: for validation."""
        return [self._collate(rows) for rows in deal_once(len(self._clips), self._batch_size)]

    def _collate(self, rows: list[int]) -> MarkedBatch:
        levels = pad_levels([self._clips[row] for row in rows])
        activity = torch.zeros(len(rows), len(self._rows), levels.shape[2])
        onset = torch.zeros_like(activity)
        for place, row in enumerate(rows):
            for event in self._events[row]:
                if event.label in self._rows:
                    label = self._rows[event.label]
                    self._mark(activity[place, label], onset[place, label], event)
        return MarkedBatch(levels, activity, onset)

    def _mark(self, activity: Tensor, onset: Tensor, event: Event) -> None:
        first = min(round(event.onset * self._frame_rate), len(activity) - 1)
        last = max(first + 1, round(event.offset * self._frame_rate))
        activity[first:last] = 1
        reach = len(ONSET_SHAPE) // 2
        for number, height in enumerate(ONSET_SHAPE):
            frame = first + number - reach
            if 0 <= frame < len(onset):
                onset[frame] = max(float(onset[frame]), height)


def read_untrimmed(levels: Levels, waveform: Tensor, sample_rate: int, number: int) -> Tensor:
    """The levels [M, F] of clip `number`, with the silence around the sound.

    Raises:
        UserError: The clip is silent.
        AudioError: As `Levels.read`.
    """
    clip = levels.read(waveform, sample_rate, trim=False)
    if clip is None:
        raise UserError(f"Clip {number} is silent and teaches nothing.")
    return clip
