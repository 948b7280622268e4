"""A gap in a sound, filled: made from its left side, chosen by its right one.

The model reads from left to right and cannot see what follows the gap. It makes several fillings
of what precedes, and that one is kept after which the model finds the right side likeliest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from soundwright.core.protocols import TextStates
from soundwright.lm.decoding import DecodingConfig, Progress, generate
from soundwright.lm.engine import Engine
from soundwright.lm.likelihood import measure_likelihood
from soundwright.lm.model import AudioLm


class Filling(NamedTuple):
    """What was made for a gap."""

    tokens: Tensor
    """[K, G] int64: the one that was kept."""
    scores: tuple[float, ...]
    """For each that was made, how likely the right side is after it, in nats a token; zero where
    there is no right side."""
    kept: int
    """Number of the one that was kept: of equals the first."""


def fill_gap(
    engine: Engine,
    lm: AudioLm,
    text: TextStates,
    left: Tensor,
    right: Tensor,
    frames: int,
    seeds: Sequence[int],
    config: DecodingConfig,
    *,
    negative: TextStates | None = None,
    progress: Progress | None = None,
) -> Filling:
    """Make one filling for each seed and keep the one that leads best to the right side.

    Args:
        engine: The model, ready to decode.
        lm: The model, to read both sides with.
        text: Of the one sound.
        left: [K, L] int64, what precedes the gap; L may be 0.
        right: [K, R] int64, what follows it; R may be 0.
        frames: G, the length of the gap.
        seeds: One for each filling.
        config: How to sample.
        negative: A text to be guided away from, in the place of none.
        progress: As in `decoding.generate`.

    Raises:
        UserError: As `decoding.generate`.
    """
    count = len(seeds)
    made = generate(
        engine,
        _repeat(text, count),
        left.shape[-1] + frames,
        seeds,
        config,
        prompt_tokens=left[None].expand(count, -1, -1) if left.shape[-1] else None,
        negative=None if negative is None else _repeat(negative, count),
        progress=progress,
    )
    if right.shape[-1] == 0:
        return Filling(made[0, :, left.shape[-1] :], (0.0,) * count, 0)
    scores = []
    for row in made:
        whole = torch.cat([row, right.to(row.device)], dim=-1)
        likelihood, _ = measure_likelihood(lm, text, whole, config, first=row.shape[-1])
        scores.append(float(likelihood))
    kept = max(range(count), key=lambda number: (scores[number], -number))
    return Filling(made[kept, :, left.shape[-1] :], tuple(scores), kept)


def _repeat(text: TextStates, count: int) -> TextStates:
    return TextStates(text.states.expand(count, -1, -1), text.mask.expand(count, -1), text.sentence)
