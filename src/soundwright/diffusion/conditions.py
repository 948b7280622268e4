"""What a sound is to be made by: named conditions, each of which may be absent from a row.

An absent condition is not a zero: every network has a null of its own for it, which it learns from
the items whose conditions are hidden in training, and which guidance leads away from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from soundwright.core.protocols import TextStates

NO_SOURCE = -1
"""Stands for no data set."""


@dataclass(frozen=True)
class Conditions:
    """The conditions of B items; a network takes of them what it knows.

    None says that no item has the condition, as a mask of False does.
    """

    text: TextStates
    """A row without any valid position is no text."""
    vector: Tensor | None = None
    """[B, V] float: of the sound wanted, or of a text, in a space that both share, as CLAP's."""
    vector_mask: Tensor | None = None
    """[B] bool: rows that have one; all of them if not given."""
    source: Tensor | None = None
    """[B] int64: number of the data set that the sound shall seem to be of; `NO_SOURCE` of none."""

    def __len__(self) -> int:
        """B."""
        return len(self.text.states)

    @property
    def vector_present(self) -> Tensor:
        """[B] bool: `vector_mask`, whether it is given or not."""
        if self.vector_mask is not None:
            return self.vector_mask
        has = self.vector is not None
        return torch.full((len(self),), has, device=self.text.states.device)

    def to(self, device: torch.device) -> Conditions:
        """The same on another device."""
        text = self.text
        return Conditions(
            TextStates(text.states.to(device), text.mask.to(device), text.sentence.to(device)),
            *(None if part is None else part.to(device) for part in self._others()),
        )

    def repeat(self, times: int) -> Conditions:
        """All rows, so many times one after another."""

        def again(part: Tensor) -> Tensor:
            return part.repeat(times, *[1] * (part.dim() - 1))

        text = self.text
        return Conditions(
            TextStates(again(text.states), again(text.mask), again(text.sentence)),
            *(None if part is None else again(part) for part in self._others()),
        )

    def hide(self, rows: Tensor) -> Conditions:
        """The same, but that the rows [B] bool have none at all."""
        rows = rows.to(self.text.mask.device)
        text = self.text
        return Conditions(
            TextStates(text.states, text.mask & ~rows[:, None], text.sentence),
            self.vector,
            self.vector_mask if self.vector is None else self.vector_present & ~rows,
            None if self.source is None else self.source.masked_fill(rows, NO_SOURCE),
        )

    def nulls(self) -> Conditions:
        """As many rows of which every condition is absent: what *unconditional* means."""
        return self.hide(torch.ones(len(self), dtype=torch.bool))

    def join(self, below: Conditions) -> Conditions:
        """These rows, then those of others; what only one side has is absent from the other's."""
        parts = (self, below)
        length = max(part.text.states.shape[1] for part in parts)
        texts = [_lengthen(part.text, length) for part in parts]
        vectors = [part.vector for part in parts if part.vector is not None]
        sources = [part.source for part in parts if part.source is not None]
        return Conditions(
            TextStates(
                torch.cat([text.states for text in texts]),
                torch.cat([text.mask for text in texts]),
                torch.cat([text.sentence for text in texts]),
            ),
            torch.cat([_or_zeros(part, vectors[0]) for part in parts]) if vectors else None,
            torch.cat([part.vector_present for part in parts]) if vectors else None,
            torch.cat([_or_no_source(part) for part in parts]) if sources else None,
        )

    def _others(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        return self.vector, self.vector_mask, self.source


def _lengthen(text: TextStates, length: int) -> TextStates:
    missing = length - text.states.shape[1]
    return TextStates(
        F.pad(text.states, (0, 0, 0, missing)), F.pad(text.mask, (0, missing)), text.sentence
    )


def _or_zeros(part: Conditions, like: Tensor) -> Tensor:
    return like.new_zeros(len(part), like.shape[1]) if part.vector is None else part.vector


def _or_no_source(part: Conditions) -> Tensor:
    if part.source is not None:
        return part.source
    return torch.full((len(part),), NO_SOURCE, device=part.text.states.device)
