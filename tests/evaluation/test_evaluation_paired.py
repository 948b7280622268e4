"""Intervals of means over clips and seeds: their definitions, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.intervals import interval_of
from soundwright.evaluation.statistics.paired import mean_interval, pair_up, paired_difference
from soundwright.evaluation.statistics.seeds import seed_interval, seeded_difference


def test_systems_are_paired_by_prompt_and_several_sounds_of_a_prompt_count_once():
    pairs = pair_up({"b": [1.0, 3.0], "a": 5.0, "x": 0.0}, {"a": 1.0, "b": 2.0, "y": 1.0})
    assert pairs.prompts == ("a", "b")
    assert pairs.differences.tolist() == [4.0, 0.0]
    assert pairs.only_old == ("y",)
    with pytest.raises(UserError, match="share no prompt"):
        pair_up({"a": 1.0}, {"b": 1.0})


def test_percentiles_their_reflection_and_their_shift_follow_their_definitions():
    replicates = np.arange(101) / 100  # quantile q is q
    percentile = interval_of(replicates, 0.4, 30, level=0.9)
    reflected = interval_of(replicates, 0.4, 30, level=0.9, method="reflected")
    assert (percentile.low, percentile.high) == pytest.approx((0.05, 0.95))
    assert (reflected.low, reflected.high) == pytest.approx((0.8 - 0.95, 0.8 - 0.05))
    assert reflected.bias == pytest.approx(0.1)
    shifted = interval_of(replicates, 0.4, 30, level=0.9, method="shifted")
    assert (shifted.low, shifted.high) == pytest.approx((0.05 - 0.2, 0.95 - 0.2))
    assert percentile.excludes(0.96)
    assert not percentile.excludes(0.95)


def test_the_interval_of_a_mean_is_about_students():
    values = numpy_stream(0, "values").normal(3, 2, size=40)
    found = mean_interval(values, draws=20_000)
    student = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert found.estimate == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(student, abs=0.04)


def test_pairing_takes_out_what_prompts_have_in_common():
    random = numpy_stream(1, "values")
    prompts = random.normal(0, 10, size=50)
    old = prompts + random.normal(0, 0.1, size=50)
    found = paired_difference(old + 0.2, old)
    assert found.low == pytest.approx(0.2)
    assert found.excludes(0)
    assert not paired_difference(old, old).excludes(0)


def test_equal_seeds_give_equal_intervals_and_draws_beyond_one_block_go_on():
    values = numpy_stream(2, "values").normal(size=3000)
    assert mean_interval(values, draws=400, seed=3) == mean_interval(values, draws=400, seed=3)
    assert mean_interval(values, draws=400, seed=3) != mean_interval(values, draws=400, seed=4)
    assert 0.05 < mean_interval(values, draws=400).high - mean_interval(values, draws=400).low < 0.1


@pytest.mark.parametrize(
    ("new", "old", "message"),
    [
        ([1.0, np.nan, 2.0], [1.0, 1.0, 1.0], "1 of 3"),
        ([1.0], [2.0], "at least 2 clips"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], "cannot be paired"),
        ([[1.0, 2.0]], [[1.0, 2.0]], "shape"),
    ],
)
def test_numbers_that_cannot_be_compared_are_refused(new, old, message):
    with pytest.raises(UserError, match=message):
        paired_difference(new, old)


def test_intervals_of_paired_means_hold_the_truth_as_often_as_they_say():
    trials = 300
    held = 0
    for trial in range(trials):
        random = numpy_stream(0, "coverage", trial)
        shared = random.normal(0, 3, size=30)
        new = shared + random.standard_t(5, size=30) + 0.5
        old = shared + random.standard_t(5, size=30)
        held += not paired_difference(new, old, draws=400, seed=trial).excludes(0.5)
    # Binomial noise of 300 trials is 1.3 %; the band asked for is 90-98 %.
    assert 0.90 <= held / trials <= 0.98


def table(random, seeds: int, spread: float, prompts: int = 40) -> np.ndarray:
    return (
        spread * random.normal(size=(seeds, 1))
        + 0.5 * random.normal(size=(1, prompts))
        + random.normal(size=(seeds, prompts))
    )


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("spread", [0.05, 0.5])
def test_intervals_over_seeds_and_prompts_hold_the_truth(paired, spread):
    trials = 200
    held, narrow = 0, 0
    for trial in range(trials):
        random = numpy_stream(0, "seeds", trial)
        new, old = table(random, 3, spread), table(random, 3, spread)
        found = seeded_difference(new, old, paired_seeds=paired, draws=200, seed=trial)
        held += not found.crossed.excludes(0)
        narrow += not found.prompts_only.excludes(0)
    assert 0.90 <= held / trials <= 0.99
    if spread == 0.5:
        # With seeds taken as given, seeds that matter are mistaken for an effect.
        assert narrow / trials < 0.8


def test_the_crossed_interval_is_students_where_only_seeds_differ():
    new = np.tile([[1.0], [2.0], [4.0]], (1, 10))
    old = np.tile([[0.0], [1.5], [2.0]], (1, 10))
    found = seeded_difference(new, old, paired_seeds=True)
    gaps = np.array([1.0, 0.5, 2.0])
    student = stats.t.interval(0.95, 2, gaps.mean(), stats.sem(gaps))
    assert (found.crossed.low, found.crossed.high) == pytest.approx(student)
    alone = seed_interval([1.0, 2.0, 4.0], [0.0, 1.5, 2.0], paired_seeds=True)
    assert (alone.low, alone.high) == pytest.approx(student)
    assert found.new_seeds == (1.0, 2.0, 4.0)


def test_seeds_that_are_not_paired_are_compared_as_welch_does():
    new, old = [1.0, 2.0, 4.0, 4.5], [0.0, 0.1, 0.3]
    found = seed_interval(new, old, paired_seeds=False)
    welch = stats.ttest_ind(new, old, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high))


def test_one_seed_is_no_sample_of_seeds():
    with pytest.raises(UserError, match="second seed"):
        seeded_difference(np.ones((1, 5)), np.ones((1, 5)), paired_seeds=True)
    with pytest.raises(UserError, match="same seeds"):
        seeded_difference(np.ones((2, 5)), np.ones((3, 5)), paired_seeds=True)
