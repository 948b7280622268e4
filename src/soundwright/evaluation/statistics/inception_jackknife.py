"""Intervals and a test of inception scores, from the score without each clip or prompt.

The number of clips and of splits belongs to an inception score: all of its intervals are of the
score at that number, whose bias is part of it. A bootstrap sample holds two thirds of the clips,
scores lower, and varies less; the jackknife leaves out one unit at a time and does neither.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.frechet_bootstrap import number_clips, number_prompts
from soundwright.evaluation.statistics.intervals import (
    AT_ONCE,
    LEVEL,
    Interval,
    Matrix,
    Vector,
    refuse_unfinite,
    t_interval,
)

PERMUTATIONS = 1999
ROUNDING = 1e-9
"""Relative to the scores: ties with what was observed count as extreme."""


class WeightedInception:
    """The inception score of clips of which some count more than others, or not at all.

    Args:
        probabilities: [N, L], what a classifier says of each clip.
        units: [N], the unit's number from 0 to `count` - 1 of each clip.
        splits: [N], the number of the split in which each clip is.
        count: How many units there are.

    Raises:
        UserError: Shapes that do not fit, or numbers that are not finite.
    """

    def __init__(
        self, probabilities: ArrayLike, units: ArrayLike, splits: ArrayLike, count: int
    ) -> None:
        rows = np.asarray(probabilities, np.float64)
        unit, split = np.asarray(units), np.asarray(splits)
        if rows.ndim != 2 or not unit.shape == split.shape == rows.shape[:1]:
            raise UserError(
                f"Probabilities {list(rows.shape)}, units {list(unit.shape)} and splits "
                f"{list(split.shape)} do not fit.",
                expected="[N, L], [N] and [N]",
                change="Give one row, one unit and one split for each clip.",
            )
        refuse_unfinite(rows, "Probabilities")
        sureness = xlogy(rows, rows).sum(axis=1)
        # Of each split, by unit: sum of probabilities and of p log p, and number of clips.
        self._sums: list[Matrix] = []
        for number in np.unique(split):
            inside = split == number
            sums = np.zeros((count, rows.shape[1] + 2))
            facts = [rows[inside], sureness[inside, None], np.ones((int(inside.sum()), 1))]
            np.add.at(sums, unit[inside], np.concatenate(facts, axis=1))
            self._sums.append(sums)

    def scores(self, weights: Matrix) -> Vector:
        """[B], the score where the clips of unit i count `weights[:, i]` times; weights [B, P]."""
        every = [self._split(weights @ sums) for sums in self._sums]
        # A split of which nothing is left says nothing.
        return np.nanmean(np.stack(every), axis=0)

    @staticmethod
    def _split(totals: Matrix) -> Vector:
        number = totals[:, -1]
        with np.errstate(invalid="ignore"):
            overall = (totals[:, :-2] / number[:, None]).clip(0)
            sureness = totals[:, -2] / number
        return np.exp(sureness - xlogy(overall, overall).sum(axis=1))


def inception_interval(
    probabilities: ArrayLike, clips: ArrayLike, splits: ArrayLike, *, level: float = LEVEL
) -> Interval:
    """The score of one system at its number of clips (t, jackknife).

    Args:
        probabilities: [N, L].
        clips: [N], any label of the unit (the prompt) that each clip belongs to.
        splits: [N], as in `WeightedInception`.
        level: Nominal coverage.

    Raises:
        UserError: Shapes that do not fit, fewer than two units, numbers that are not finite.
    """
    labels, index = number_clips(clips)
    count = len(labels)
    system = WeightedInception(probabilities, index, splits, count)
    estimate = float(system.scores(np.ones((1, count)))[0])
    without = np.concatenate([system.scores(weights) for weights in _leave_out(count)])
    return _interval(estimate, without, level)


def inception_difference(
    new: ArrayLike,
    new_clips: ArrayLike,
    new_splits: ArrayLike,
    old: ArrayLike,
    old_clips: ArrayLike,
    old_splits: ArrayLike,
    *,
    level: float = LEVEL,
) -> Interval:
    """The new system's score less that of the old one (t, jackknife over shared prompts).

    Args:
        new: [N, L], the new system's probabilities.
        new_clips: [N], the prompt of each clip.
        new_splits: [N].
        old: [N', L], the old system's.
        old_clips: [N'], the same prompts.
        old_splits: [N'].
        level: Nominal coverage.

    Raises:
        UserError: As in `inception_interval`, or prompts that only one system has.
    """
    labels, new_index, old_index = number_prompts(new_clips, old_clips)
    count = len(labels)
    first = WeightedInception(new, new_index, new_splits, count)
    second = WeightedInception(old, old_index, old_splits, count)

    def gaps(weights: Matrix) -> Vector:
        return first.scores(weights) - second.scores(weights)

    without = np.concatenate([gaps(weights) for weights in _leave_out(count)])
    return _interval(float(gaps(np.ones((1, count)))[0]), without, level)


def inception_swap_test(
    new: ArrayLike,
    new_clips: ArrayLike,
    new_splits: ArrayLike,
    old: ArrayLike,
    old_clips: ArrayLike,
    old_splits: ArrayLike,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> float:
    """Two-sided test that it is chance which of two systems made which sounds of a prompt.

    The sounds of prompts drawn at random are exchanged, and both scores taken again. What was
    observed counts among the draws, so that p is never zero. Arguments are those of
    `inception_difference`.

    Raises:
        UserError: As there.
    """
    labels, first, second = number_prompts(new_clips, old_clips)
    count = len(labels)
    pooled = WeightedInception(
        np.concatenate([np.asarray(new, np.float64), np.asarray(old, np.float64)]),
        np.concatenate([first, count + second]),
        np.concatenate([np.asarray(new_splits), np.asarray(old_splits)]),
        2 * count,
    )
    random = numpy_stream(seed, "permutation", "inception score")
    swapped = random.integers(0, 2, (permutations + 1, count)).astype(np.float64)
    swapped[0] = 0
    one = pooled.scores(np.concatenate([1 - swapped, swapped], axis=1))
    other = pooled.scores(np.concatenate([swapped, 1 - swapped], axis=1))
    gaps = np.abs(one - other)
    return float((gaps >= gaps[0] - ROUNDING * float(one[0] + other[0])).mean())


def _leave_out(count: int) -> Iterator[Matrix]:
    """Weights [B, P] that leave out one unit after another."""
    block = max(1, AT_ONCE // count)
    for start in range(0, count, block):
        weights = np.ones((min(block, count - start), count))
        np.fill_diagonal(weights[:, start:], 0)
        yield weights


def _interval(estimate: float, without: NDArray[np.float64], level: float) -> Interval:
    count = len(without)
    variance = (count - 1) / count * float(np.square(without - without.mean()).sum())
    return t_interval(estimate, [(variance, count - 1)], count, level)
