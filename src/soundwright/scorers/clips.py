"""Labelled clips in memory, dealt in shuffled batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soundwright.core.errors import UserError, nearest
from soundwright.scorers.dealing import deal, deal_once
from soundwright.scorers.levels import Levels, pad_levels


@dataclass(frozen=True)
class LabelledBatch:
    """Whole clips as levels, padded to the longest one."""

    levels: Tensor
    """[B, M, F] dB relative to each clip's peak."""
    mask: Tensor
    """[B, F] bool: False beyond the end of a clip."""
    labels: Tensor
    """[B] int64."""


class LabelledClips:
    """Implements `Batches[LabelledBatch]`: an endless sequence of shuffled passes over all clips.

    Every clip comes once in each pass; a batch may reach over the end of one.

    Args:
        waveforms: [C, N] or [N] each.
        labels: One a waveform, each of `names`.
        names: The tagger's labels; their order gives the numbers.
        levels: The tagger's front end.
        sample_rate: Of all waveforms.
        batch_size: Clips a batch.
        seed: Of the order.

    Raises:
        UserError: No clips, an unknown label, or a clip that is silent.
        AudioError: A clip without samples, or with some that are not finite.
    """

    def __init__(
        self,
        waveforms: Sequence[Tensor],
        labels: Sequence[str],
        *,
        names: Sequence[str],
        levels: Levels,
        sample_rate: int,
        batch_size: int,
        seed: int,
    ) -> None:
        if len(waveforms) != len(labels) or not labels:
            raise UserError(f"{len(waveforms)} waveforms came with {len(labels)} labels.")
        self._numbers = torch.tensor([_number(label, names) for label in labels])
        self._clips = [
            _read(levels, waveform, sample_rate, number)
            for number, waveform in enumerate(waveforms)
        ]
        self._batch_size, self._seed = batch_size, seed

    def __len__(self) -> int:
        """Number of batches that hold every clip at least once."""
        return -(-len(self._clips) // self._batch_size)

    def __getitem__(self, index: int) -> LabelledBatch:
        """Batch `index` of the endless sequence."""
        return self._collate(
            deal(index, count=len(self._clips), batch_size=self._batch_size, seed=self._seed)
        )

    def everything(self) -> list[LabelledBatch]:
        """Every clip once, in the order given: for validation."""
        return [self._collate(rows) for rows in deal_once(len(self._clips), self._batch_size)]

    def _collate(self, rows: list[int]) -> LabelledBatch:
        clips = [self._clips[row] for row in rows]
        lengths = torch.tensor([clip.shape[1] for clip in clips])
        levels = pad_levels(clips)
        mask = torch.arange(levels.shape[2]) < lengths[:, None]
        return LabelledBatch(levels, mask, self._numbers[rows])


def _number(label: str, names: Sequence[str]) -> int:
    if label not in names:
        raise UserError(f"The label {label!r} is unknown; {nearest(label, names)}")
    return list(names).index(label)


def _read(levels: Levels, waveform: Tensor, sample_rate: int, number: int) -> Tensor:
    clip = levels.read(waveform, sample_rate)
    if clip is None:
        raise UserError(f"Clip {number} is silent and cannot stand for a label.")
    return clip
