"""Permutation tests within pairs, and Holm's adjustment."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import permutation_test

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.multiple import holm
from soundwright.evaluation.statistics.permutation import kernel_scores, sign_flip_test


def test_all_signs_are_tried_where_they_are_few():
    assert sign_flip_test([1.0, 2.0, 3.0]) == 2 / 8
    assert sign_flip_test([0.0, 0.0]) == 1.0
    values = numpy_stream(0, "values").normal(0.4, 1, size=11)
    peer = permutation_test((values,), np.sum, permutation_type="samples", n_resamples=10_000)
    assert sign_flip_test(values) == pytest.approx(peer.pvalue)


def test_drawn_signs_come_near_the_exact_test_and_never_give_zero():
    values = numpy_stream(1, "values").normal(0.5, 1, size=13)
    exact = sign_flip_test(values, permutations=2**13)
    assert sign_flip_test(values, permutations=2**13 - 1) == pytest.approx(exact, abs=0.02)
    assert sign_flip_test(np.ones(60), permutations=500) == 1 / 501


def test_under_the_null_small_p_values_are_as_rare_as_they_should_be():
    small = 0
    for trial in range(300):
        values = numpy_stream(trial, "null").normal(size=9)
        small += sign_flip_test(values) <= 0.05
    assert 0.02 <= small / 300 <= 0.08


def gaussian(first, second):
    return np.exp(-((first[:, None] - second[None]) ** 2).sum(-1) / 2)


def mmd_gap(new, old, fixed):
    def part(clips):
        count = len(clips)
        within = (gaussian(clips, clips).sum() - count) / (count * (count - 1))
        return within - 2 * gaussian(clips, fixed).mean()

    return part(new) - part(old)


def test_flipping_the_signs_of_kernel_scores_is_exchanging_sounds_within_pairs():
    random = numpy_stream(2, "kernel")
    fixed, new, old = (random.normal(shift, 1, size=(6, 2)) for shift in (0, 0.3, 0.9))
    scores = kernel_scores(
        gaussian(new, new),
        gaussian(old, old),
        gaussian(new, old),
        gaussian(new, fixed).mean(axis=1),
        gaussian(old, fixed).mean(axis=1),
    )
    gaps = []
    for swaps in product((False, True), repeat=6):
        swap = np.array(swaps)[:, None]
        first, second = np.where(swap, old, new), np.where(swap, new, old)
        gaps.append(mmd_gap(first, second, fixed))
        assert scores @ np.where(swaps, -1, 1) == pytest.approx(gaps[-1])
    observed = abs(mmd_gap(new, old, fixed))
    assert sign_flip_test(scores) == np.mean(np.abs(gaps) >= observed - 1e-12)


def test_kernels_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="Kernels of 3, 3, 3, 2 and 3"):
        kernel_scores(np.eye(3), np.eye(3), np.eye(3), [0, 0], [0, 0, 0])
    with pytest.raises(UserError, match="Kernels of 3, 4, 3, 3 and 3 prompts do not fit"):
        kernel_scores(np.eye(3), np.eye(4), np.eye(3), [0, 0, 0], [0, 0, 0])
    with pytest.raises(UserError, match="shape"):
        kernel_scores(np.ones((3, 2)), np.eye(3), np.eye(3), [0, 0, 0], [0, 0, 0])


def test_holm_adjusts_by_rank_and_keeps_the_order():
    adjusted = holm({"fd": 0.04, "kl": 0.01, "match": 0.03, "kad": 0.005})
    assert list(adjusted) == ["fd", "kl", "match", "kad"]
    assert adjusted == pytest.approx({"kad": 0.02, "kl": 0.03, "match": 0.06, "fd": 0.06})
    assert holm({"fd": 0.9, "kl": 0.8}) == {"fd": 1.0, "kl": 1.0}
    assert holm({}) == {}
