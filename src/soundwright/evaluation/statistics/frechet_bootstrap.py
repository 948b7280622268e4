"""Bootstrap of the Fréchet distance over clips, without a matrix root for each replicate.

The distance of a sample with mean m and covariance C to a reference (m_r, C_r) is
|m - m_r|² + tr C + tr C_r - 2 tr (C_r^½ C C_r^½)^½. With A = (X - m_r) C_r^½ the last trace is the
sum of the singular values of the centred A over sqrt(n - 1), which are the roots of the eigenvalues
of the centred A Aᵀ [W, W], or of the covariance of A [D, D], whichever is smaller. A Aᵀ is made
once; a replicate takes the windows that were drawn, weighted by how often: two thirds of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh, eigvalsh

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.distances.moments import BLOCK_ROWS
from soundwright.evaluation.statistics.intervals import (
    LEVEL,
    Interval,
    Matrix,
    Vector,
    draw_counts,
    interval_of,
    refuse_unfinite,
)

FRECHET_DRAWS = 1000
DRAWN_SHARE = 0.632
"""Of the units, those that stand in a bootstrap sample at least once: 1 - 1/e."""


class DrawnFrechet:
    """The Fréchet distance of drawn clips to a fixed reference.

    Args:
        embeddings: [W, D], the windows of all clips.
        clips: [W], the clip's number from 0 to N - 1 of each window.
        mean: [D], of the reference.
        covariance: [D, D], of the reference.

    Raises:
        UserError: Shapes that do not fit, or numbers that are not finite.
    """

    def __init__(
        self, embeddings: ArrayLike, clips: ArrayLike, mean: ArrayLike, covariance: ArrayLike
    ) -> None:
        X, C = np.asarray(embeddings, np.float64), np.asarray(covariance, np.float64)
        middle, self.clips = np.asarray(mean, np.float64), np.asarray(clips)
        wanted = (X.shape[:1], X.shape[1:], X.shape[1:] * 2)
        if X.ndim != 2 or (self.clips.shape, middle.shape, C.shape) != wanted:
            raise UserError(
                f"Embeddings {list(X.shape)}, clips {list(self.clips.shape)}, mean "
                f"{list(middle.shape)} and covariance {list(C.shape)} do not fit.",
                expected="[W, D], [W], [D] and [D, D]",
            )
        for values, name in ((X, "Embeddings"), (C, "The reference's covariance")):
            refuse_unfinite(values, name)
        values, vectors = eigh(C)
        scaled = vectors * np.sqrt(values.clip(0))
        self.reference_trace = float(np.trace(C))
        self.sums = np.zeros((int(self.clips.max(initial=0)) + 1, X.shape[1]))
        self.squares = np.empty(len(X))
        self.rooted = np.empty_like(X)
        for start in range(0, len(X), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            centred = X[block] - middle
            np.add.at(self.sums, self.clips[block], centred)
            self.squares[block] = (centred**2).sum(axis=1)
            self.rooted[block] = centred @ scaled @ vectors.T
        narrow = DRAWN_SHARE * len(X) <= X.shape[1]
        self.kernel = self.rooted @ self.rooted.T if narrow else None

    def distance(self, counts: Vector) -> float:
        """The distance where clip i stands `counts[i]` times in the sample; counts are [N]."""
        weights = counts[self.clips]
        total = float(weights.sum())
        mean = counts @ self.sums / total
        square = float(mean @ mean)
        trace = (float(weights @ self.squares) - total * square) / (total - 1)
        scatter = self._scatter(weights, total)
        roots = np.sqrt(eigvalsh(scatter, overwrite_a=True, check_finite=False).clip(0))
        root_trace = float(roots.sum()) / math.sqrt(total - 1)
        return square + trace + self.reference_trace - 2 * root_trace

    def _scatter(self, weights: Vector, total: float) -> Matrix:
        """A matrix with the eigenvalues of the scatter of the drawn, rooted windows."""
        drawn = weights > 0
        kept = weights[drawn]
        scale = np.sqrt(kept)
        if self.kernel is None:
            mean = weights @ self.rooted / total
            rows = self.rooted[drawn]
            rows -= mean
            rows *= scale[:, None]
            return rows.T @ rows
        kernel = self.kernel[np.ix_(drawn, drawn)]
        shift = kernel @ kept / total
        kernel -= shift[:, None] + shift - kept @ shift / total
        kernel *= scale[:, None] * scale
        return kernel


def frechet_interval(
    embeddings: ArrayLike,
    clips: ArrayLike,
    mean: ArrayLike,
    covariance: ArrayLike,
    *,
    draws: int = FRECHET_DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The distance of one system to a reference that is taken as given; shifted bootstrap.

    A sample's distance is too large by about as much as a bootstrap sample's is larger still, so
    that percentiles never reach the truth. The interval may lie below the estimate.

    Args:
        embeddings: [W, D], windows.
        clips: [W], any label of the clip that each window belongs to.
        mean: [D], of the reference.
        covariance: [D, D], of the reference.
        draws: Bootstrap replicates; each costs an eigenvalue problem of size min(0.63 W, D).
        level: Nominal coverage.
        seed: Of the stream from which clips are drawn.

    Raises:
        UserError: Shapes that do not fit, fewer than two clips, numbers that are not finite.
    """
    labels, index = number_clips(clips)
    system = DrawnFrechet(embeddings, index, mean, covariance)
    del embeddings  # where nobody else has them, they need not be there for all draws
    replicates = np.array([system.distance(counts) for counts in every_draw(labels, draws, seed)])
    estimate = system.distance(np.ones(len(labels)))
    return interval_of(replicates, estimate, len(labels), method="shifted", level=level)


def frechet_difference(
    new: ArrayLike,
    new_clips: ArrayLike,
    old: ArrayLike,
    old_clips: ArrayLike,
    mean: ArrayLike,
    covariance: ArrayLike,
    *,
    draws: int = FRECHET_DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Distance of the new system less that of the old one; shifted bootstrap over prompts.

    What two systems of like spread are too large by cancels in the difference, and shifting then
    changes little; where their spreads differ and dimensions are many, percentiles miss the truth.

    Args:
        new: [W, D], the new system's windows.
        new_clips: [W], the prompt of each window.
        old: [W', D], the old system's.
        old_clips: [W'], the same prompts.
        mean: [D], of the reference.
        covariance: [D, D], of the reference.
        draws: Bootstrap replicates.
        level: Nominal coverage.
        seed: Of the stream from which prompts are drawn.

    Raises:
        UserError: As in `frechet_interval`, or prompts that only one system has.
    """
    labels, new_index, old_index = number_prompts(new_clips, old_clips)
    systems = [
        DrawnFrechet(windows, index, mean, covariance)
        for windows, index in ((new, new_index), (old, old_index))
    ]
    every = [np.ones(len(labels)), *every_draw(labels, draws, seed)]
    first, second = (np.array([one.distance(counts) for counts in every]) for one in systems)
    gaps = first - second
    return interval_of(gaps[1:], float(gaps[0]), len(labels), method="shifted", level=level)


def number_clips(clips: ArrayLike) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """[N], the labels that occur, sorted; and [W], the place of each window's label in them.

    Raises:
        UserError: Fewer than two.
    """
    labels, index = np.unique(np.asarray(clips), return_inverse=True)
    if len(labels) < 2:
        raise UserError(
            f"Windows of {len(labels)} clips cannot be drawn again.", expected="at least two clips"
        )
    return labels, index


def number_prompts(
    new: ArrayLike, old: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp]]:
    """The prompts [N] of both systems, sorted, and the place in them of each system's windows.

    Raises:
        UserError: Fewer than two prompts, or some that only one system has.
    """
    labels, new_index = number_clips(new)
    old_labels, old_index = number_clips(old)
    if len(labels) != len(old_labels) or (labels != old_labels).any():
        raise UserError(
            "The two systems have windows of different prompts.",
            expected="the same prompts from both",
            change="Leave out what only one system has.",
        )
    return labels, new_index, old_index


def every_draw(labels: NDArray[Any], draws: int, seed: int) -> Iterator[Vector]:
    """How often each clip is drawn, [N], `draws` times."""
    random = numpy_stream(seed, "bootstrap", "clips")
    for block in draw_counts(random, len(labels), draws):
        yield from block
