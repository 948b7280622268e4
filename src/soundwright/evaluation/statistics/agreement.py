"""Do raters agree? Krippendorff's alpha: 1 is agreement, 0 is what chance would bring."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from soundwright.core.errors import UserError
from soundwright.evaluation.statistics.intervals import Matrix, Vector

Scale = Literal["nominal", "ordinal", "interval", "ratio"]


def krippendorff_alpha(ratings: ArrayLike, scale: Scale) -> float | None:
    """1 - observed disagreement / disagreement expected by chance (Krippendorff, 2011).

    Args:
        ratings: [R, U], what each rater said about each unit; NaN where a rater said nothing. A
            unit that fewer than two raters rated counts for nothing.
        scale: Which differences matter: nominal (any), ordinal (by rank), interval (squared),
            ratio (squared, relative to the sum; ratings are then not negative).

    Returns:
        Alpha; None where it is undefined, because no unit was rated twice or all ratings are equal.

    Raises:
        UserError: Another shape, or negative ratings on a ratio scale.
    """
    table = np.asarray(ratings, np.float64)
    if table.ndim != 2:
        raise UserError(
            f"Ratings have shape {list(table.shape)}.",
            expected="a row a rater, a column a unit",
            change="Give one table, with NaN where a rater gave no answer.",
        )
    table = table[:, (~np.isnan(table)).sum(axis=0) >= 2]
    values = np.unique(table[~np.isnan(table)])
    if len(values) < 2:
        return None
    if scale == "ratio" and values[0] < 0:
        raise UserError(
            f"Ratings on a ratio scale are negative, down to {values[0]:g}.",
            expected="0 or more",
            change="Take the interval scale.",
        )
    counts = (table[:, :, None] == values).sum(axis=0).astype(np.float64)
    coincidences = count_coincidences(counts)
    totals = coincidences.sum(axis=0)
    difference = differences(values, totals, scale)
    observed = (coincidences * difference).sum()
    expected = (np.outer(totals, totals) * difference).sum() / (totals.sum() - 1)
    return float(1 - observed / expected)


def count_coincidences(counts: Matrix) -> Matrix:
    """[V, V], how often two raters gave two values to one unit; each unit weighs its ratings.

    Args:
        counts: [U, V], how many raters gave each value to each unit.
    """
    weights = 1 / (counts.sum(axis=1) - 1)
    together = (counts * weights[:, None]).T @ counts
    return together - np.diag(weights @ counts)


def differences(values: Vector, totals: Vector, scale: Scale) -> Matrix:
    """[V, V], the squared difference of any two values on a scale.

    Args:
        values: [V], sorted.
        totals: [V], how often each was given.
        scale: See `krippendorff_alpha`.
    """
    if scale == "nominal":
        return 1 - np.eye(len(values))
    if scale == "ordinal":
        # The sum of the totals from one value to the other, each end counted half.
        ranks = np.cumsum(totals) - totals / 2
        return (ranks[:, None] - ranks) ** 2
    gaps = values[:, None] - values
    if scale == "interval":
        return gaps**2
    sums = values[:, None] + values
    return (gaps / np.where(sums == 0, 1, sums)) ** 2
