"""What an interval is, and how one is made of bootstrap replicates.

Everywhere in this package the unit that is drawn again is what was drawn in the first place: a
clip, a prompt, a rater, a training seed, never a frame or a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from soundwright.core.errors import UserError

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

DRAWS = 2000
"""Bootstrap replicates where a caller names no other number."""
LEVEL = 0.95
AT_ONCE = 2**20
"""Drawn numbers held in memory."""

Drawn = Literal["percentile", "expanded", "reflected", "shifted"]
Method = Literal[Drawn, "t", "wilson"]


@dataclass(frozen=True)
class Interval:
    """A number with its confidence interval."""

    estimate: float
    """What was computed on the whole sample."""
    low: float
    high: float
    level: float
    """Nominal coverage, such as 0.95."""
    method: Method
    units: int
    """How many clips (prompts, seeds, trials) it rests on."""
    bias: float = 0.0
    """Mean of the replicates less the estimate. A reflected or shifted interval lies about the
    estimate less this, and may lie wholly to one side of the estimate."""

    def excludes(self, value: float = 0.0) -> bool:
        """Whether `value` lies outside."""
        return not self.low <= value <= self.high


def interval_of(
    replicates: ArrayLike,
    estimate: float,
    units: int,
    *,
    method: Drawn = "percentile",
    level: float = LEVEL,
) -> Interval:
    """An interval from bootstrap replicates.

    The percentile interval is the middle of the replicates. For means of few units it is too
    narrow by about sqrt((n - 1) / n) and by what a t distribution's tails are wider than a normal
    one's; the expanded interval takes percentiles further out to make up for both (Hesterberg,
    2015, section 3.5). Two intervals are for statistics that small samples inflate, as they do a
    Fréchet distance, and bootstrap samples once more: the reflected ("basic") interval turns the
    percentiles round the estimate, the shifted one lessens them by twice the bias. Both have the
    same middle where replicates are symmetric; where they are skewed, the shifted one's longer
    side is the one on which the truth may be far.

    Args:
        replicates: [draws], the statistic on drawn samples.
        estimate: The statistic on the sample itself.
        units: Number of units in the sample, at least 2.
        method: See above.
        level: Nominal coverage.
    """
    drawn = np.asarray(replicates, np.float64)
    tail = (1 - level) / 2
    if method == "expanded":
        tail = float(norm.cdf(np.sqrt(units / (units - 1)) * t.ppf(tail, units - 1)))
    low, high = (float(q) for q in np.quantile(drawn, [tail, 1 - tail]))
    if method == "reflected":
        low, high = 2 * estimate - high, 2 * estimate - low
    bias = float(drawn.mean()) - estimate
    if method == "shifted":
        low, high = low - 2 * bias, high - 2 * bias
    return Interval(estimate, low, high, level, method, units, bias)


def t_interval(
    estimate: float,
    parts: list[tuple[float, int]],
    units: int,
    level: float,
    *,
    counted_twice: float = 0.0,
) -> Interval:
    """The estimate +- t sqrt(V), V the sum of variances, each with its degrees of freedom.

    Args:
        estimate: Of a mean.
        parts: Estimated variances of the mean, and the degrees of freedom of each.
        units: For the record.
        level: Nominal coverage.
        counted_twice: What stands in two parts. V is never less than its largest part.
    """
    total = sum(variance for variance, _ in parts)
    variance = max(total - counted_twice, *(part for part, _ in parts), 0.0)
    spread = sum(part**2 / freedom for part, freedom in parts)
    freedom = variance**2 / spread if spread else 1.0
    half = float(t.ppf((1 + level) / 2, max(freedom, 1.0)) * np.sqrt(variance))
    return Interval(estimate, estimate - half, estimate + half, level, "t", units)


def draw_counts(random: np.random.Generator, units: int, draws: int) -> Iterator[Matrix]:
    """How often each unit stands in a drawn sample of `units`, in blocks of [draws', units]."""
    block = max(1, AT_ONCE // units)
    for start in range(0, draws, block):
        size = min(block, draws - start)
        drawn = random.integers(0, units, size=(size, units)) + units * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * units)
        yield counts.reshape(size, units).astype(np.float64)


def read_vector(values: ArrayLike, name: str, *, least: int = 2) -> Vector:
    """One finite number a unit, [N] float64.

    Raises:
        UserError: Another shape, fewer than `least` numbers, or some that are not finite.
    """
    vector = np.asarray(values, np.float64)
    if vector.ndim != 1 or len(vector) < least:
        raise UserError(
            f"{name} have shape {list(vector.shape)}.",
            expected=f"one number a clip, and at least {least} clips",
        )
    refuse_unfinite(vector, name)
    return vector


def read_kernel(kernel: ArrayLike, name: str) -> Matrix:
    """A kernel matrix [N, N] float64 of at least two clips.

    Raises:
        UserError: Another shape, or numbers that are not finite.
    """
    matrix = np.array(kernel, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise UserError(
            f"The kernel {name} has shape {list(matrix.shape)}.",
            expected="a square with a row and a column for each of at least two prompts",
        )
    refuse_unfinite(matrix, f"The kernel {name}")
    return matrix


def refuse_unfinite(values: NDArray[np.float64], name: str) -> None:
    """Raises `UserError` where a number is NaN or infinite; `name` begins its message."""
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise UserError(
            f"{name}: {bad} of {values.size} numbers are not finite.",
            expected="finite numbers only",
            change="Leave the clips out by name, in every system that is compared, and say so.",
        )
