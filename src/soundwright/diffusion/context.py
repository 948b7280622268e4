"""Conditions as tokens that a network attends to, or adds to its times; each with a learned null.

| condition | token                                            | null                     |
|-----------|--------------------------------------------------|--------------------------|
| text      | states of the text encoder, or their masked mean | where no position counts |
| vector    | a linear layer of it                             | where its mask is False  |
| source    | an entry of a table                              | where there is none      |
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.core.protocols import TextStates
from soundwright.diffusion.conditions import Conditions

NULL_DEVIATION = 0.02
TIME_WAVES = 256
"""Sines and cosines of a time."""
LONGEST_WAVE = 10_000

TextForm = Literal["states", "pooled"]


class TextTokens(nn.Module):
    """Texts as tokens.

    Args:
        text_width: D of the text encoder.
        width: Of a token.
        form: Whether each state is a token, or their mean over valid positions the only one.
    """

    def __init__(self, text_width: int, width: int, form: TextForm) -> None:
        super().__init__()
        self.form = form
        self.project = nn.Linear(text_width, width)
        self.null = nn.Parameter(nn.init.normal_(torch.empty(width), std=NULL_DEVIATION))

    def forward(self, text: TextStates) -> tuple[Tensor, Tensor]:
        """[B, S, width] and a mask [B, S], of which each row has a valid position."""
        states, mask = text.states.to(self.null.dtype), text.mask
        present = mask.any(1)
        if self.form == "pooled":
            states, mask = pool_states(states, mask)[:, None], present[:, None]
        tokens = self.project(states)
        # The null stands in the first position of a text that is none.
        absent = F.pad(~present[:, None], (0, mask.shape[1] - 1))
        return torch.where(absent[..., None], self.null, tokens), mask | absent


class VectorToken(nn.Module):
    """A vector as one token, scaled so that its elements have variance one on average."""

    def __init__(self, vector_width: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(vector_width, width)
        self.null = nn.Parameter(nn.init.normal_(torch.empty(width), std=NULL_DEVIATION))

    def forward(self, conditions: Conditions) -> Tensor:
        """[B, width]."""
        if conditions.vector is None:
            return self.null.expand(len(conditions), -1)
        vector = conditions.vector.to(self.null.dtype)
        # Of length one as it comes: its elements would be small beside those of a state.
        token = self.project(vector * vector.shape[1] ** 0.5)
        return torch.where(conditions.vector_present[:, None], token, self.null)


class SourceToken(nn.Module):
    """The number of a data set as one token; the last row of the table is that of none."""

    def __init__(self, sources: int, width: int) -> None:
        super().__init__()
        self.sources = sources
        self.table = nn.Embedding(sources + 1, width)
        nn.init.normal_(self.table.weight, std=NULL_DEVIATION)

    def forward(self, conditions: Conditions) -> Tensor:
        """[B, width]."""
        device = self.table.weight.device
        if conditions.source is None:
            places = torch.full((len(conditions),), self.sources, device=device)
        else:
            source = conditions.source.to(device)
            known = (source >= 0) & (source < self.sources)
            places = torch.where(known, source, self.sources)
        return self.table(places)


class ExtraTokens(nn.Module):
    """The conditions besides the text, those of them that a network knows, a token each."""

    def __init__(self, vector_width: int | None, sources: int | None, width: int) -> None:
        super().__init__()
        self.vector = None if vector_width is None else VectorToken(vector_width, width)
        self.source = None if sources is None else SourceToken(sources, width)

    def forward(self, conditions: Conditions) -> list[Tensor]:
        """[B, width] each."""
        return [part(conditions) for part in (self.vector, self.source) if part is not None]


class TimeToken(nn.Module):
    """Times as waves, then a layer with a hidden one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(TIME_WAVES, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, times: Tensor) -> Tensor:
        """Times [B] as networks read them, 0 to 1000, to [B, width]."""
        weight = self.layers[0].weight
        assert isinstance(weight, Tensor)
        return self.layers(make_waves(times.to(weight.device), TIME_WAVES).to(weight.dtype))


def make_waves(places: Tensor, count: int) -> Tensor:
    """Cosines, then sines, of places [B]: [B, count] fp32, slower from one to the next."""
    half = count // 2
    rates = LONGEST_WAVE ** (-torch.arange(half, device=places.device, dtype=torch.float32) / half)
    angles = places.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


def pool_states(states: Tensor, mask: Tensor) -> Tensor:
    """The mean [B, D] of the states [B, S, D] at valid positions [B, S]; zeros where none is.

    A mean that takes padding in depends on how long the other texts of a batch are.
    """
    total = torch.where(mask[..., None], states, 0).sum(1)
    return total / mask.sum(1, keepdim=True).clamp_min(1)
