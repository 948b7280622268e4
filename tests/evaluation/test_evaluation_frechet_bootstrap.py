"""Replicates of distances equal those computed from scratch; intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.frechet_bootstrap import (
    DrawnFrechet,
    frechet_difference,
    frechet_interval,
)
from soundwright.evaluation.statistics.frechet_permutation import frechet_swap_test
from soundwright.evaluation.statistics.kernel_bootstrap import kernel_difference, kernel_interval


def direct(windows, mean, covariance):
    """The definition, by scipy's matrix root."""
    own = np.cov(windows, rowvar=False)
    root = np.real(sqrtm(own @ covariance))
    gap = windows.mean(axis=0) - mean
    return gap @ gap + np.trace(own) + np.trace(covariance) - 2 * np.trace(root)


def reference(random, width):
    windows = random.normal(size=(300, width)) @ random.normal(size=(width, width)) / width**0.5
    return windows.mean(axis=0) + 100, np.cov(windows, rowvar=False)


@pytest.mark.parametrize(
    ("clips", "width"),
    [(60, 5), (12, 40)],
    ids=["more windows than dimensions", "fewer"],
)
def test_a_replicate_equals_the_distance_of_the_drawn_windows(clips, width):
    random = numpy_stream(0, "replicate", clips)
    mean, covariance = reference(random, width)
    labels = np.repeat(np.arange(clips), random.integers(1, 4, size=clips))
    windows = random.normal(size=(len(labels), width)) + 100.3
    system = DrawnFrechet(windows, labels, mean, covariance)
    for counts in (np.ones(clips), *random.multinomial(clips, np.full(clips, 1 / clips), 3)):
        drawn = np.repeat(windows, counts.astype(int)[labels], axis=0)
        expected = direct(drawn, mean, covariance)
        assert system.distance(np.asarray(counts, float)) == pytest.approx(expected, rel=1e-5)


def test_a_singular_reference_gives_a_real_distance():
    random = numpy_stream(1, "singular")
    windows = random.normal(size=(8, 20))
    mean, covariance = windows.mean(axis=0), np.cov(windows, rowvar=False)
    system = DrawnFrechet(windows, np.arange(8), mean, covariance)
    assert system.distance(np.ones(8)) == pytest.approx(0, abs=1e-5)


def test_the_interval_lies_below_the_inflated_distance():
    random = numpy_stream(2, "null")
    windows = random.normal(size=(100, 16))
    found = frechet_interval(windows, np.arange(100), np.zeros(16), np.eye(16), draws=200)
    # The truth is 0: the estimate is the bias of 100 clips, and replicates are as much larger.
    assert found.estimate == pytest.approx(found.bias, rel=0.1)
    assert found.low < 0 < found.high < found.estimate


def test_a_difference_is_that_of_the_distances_whatever_the_order_of_windows():
    random = numpy_stream(3, "difference")
    mean, covariance = reference(random, 4)
    names = np.array([f"prompt {number}" for number in range(30)])
    new, old = random.normal(size=(30, 4)) + 100, random.normal(size=(60, 4)) + 101
    found = frechet_difference(new, names, old, np.repeat(names, 2), mean, covariance, draws=50)
    expected = direct(new, mean, covariance) - direct(old, mean, covariance)
    assert found.estimate == pytest.approx(expected)
    assert found.units == 30
    order = random.permutation(30)
    shuffled = frechet_difference(
        new[order], names[order], old, np.repeat(names, 2), mean, covariance, draws=50
    )
    assert (shuffled.low, shuffled.high) == pytest.approx((found.low, found.high))


def test_distance_intervals_hold_the_truth_where_percentiles_never_do():
    width, clips, trials = 6, 50, 50
    truth = width * (1.2 - 1) ** 2 + width * 0.1**2
    new_truth = width * 0.1**2
    held = percentile = gaps = 0
    for trial in range(trials):
        random = numpy_stream(0, "coverage", trial)
        shared = random.normal(size=(clips, width))
        other = np.sqrt(0.5) * (shared + random.normal(size=(clips, width)))
        arguments = (np.arange(clips), np.zeros(width), np.eye(width))
        found = frechet_interval(1.2 * shared + 0.1, *arguments, draws=120, seed=trial)
        held += not found.excludes(truth)
        shift = 2 * found.bias
        percentile += found.low + shift <= truth <= found.high + shift
        gap = frechet_difference(
            other + 0.1, np.arange(clips), 1.2 * shared + 0.1, *arguments, draws=120, seed=trial
        )
        gaps += not gap.excludes(new_truth - truth)
    assert held / trials >= 0.9
    assert percentile / trials < 0.2
    assert gaps / trials >= 0.88  # noise of 50 trials: 3 %


def test_prompts_that_one_system_lacks_and_shapes_that_do_not_fit_are_refused():
    windows = np.ones((3, 2))
    with pytest.raises(UserError, match="different prompts"):
        frechet_difference(
            windows, ["a", "b", "c"], windows, ["a", "b", "d"], np.zeros(2), np.eye(2)
        )
    with pytest.raises(UserError, match="do not fit"):
        DrawnFrechet(windows, [0, 1, 2], np.zeros(3), np.eye(2))
    with pytest.raises(UserError, match="do not fit"):
        DrawnFrechet(windows, [0, 1], np.zeros(2), np.eye(2))
    with pytest.raises(UserError, match="1 clips"):
        frechet_interval(windows, ["a", "a", "a"], np.zeros(2), np.eye(2))
    with pytest.raises(UserError, match="not finite"):
        DrawnFrechet(windows * np.nan, [0, 1, 2], np.zeros(2), np.eye(2))


def gaussian(first, second):
    return np.exp(-((first[:, None] - second[None]) ** 2).sum(-1) / 2)


def mmd(first, second):
    """The unbiased squared MMD, from its definition."""
    n, m = len(first), len(second)
    one, other = gaussian(first, first), gaussian(second, second)
    within = (one.sum() - n) / (n * (n - 1)) + (other.sum() - m) / (m * (m - 1))
    return within - 2 * gaussian(first, second).mean()


def test_kernel_intervals_are_about_the_unbiased_squared_mmd():
    random = numpy_stream(4, "kernel")
    fixed, new, old = (random.normal(shift, 1, size=(40, 3)) for shift in (0, 0.2, 0.8))
    cross = [gaussian(one, fixed).mean(axis=1) for one in (new, old)]
    within = (gaussian(fixed, fixed).sum() - 40) / (40 * 39)
    alone = kernel_interval(gaussian(new, new), cross[0], within, draws=400)
    assert alone.estimate == pytest.approx(mmd(new, fixed))
    assert abs(alone.bias) < 0.1 * (alone.high - alone.low)
    gap = kernel_difference(gaussian(new, new), gaussian(old, old), *cross, draws=400)
    assert gap.estimate == pytest.approx(mmd(new, fixed) - mmd(old, fixed))
    assert gap.high < 0
    with pytest.raises(UserError, match="cannot be paired"):
        kernel_difference(gaussian(new, new), gaussian(old[:9], old[:9]), cross[0], cross[1][:9])


def test_swapping_sounds_of_a_prompt_tests_a_frechet_difference():
    random = numpy_stream(5, "swap")
    names = np.arange(25)
    new, old = random.normal(size=(25, 3)), random.normal(size=(25, 3))
    arguments = (np.zeros(3), np.eye(3))
    assert frechet_swap_test(new, names, new.copy(), names, *arguments, permutations=99) == 1.0
    # The same sounds summed in another order are the same system, in spite of rounding.
    again = frechet_swap_test(new, names, new[::-1], names[::-1], *arguments, permutations=99)
    assert again == 1.0
    far = frechet_swap_test(new, names, old + 3, names, *arguments, permutations=99)
    assert far == pytest.approx(0.01)
