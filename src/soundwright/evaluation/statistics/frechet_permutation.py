"""Permutation test of the difference of two Fréchet distances to one reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.frechet_bootstrap import DrawnFrechet, number_clips
from soundwright.evaluation.statistics.permutation import ROUNDING

FRECHET_PERMUTATIONS = 999


def frechet_swap_test(
    new: ArrayLike,
    new_clips: ArrayLike,
    old: ArrayLike,
    old_clips: ArrayLike,
    mean: ArrayLike,
    covariance: ArrayLike,
    *,
    permutations: int = FRECHET_PERMUTATIONS,
    seed: int = 0,
) -> float:
    """Two-sided test that it is chance which of two systems made which sounds of a prompt.

    The sounds of prompts drawn at random are exchanged, and both distances taken again. What was
    observed counts among the draws, so that p is never zero.

    Args:
        new: [W, D], the new system's windows.
        new_clips: [W], the prompt of each window.
        old: [W', D], the old system's.
        old_clips: [W'], the same prompts.
        mean: [D], of the reference.
        covariance: [D, D], of the reference.
        permutations: How many exchanges are drawn; each costs two eigenvalue problems.
        seed: Of the stream.

    Raises:
        UserError: Shapes that do not fit, numbers that are not finite, or other prompts.
    """
    labels, first = number_clips(new_clips)
    old_labels, second = number_clips(old_clips)
    if len(labels) != len(old_labels) or (labels != old_labels).any():
        raise UserError("The two systems have windows of different prompts.")
    count = len(labels)
    both = np.concatenate([np.asarray(new, np.float64), np.asarray(old, np.float64)])
    pooled = DrawnFrechet(both, np.concatenate([first, count + second]), mean, covariance)

    def gap(swapped: np.ndarray) -> float:
        kept = 1.0 - swapped
        one = pooled.distance(np.concatenate([kept, swapped]))
        return one - pooled.distance(np.concatenate([swapped, kept]))

    observed = abs(gap(np.zeros(count)))
    random = numpy_stream(seed, "permutation", "frechet")
    drawn = [abs(gap(random.integers(0, 2, count).astype(float))) for _ in range(permutations)]
    extreme = sum(value >= observed * (1 - ROUNDING) for value in drawn)
    return (extreme + 1) / (permutations + 1)
