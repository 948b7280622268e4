"""Permutation test of the difference of two Fréchet distances to one reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.frechet_bootstrap import DrawnFrechet, number_prompts

FRECHET_PERMUTATIONS = 999
ROUNDING = 1e-7
"""Relative to the traces: ties with what was observed count as extreme. Distances of the
same sounds in another order differ by about the root of double precision."""


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
    labels, first, second = number_prompts(new_clips, old_clips)
    count = len(labels)
    both = np.concatenate([np.asarray(new, np.float64), np.asarray(old, np.float64)])
    pooled = DrawnFrechet(both, np.concatenate([first, count + second]), mean, covariance)

    def gap(swapped: np.ndarray) -> float:
        kept = 1.0 - swapped
        one = pooled.distance(np.concatenate([kept, swapped]))
        return one - pooled.distance(np.concatenate([swapped, kept]))

    noise = ROUNDING * (pooled.reference_trace + float(pooled.squares.mean()))
    observed = abs(gap(np.zeros(count))) - noise
    random = numpy_stream(seed, "permutation", "frechet")
    drawn = [abs(gap(random.integers(0, 2, count).astype(float))) for _ in range(permutations)]
    extreme = sum(value >= observed for value in drawn)
    return (extreme + 1) / (permutations + 1)
