"""The Fréchet distance for infinitely many clips (Chong and Forsyth 2020; FAD∞ in audio).

The plug-in distance of n clips is too large by about slope/n. It is measured on subsets of several
sizes, a line is fitted in 1/n, and its value at 1/n = 0 is the extrapolated distance.

Subsets are drawn *without* replacement: a draw with replacement from N clips behaves as N clips do,
however many are drawn, and the line would lead back to the plug-in distance. They are drawn by
whole clips, since windows of one clip resemble each other and do not count as independent ones.
What remains of the bias is of order 1/n², and negative. A distance of 0 can come out a little
below 0, and is left so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.distances.frechet import Gaussian, decompose, frechet_distance
from soundwright.evaluation.distances.moments import Moments, accumulate_moments

SHARES = (1.0, 1.25, 1.5, 1.75, 2.0)
"""All clips over those of a subset. Smaller subsets would bend the line, larger ones hide it."""


@dataclass(frozen=True)
class FrechetExtrapolation:
    """The end of the line, and the line."""

    value: float
    """The distance at 1/n = 0."""
    slope: float
    """Distance times clips: `value + slope / n` is the line, n of the generated clips."""
    r_squared: float
    """Of the line over the means of the sizes; 1 is straight."""
    points: tuple[tuple[int, float], ...]
    """(n, mean plug-in distance of the draws); the first one is that of all clips."""
    sides: Literal["generated", "both"]
    """Whose number of clips goes to infinity."""
    clips: int
    """Generated ones."""
    draws: int
    seed: int


def extrapolate_frechet(
    reference: Moments | Sequence[ArrayLike],
    generated: Sequence[ArrayLike],
    *,
    draws: int = 10,
    seed: int = 0,
) -> FrechetExtrapolation:
    """Extrapolate to infinitely many clips, on one side or both.

    Args:
        reference: Moments, which stay as they are; or [W, D] embeddings of each clip, and then
            equal shares of both sides are drawn and both go to infinity together.
        generated: [W, D] embeddings of each clip, in an order that does not depend on chance,
            such as that of their keys.
        draws: Subsets of each size below the whole.
        seed: Of the draws.

    Raises:
        UserError: Embeddings do not fit together, or there are too few clips: the smallest subset
            has no more windows than dimensions, or fewer than three sizes differ.
    """
    sides = "generated" if isinstance(reference, Moments) else "both"
    _check_clips("generated", len(generated))
    if not isinstance(reference, Moments):
        _check_clips("reference", len(reference))
    given = decompose(reference) if isinstance(reference, Moments) else reference
    points = []
    for share in SHARES:
        repeats = 1 if share == 1 else draws
        values = []
        for draw in range(repeats):
            names = (str(share), draw)
            second = _draw(generated, share, seed, "generated", *names)
            first = given
            if not isinstance(first, Gaussian):
                first = _draw(first, share, seed, "reference", *names)
            values.append(frechet_distance(first, second, refuse_singular=True).value)
        points.append((_size(generated, share), float(np.mean(values))))
    value, slope, r_squared = _fit(points)
    return FrechetExtrapolation(
        value, slope, r_squared, tuple(points), sides, len(generated), draws, seed
    )


def _check_clips(side: str, clips: int) -> None:
    sizes = {round(clips / share) for share in SHARES}
    if len(sizes) < 3 or min(sizes) < 2:
        raise UserError(
            f"A distance was to be extrapolated from {clips} {side} clips.",
            expected="at least 4, and more windows in half of them than the embedding is wide",
            change="Give more clips.",
        )


def _size(clips: Sequence[ArrayLike], share: float) -> int:
    return round(len(clips) / share)


def _draw(
    clips: Sequence[ArrayLike], share: float, seed: int, side: str, *names: str | int
) -> Moments:
    """Moments of a subset without replacement, its clips in the order that they have."""
    stream = numpy_stream(seed, "frechet extrapolation", side, *names)
    chosen = np.sort(stream.permutation(len(clips))[: _size(clips, share)])
    return accumulate_moments(clips[index] for index in chosen)


def _fit(points: list[tuple[int, float]]) -> tuple[float, float, float]:
    """Value at 1/n = 0, slope and R² of the line in 1/n."""
    numbers, values = np.asarray(points, np.float64).T
    slope, value = np.polyfit(1 / numbers, values, 1)
    rest = np.square(values - value - slope / numbers).sum()
    spread = np.square(values - values.mean()).sum()
    return float(value), float(slope), float(1 - rest / spread) if spread > 0 else 1.0
