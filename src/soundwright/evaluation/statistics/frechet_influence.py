"""Intervals of extrapolated Fréchet distances, from what each clip adds to the distance.

A bootstrap of FAD∞ is of no use: subsets of a sample drawn with replacement behave as draws from
the sample itself, so that their line leads to the plug-in distance of that sample, bias and all.
The infinitesimal jackknife needs no replicates. To first order in 1/n the extrapolated distance of
a sample differs from the truth by the mean of its clips' influences, the derivative of the distance
when a clip gets more weight. With the step between the means and the linear map T that takes one
Gaussian to the other, the influence of an embedding x on the side (m, C) is

    2 (m - m')ᵀ(x - m) + (x - m)ᵀ(I - T)(x - m) - tr (I - T)C,    T C T = C'

Both sides are samples, and the variances of both add up. Near a distance of 0 influences vanish,
and what they are estimated to be there makes intervals somewhat too wide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh

from soundwright.evaluation.distances.moments import Moments, accumulate_moments
from soundwright.evaluation.statistics.frechet_bootstrap import number_clips, number_prompts
from soundwright.evaluation.statistics.intervals import (
    LEVEL,
    Interval,
    Matrix,
    Vector,
    t_interval,
)

SMALLEST = 1e-12
"""Relative to the largest eigenvalue: directions with less spread than this have none."""


def extrapolated_interval(
    estimate: float,
    generated: ArrayLike,
    clips: ArrayLike,
    reference: Sequence[Matrix],
    *,
    level: float = LEVEL,
) -> Interval:
    """The extrapolated distance between two samples (t, infinitesimal jackknife).

    Args:
        estimate: From `extrapolate_frechet`, both sides extrapolated.
        generated: [W, D], windows.
        clips: [W], any label of the clip that each window belongs to.
        reference: [W', D] windows of each clip.
        level: Nominal coverage.

    Raises:
        UserError: Fewer than two clips, widths that differ, numbers that are not finite.
    """
    _, index = number_clips(clips)
    real = accumulate_moments(reference)
    shares, others = _shares(np.asarray(generated, np.float64), index, real, reference)
    return _interval(estimate, shares, others, level)


def extrapolated_difference(
    estimate: float,
    new: ArrayLike,
    new_clips: ArrayLike,
    old: ArrayLike,
    old_clips: ArrayLike,
    reference: Sequence[Matrix],
    *,
    level: float = LEVEL,
) -> Interval:
    """The new system's extrapolated distance less that of the old one, over shared prompts.

    Args:
        estimate: The difference of the two.
        new: [W, D], the new system's windows.
        new_clips: [W], the prompt of each window.
        old: [W', D], the old system's.
        old_clips: [W'], the same prompts.
        reference: [W'', D] windows of each clip; what it adds to both distances cancels.
        level: Nominal coverage.

    Raises:
        UserError: As in `extrapolated_interval`, or prompts that only one system has.
    """
    _, new_index, old_index = number_prompts(new_clips, old_clips)
    real = accumulate_moments(reference)
    first, second = (
        _shares(np.asarray(windows, np.float64), index, real, reference)
        for windows, index in ((new, new_index), (old, old_index))
    )
    return _interval(estimate, first[0] - second[0], first[1] - second[1], level)


def influences(rows: ArrayLike, own: Moments, other: Moments) -> Vector:
    """[W], by how much the distance grows with the weight of each embedding of one side.

    Args:
        rows: [W, D].
        own: Of the side that they belong to.
        other: Of the other side.
    """
    centred = np.asarray(rows, np.float64) - own.mean
    bend = np.eye(own.width) - transport(own.covariance, other.covariance)
    curved = ((centred @ bend) * centred).sum(axis=1)
    return 2 * centred @ (own.mean - other.mean) + curved - float((bend * own.covariance).sum())


def transport(source: Matrix, target: Matrix) -> Matrix:
    """The symmetric T [D, D] with T · source · T = target, where both have spread."""
    values, vectors = _spread(target)
    root = vectors * np.sqrt(values)
    shared, turned = _spread(root.T @ source @ root)
    half = root @ (turned * shared**-0.25)
    return half @ half.T


def _spread(matrix: Matrix) -> tuple[Vector, Matrix]:
    """Eigenvalues [R] above rounding, and their vectors [D, R]."""
    values, vectors = eigh(matrix)
    kept = values > SMALLEST * values[-1]
    return values[kept], vectors[:, kept]


def _shares(
    windows: Matrix, index: np.ndarray, real: Moments, reference: Sequence[Matrix]
) -> tuple[Vector, Vector]:
    """What each unit [N] and each reference clip [M] adds to the error of the distance."""
    made = accumulate_moments([windows])
    own = np.bincount(index, influences(windows, made, real)) / len(windows)
    rows = np.concatenate(reference)
    owner = np.repeat(np.arange(len(reference)), [len(clip) for clip in reference])
    return own, np.bincount(owner, influences(rows, real, made)) / len(rows)


def _interval(estimate: float, shares: Vector, others: Vector, level: float) -> Interval:
    parts = [(len(part) * float(part.var(ddof=1)), len(part) - 1) for part in (shares, others)]
    return t_interval(estimate, parts, len(shares), level)
