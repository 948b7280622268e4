"""Shares, agreement: the reference cases, limits and coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.agreement import krippendorff_alpha
from soundwright.evaluation.statistics.proportions import (
    binomial_test,
    corrected_share,
    is_fit,
    rogan_gladen,
    wilson,
    youden,
)


def test_wilson_gives_the_published_intervals():
    found = wilson(107, 160)
    assert (found.low, found.high) == pytest.approx((0.5926, 0.7370), abs=5e-5)
    found = wilson(83, 160)
    assert (found.low, found.high) == pytest.approx((0.4418, 0.5948), abs=5e-5)


def test_the_binomial_test_gives_the_published_p_values():
    assert binomial_test(83, 160) == pytest.approx(0.693, abs=5e-4)
    assert binomial_test(107, 160) == pytest.approx(2.4e-5, abs=5e-7)


def test_wilson_stays_within_zero_and_one():
    assert wilson(0, 20).low == 0
    assert 0 < wilson(0, 20).high < 0.2
    assert wilson(20, 20).high == 1


@pytest.mark.parametrize("trials", [20, 160])
def test_wilson_holds_the_truth_on_average_over_truths(trials):
    # Exactly, without simulation: the chance of every count times whether its interval holds.
    intervals = [wilson(count, trials) for count in range(trials + 1)]
    coverage = [
        sum(
            binom.pmf(count, trials, truth)
            for count, interval in enumerate(intervals)
            if not interval.excludes(truth)
        )
        for truth in np.linspace(0.05, 0.95, 91)
    ]
    assert 0.94 <= np.mean(coverage) <= 0.97
    assert min(coverage) > 0.85


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 5)])
def test_counts_that_are_no_share_are_refused(successes, trials):
    with pytest.raises(UserError, match="no share"):
        wilson(successes, trials)
    with pytest.raises(UserError, match="no share"):
        binomial_test(successes, trials)


def test_rogan_gladen_undoes_what_a_judge_does_to_a_share():
    truth, sensitivity, specificity = 0.3, 0.9, 0.8
    seen = truth * sensitivity + (1 - truth) * (1 - specificity)
    assert rogan_gladen(seen, sensitivity, specificity) == pytest.approx(truth)
    assert rogan_gladen(0.37, 1.0, 1.0) == pytest.approx(0.37)
    assert rogan_gladen(0.05, sensitivity, specificity) == 0.0
    with pytest.raises(UserError, match="guessing"):
        rogan_gladen(0.5, 0.5, 0.5)


def test_a_judge_is_fit_from_half_of_youdens_index_on():
    assert youden(0.75, 0.75) == 0.5
    assert is_fit(0.75, 0.75)
    assert not is_fit(0.74, 0.75)


def test_a_judge_measured_on_few_clips_widens_the_interval():
    seen = np.repeat([1.0, 0.0], [60, 40])
    many = corrected_share(seen, (9000, 10_000), (8500, 10_000))
    few = corrected_share(seen, (18, 20), (17, 20))
    assert many.estimate == few.estimate == pytest.approx((0.6 + 0.85 - 1) / 0.75)
    assert few.high - few.low > 1.2 * (many.high - many.low)
    perfect = corrected_share(seen, (20, 20), (20, 20))
    alone = wilson(60, 100)
    assert perfect.low < alone.low  # 20 of 20 is no proof of perfection


def test_corrected_shares_hold_the_truth():
    held, trials = 0, 250
    for trial in range(trials):
        random = numpy_stream(0, "judge", trial)
        has = random.random(80) < 0.6
        seen = np.where(has, random.random(80) < 0.85, random.random(80) > 0.9)
        found, rejected = int(random.binomial(40, 0.85)), int(random.binomial(40, 0.9))
        interval = corrected_share(seen, (found, 40), (rejected, 40), draws=300, seed=trial)
        held += not interval.excludes(0.6)
    assert 0.90 <= held / trials <= 0.98


N = np.nan
RATINGS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ]
)
"""Krippendorff's example of four observers and twelve units."""


@pytest.mark.parametrize(
    ("scale", "alpha"),
    [("nominal", 0.7434), ("ordinal", 0.8154), ("interval", 0.8491), ("ratio", 0.7974)],
)
def test_krippendorffs_example(scale, alpha):
    assert krippendorff_alpha(RATINGS, scale) == pytest.approx(alpha, abs=5e-5)


def test_alpha_of_agreement_chance_and_nothing():
    assert krippendorff_alpha([[1, 2, 3], [1, 2, 3]], "interval") == 1.0
    noise = numpy_stream(0, "ratings").integers(1, 6, size=(4, 2000))
    assert krippendorff_alpha(noise, "ordinal") == pytest.approx(0, abs=0.03)
    assert krippendorff_alpha([[1, 1], [1, 1]], "nominal") is None
    assert krippendorff_alpha([[1, N], [N, 2]], "nominal") is None
    with pytest.raises(UserError, match="negative"):
        krippendorff_alpha([[-1, 2], [1, 2]], "ratio")
    with pytest.raises(UserError, match="shape"):
        krippendorff_alpha([1, 2, 3], "nominal")
