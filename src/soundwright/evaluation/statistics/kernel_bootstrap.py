"""Bootstrap of squared MMDs over clips, on kernel matrices that were computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.intervals import (
    DRAWS,
    LEVEL,
    Interval,
    Matrix,
    Vector,
    draw_counts,
    interval_of,
    read_kernel,
    read_vector,
    refuse_unfinite,
)

DRAWN_TOGETHER = 256
"""Draws that are taken through a tile together."""


def kernel_interval(
    generated: ArrayLike,
    to_reference: ArrayLike,
    within_reference: float,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The unbiased squared MMD of one system to a reference that is taken as given.

    Args:
        generated: [N, N], kernel between clips. With several windows a clip, the mean over pairs
            of windows.
        to_reference: [N], mean kernel of each clip to the reference clips.
        within_reference: Mean kernel between different reference clips.
        draws: Bootstrap replicates.
        level: Nominal coverage.
        seed: Of the stream from which clips are drawn.

    Returns:
        A percentile interval; the estimate may be negative.

    Raises:
        UserError: Shapes that do not fit, or numbers that are not finite.
    """
    kernel, cross = read_system(generated, to_reference, "generated")
    whole = slice(0, len(kernel))
    tiles = [(whole, whole, kernel)]
    return tiled_kernel_interval(
        tiles, cross, within_reference, draws=draws, level=level, seed=seed
    )


def tiled_kernel_interval(
    tiles: Iterable[tuple[slice, slice, Matrix]],
    to_reference: ArrayLike,
    within_reference: float,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The same, of a kernel that is never whole in memory: each tile serves all draws, once.

    Memory is that of a tile and of the counts of draws, 2 bytes for each clip and draw.

    Args:
        tiles: Rows, columns and kernels, of the tiles on and above the diagonal.
        to_reference: [N], as in `kernel_interval`.
        within_reference: As in `kernel_interval`.
        draws: Bootstrap replicates.
        level: Nominal coverage.
        seed: Of the stream from which clips are drawn.

    Raises:
        UserError: Fewer than two clips, or numbers that are not finite.
    """
    cross = read_vector(to_reference, "The generated clips' kernels to the reference")
    counts = np.concatenate(
        [block.astype(np.uint16) for block in every_block(len(cross), draws, seed)]
    )
    parts = [
        slice(start, start + DRAWN_TOGETHER) for start in range(0, len(counts), DRAWN_TOGETHER)
    ]
    pairs = np.zeros(len(counts))
    for rows, columns, kernel in tiles:
        refuse_unfinite(kernel, "The generated clips' kernels")
        if rows == columns:
            np.fill_diagonal(kernel, 0)
        for part in parts:
            met = (counts[part, rows].astype(np.float64) @ kernel) * counts[part, columns]
            pairs[part] += met.sum(axis=1) * (1 if rows == columns else 2)
    every = [_discrepancy(pairs[part], cross, counts[part].astype(np.float64)) for part in parts]
    values = np.concatenate(every) + within_reference
    return interval_of(values[1:], float(values[0]), len(cross), level=level)


def kernel_difference(
    new: ArrayLike,
    old: ArrayLike,
    new_reference: ArrayLike,
    old_reference: ArrayLike,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Squared MMD of the new system less that of the old one, to one reference.

    Args:
        new: [N, N], kernel between the new system's clips, as in `kernel_interval`.
        old: [N, N], between the old system's, prompts in the same order.
        new_reference: [N], mean kernel of each new clip to the reference clips.
        old_reference: [N], the same for old clips.
        draws: Bootstrap replicates.
        level: Nominal coverage.
        seed: Of the stream from which prompts are drawn.

    Returns:
        A percentile interval over prompts.

    Raises:
        UserError: Shapes that do not fit, or numbers that are not finite.
    """
    first = read_system(new, new_reference, "new")
    second = read_system(old, old_reference, "old")
    prompts = len(first[1])
    if len(second[1]) != prompts:
        raise UserError(
            f"Kernels of {prompts} new and {len(second[1])} old clips cannot be paired.",
            expected="the same prompts in the same order",
            change="Leave out what only one system has.",
        )
    every = [
        replicate(*first, counts) - replicate(*second, counts)
        for counts in every_block(prompts, draws, seed)
    ]
    values = np.concatenate(every)
    return interval_of(values[1:], float(values[0]), prompts, level=level)


def every_block(units: int, draws: int, seed: int) -> Iterator[Matrix]:
    """Blocks of counts [draws', N]; the first is the sample itself."""
    yield np.ones((1, units))
    yield from draw_counts(numpy_stream(seed, "bootstrap", "clips"), units, draws)


def replicate(kernel: Matrix, to_reference: Vector, counts: Matrix) -> Vector:
    """[draws''], what drawn clips add to a squared MMD."""
    return _discrepancy(((counts @ kernel) * counts).sum(axis=1), to_reference, counts)


def _discrepancy(pairs: Vector, to_reference: Vector, counts: Matrix) -> Vector:
    """The same from the sums [draws'] of kernels over pairs of drawn clips.

    Two copies of one clip are no pair of different clips: they would add a kernel of 1 that no
    pair of fresh clips has, and make every replicate too large.
    """
    totals = counts.sum(axis=1)
    # A sample of one clip alone, which happens among very few, has no pairs and says nothing.
    several = totals**2 > (counts**2).sum(axis=1)
    counts, totals, pairs = counts[several], totals[several], pairs[several]
    return pairs / (totals**2 - (counts**2).sum(axis=1)) - 2 * (counts @ to_reference) / totals


def read_system(kernel: ArrayLike, to_reference: ArrayLike, name: str) -> tuple[Matrix, Vector]:
    """The kernel with an empty diagonal [N, N], and the mean kernels to the reference [N]."""
    matrix = read_kernel(kernel, name)
    cross = read_vector(to_reference, f"The {name} clips' kernels to the reference")
    if len(cross) != len(matrix):
        raise UserError(
            f"Kernels of {len(matrix)} and {len(cross)} {name} clips do not fit.",
            expected="the same clips among each other and to the reference",
            change="Compute both kernels from the same clips, in one order.",
        )
    np.fill_diagonal(matrix, 0)
    return matrix, cross
