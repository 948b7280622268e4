"""Sounds with the vectors of their captions, in memory, dealt in shuffled batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soundwright.core.errors import UserError
from soundwright.scorers.dealing import deal, deal_once
from soundwright.scorers.levels import Levels, pad_levels
from soundwright.scorers.marked_clips import read_untrimmed


@dataclass(frozen=True)
class Pairing:
    """A text that belongs to a sound, and one that nearly does."""

    sound: int
    """Number of the sound."""
    text: Tensor
    """[D] of the text that belongs to it, as `matching.text_vectors` makes it."""
    content: str
    """What the text tells; equal for texts that the same sounds fit."""
    contrast: Tensor
    """[D] of a text that the sound does not fit."""
    contrast_content: str


@dataclass(frozen=True)
class MatchedBatch:
    """Whole clips as levels with texts, padded with nothing."""

    levels: Tensor
    """[B, M, F] dB relative to each clip's peak."""
    texts: Tensor
    """[B, D]."""
    contrasts: Tensor
    """[B, D] of the contrasting texts."""
    same: Tensor
    """[B, 2B] bool: text, or contrast, j tells what text i tells."""


class MatchedClips:
    """Implements `Batches[MatchedBatch]`: an endless sequence of shuffled passes over all pairings.

    Args:
        waveforms: [C, N] or [N] each.
        pairings: Texts of them.
        levels: The matcher's front end.
        sample_rate: Of all waveforms.
        batch_size: Pairings a batch.
        seed: Of the order.

    Raises:
        UserError: No pairings, or a clip that is silent.
        AudioError: A clip without samples, or with some that are not finite.
    """

    def __init__(
        self,
        waveforms: Sequence[Tensor],
        pairings: Sequence[Pairing],
        *,
        levels: Levels,
        sample_rate: int,
        batch_size: int,
        seed: int,
    ) -> None:
        if not pairings:
            raise UserError("There is no text to match sounds with.")
        self._pairings = list(pairings)
        self._clips = [
            read_untrimmed(levels, waveform, sample_rate, number).half()
            for number, waveform in enumerate(waveforms)
        ]
        self._batch_size, self._seed = batch_size, seed

    def __getitem__(self, index: int) -> MatchedBatch:
        """Batch `index` of the endless sequence."""
        return self._collate(
            deal(index, count=len(self._pairings), batch_size=self._batch_size, seed=self._seed)
        )

    def everything(self) -> list[MatchedBatch]:
        """Every pairing once, in the order given: for validation."""
        return [self._collate(rows) for rows in deal_once(len(self._pairings), self._batch_size)]

    def _collate(self, rows: list[int]) -> MatchedBatch:
        chosen = [self._pairings[row] for row in rows]
        told = [one.content for one in chosen] + [one.contrast_content for one in chosen]
        return MatchedBatch(
            levels=pad_levels([self._clips[one.sound] for one in chosen]),
            texts=torch.stack([one.text for one in chosen]),
            contrasts=torch.stack([one.contrast for one in chosen]),
            same=torch.tensor([[one.content == other for other in told] for one in chosen]),
        )
