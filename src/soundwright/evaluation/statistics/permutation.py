"""Permutation tests within pairs: what if it were chance which of two systems made which sound?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.intervals import (
    AT_ONCE,
    Vector,
    read_kernel,
    read_vector,
)

PERMUTATIONS = 10_000
ROUNDING = 1e-12
"""Relative to the largest possible statistic: ties with what was observed count as extreme."""


def sign_flip_test(
    differences: ArrayLike, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> float:
    """Two-sided test that the paired differences lie symmetrically about zero.

    If it is chance which system made which of the two sounds of a prompt, every difference might
    as well have the other sign. All 2^N signs are tried where these are no more than
    `permutations`; otherwise they are drawn, and the observed signs count among them, so that p is
    never zero.

    Args:
        differences: [N], new less old for each prompt, or the scores of `kernel_scores`.
        permutations: How many signs are drawn.
        seed: Of the stream from which they are drawn.

    Raises:
        UserError: Another shape, or numbers that are not finite.
    """
    values = read_vector(differences, "The differences", least=1)
    observed = abs(float(values.sum())) - ROUNDING * float(np.abs(values).sum())
    if 2 ** len(values) <= permutations:
        every = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float((np.abs((2.0 * every - 1) @ values) >= observed).mean())
    random = numpy_stream(seed, "permutation", "signs")
    extreme = 0
    block = max(1, AT_ONCE // len(values))
    for start in range(0, permutations, block):
        size = min(block, permutations - start)
        signs = random.integers(0, 2, size=(size, len(values))) * 2.0 - 1
        extreme += int((np.abs(signs @ values) >= observed).sum())
    return (extreme + 1) / (permutations + 1)


def kernel_scores(
    new: ArrayLike,
    old: ArrayLike,
    new_old: ArrayLike,
    new_reference: ArrayLike,
    old_reference: ArrayLike,
) -> Vector:
    """What each prompt adds to the difference of two squared MMDs to one reference.

    The difference of the unbiased estimates, MMD²(new, reference) - MMD²(old, reference), is the
    sum of these scores. Exchanging the two sounds of some prompts changes the sign of just their
    scores: the terms in which two prompts meet are the same in both systems' estimates but for
    sign, and cancel. The label permutation within pairs is thus `sign_flip_test` of the scores,
    at N operations a permutation instead of N².

    Args:
        new: [N, N], kernel between the new system's clips. With several windows a clip, the mean
            over pairs of windows.
        old: [N, N], between the old system's clips, prompts in the same order.
        new_old: [N, N], new clips in rows, old ones in columns.
        new_reference: [N], mean kernel of each new clip to the reference clips.
        old_reference: [N], the same for old clips.

    Raises:
        UserError: Shapes that do not fit, or numbers that are not finite.
    """
    ours, theirs = read_kernel(new, "new"), read_kernel(old, "old")
    between = read_kernel(new_old, "new against old")
    first = read_vector(new_reference, "The new clips' kernels to the reference")
    second = read_vector(old_reference, "The old clips' kernels to the reference")
    count = len(ours)
    if not len(theirs) == len(between) == len(first) == len(second) == count:
        raise UserError(
            f"Kernels of {count}, {len(theirs)}, {len(between)}, {len(first)} and {len(second)} "
            "prompts do not fit.",
            expected="the same prompts in the same order in all of them",
            change="Leave out what only one system has.",
        )
    pairs = ours - theirs + between - between.T
    np.fill_diagonal(pairs, 0)
    return pairs.sum(axis=1) / (count * (count - 1)) - 2 * (first - second) / count
