"""The kernel distance (KAD): maximum mean discrepancy with a Gaussian kernel, unbiased.

    MMD² = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),    k = exp(-d² / (2σ² + 1e-8))

The means of k(x, x') and k(y, y') leave out pairs of a point with itself, so that the expectation
is 0 for equal distributions, at any number of embeddings; the value may be negative. It is given
times 100, as kadtk does. σ is the median distance of pairs *of the reference*, so that all systems
are measured with one kernel. Of an even number of pairs the lower of the two middle distances is
the median, as `torch.median` has it: it is one of the distances.

Pairs are visited in tiles, in double precision, and memory does not grow with their number; the
median is exact and found by its bits, 16 at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soundwright.core.errors import UserError
from soundwright.evaluation.distances.moments import as_rows

SCALE = 100.0
SMALLEST = 1e-8
"""Added to 2σ²."""
TILE = 1024
"""Points of a side of a tile. Part of the result's last digits."""
HELD = 1 << 20
"""So many distances may be in memory together."""
STRIP = 1 << 18
"""Kernels of a tile or strip, where a caller wants more of them than their mean."""

KernelConvention = Literal["soundwright", "kadtk"]


@dataclass(frozen=True)
class KernelDistance:
    """A distance, and the kernel that it was measured with."""

    value: float
    """100 · MMD²; may be negative."""
    bandwidth: float
    """σ."""
    bandwidth_of: Literal["reference", "generated", "given"]
    """Whose median distance σ is."""
    reference_n: int
    generated_n: int


def kernel_distance(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    convention: KernelConvention = "soundwright",
    bandwidth: float | None = None,
) -> KernelDistance:
    """100 times the unbiased squared discrepancy between embeddings [N, D] and [M, D].

    Args:
        reference: Of the real sounds.
        generated: Of the sounds in question.
        convention: `soundwright` takes σ from the reference, as kadtk's description says;
            `kadtk` takes it from the generated side, as its code does (in single precision, so
            that its own numbers differ in the fourth digit or so).
        bandwidth: σ, where it is given.

    Raises:
        UserError: Widths differ, a side has fewer than 2 embeddings, or σ is next to nothing.
    """
    first, second = as_rows(reference), as_rows(generated)
    if first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise UserError(
            f"A kernel distance was asked between embeddings {first.shape} and {second.shape}.",
            expected="one width, and at least 2 embeddings on each side",
            change="Take embeddings of one encoder, of more sounds.",
        )
    centre = first.mean(0)
    first, second = first - centre, second - centre
    side = "given"
    if bandwidth is None:
        side = "generated" if convention == "kadtk" else "reference"
        bandwidth = median_distance(first if side == "reference" else second)
    if not (bandwidth > 0 and SMALLEST < 2 * bandwidth**2 < math.inf):
        raise UserError(
            f"The kernel's bandwidth is {bandwidth:g} ({side}).",
            expected="well above 1e-4: most embeddings differ from each other",
            change="Look for copies of one sound, or give a bandwidth.",
        )
    gamma = 1 / (2 * bandwidth**2 + SMALLEST)
    squared = (
        mean_within(first, gamma)
        + mean_within(second, gamma)
        - 2 * _mean_between(first, second, gamma)
    )
    return KernelDistance(SCALE * squared, bandwidth, side, len(first), len(second))


def median_distance(embeddings: ArrayLike) -> float:
    """The lower median of the distances between all pairs of [N, D], exactly.

    Raises:
        UserError: There are fewer than 2 embeddings.
    """
    rows = as_rows(embeddings)
    pairs = len(rows) * (len(rows) - 1) // 2
    if pairs == 0:
        raise UserError(
            f"A median distance was asked of {len(rows)} embeddings.",
            expected="at least 2",
            change="Give more sounds.",
        )
    rows = rows - rows.mean(0)
    # The bits of numbers that are not negative, read as integers, have the order of the numbers.
    rank, prefix, inside = (pairs - 1) // 2, 0, pairs
    for shift in (48, 32, 16, 0):
        if inside <= HELD:
            held = np.concatenate(
                [values[values.view(np.int64) >> shift + 16 == prefix] for values in _pairs(rows)]
            )
            return math.sqrt(np.partition(held, rank)[rank])
        counts = np.zeros(1 << 16, np.int64)
        for values in _pairs(rows):
            bits = values.view(np.int64)
            digits = bits[bits >> shift + 16 == prefix] >> shift & 0xFFFF
            counts += np.bincount(digits, minlength=1 << 16)
        place = int(np.searchsorted(np.cumsum(counts), rank, side="right"))
        rank -= int(counts[:place].sum())
        prefix, inside = prefix << 16 | place, int(counts[place])
    return math.sqrt(np.asarray(prefix, np.int64).view(np.float64))


def mean_within(rows: NDArray[np.float64], gamma: float) -> float:
    """The mean of exp(-gamma d²) over pairs of different rows of [N, D]."""
    sums = [float(np.exp(-gamma * squares).sum()) for squares in _pairs(rows)]
    return 2 * math.fsum(sums) / (len(rows) * (len(rows) - 1))


def mean_kernels(
    first: NDArray[np.float64],
    first_counts: Sequence[int],
    second: NDArray[np.float64],
    second_counts: Sequence[int],
    gamma: float,
) -> NDArray[np.float64]:
    """[P, P'], the mean of exp(-gamma d²) between groups of rows; never whole in memory by rows.

    Args:
        first: [N, D], group by group.
        first_counts: [P], rows of each group, at least 1.
        second: [M, D].
        second_counts: [P'].
        gamma: 1 / 2σ².
    """
    means = np.zeros((len(first_counts), len(second_counts)))
    owner = np.repeat(np.arange(len(first_counts)), first_counts)
    starts = np.cumsum([0, *second_counts[:-1]])
    size = max(1, STRIP // len(second))
    for start in range(0, len(first), size):
        place = slice(start, start + size)
        kernel = np.exp(-gamma * _squared_distances(first[place], second))
        np.add.at(means, owner[place], np.add.reduceat(kernel, starts, axis=1))
    means /= np.array(second_counts)
    means /= np.array(first_counts)[:, None]
    return means


def kernel_tiles(
    rows: NDArray[np.float64], gamma: float
) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
    """exp(-gamma d²) among [N, D], in tiles on and above the diagonal, with their places."""
    size = math.isqrt(STRIP)
    places = [slice(start, start + size) for start in range(0, len(rows), size)]
    for number, one in enumerate(places):
        for other in places[number:]:
            yield one, other, np.exp(-gamma * _squared_distances(rows[one], rows[other]))


def _squared_distances(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    squares = np.square(first).sum(1)[:, None] + np.square(second).sum(1)
    return np.maximum(squares - 2 * (first @ second.T), 0.0)


def _cut(rows: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [rows[start : start + TILE] for start in range(0, len(rows), TILE)]


def _pairs(rows: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Squared distances of all pairs, flat, a tile at a time."""
    tiles = _cut(rows)
    for number, tile in enumerate(tiles):
        yield _squared_distances(tile, tile)[np.triu_indices(len(tile), 1)]
        for other in tiles[number + 1 :]:
            yield _squared_distances(tile, other).ravel()


def _mean_between(first: NDArray[np.float64], second: NDArray[np.float64], gamma: float) -> float:
    sums = [
        float(np.exp(-gamma * _squared_distances(tile, other)).sum())
        for tile in _cut(first)
        for other in _cut(second)
    ]
    return math.fsum(sums) / (len(first) * len(second))
