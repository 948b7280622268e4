"""Votes: shares, Bradley-Terry, Davidson, and intervals that respect raters and prompts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.preference import (
    bradley_terry,
    davidson,
    preference_share,
    side_bias,
    strength_intervals,
)
from soundwright.evaluation.statistics.proportions import wilson
from soundwright.evaluation.statistics.votes import Votes


def test_two_systems_differ_by_the_log_odds_of_the_votes():
    strengths = bradley_terry([[0, 107], [53, 0]])
    assert strengths[0] - strengths[1] == pytest.approx(0.70254, abs=5e-6)
    assert strengths.sum() == pytest.approx(0)


def test_strengths_are_likeliest_and_ties_count_half():
    wins = np.array([[0, 7, 9, 2], [3, 0, 6, 5], [1, 4, 0, 0], [2, 3, 8, 0]], float)
    ties = np.array([[0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 4], [0, 0, 4, 0]], float)
    shared = wins + ties / 2

    def loss(strengths):
        return (shared * np.logaddexp(0, strengths[None] - strengths[:, None])).sum()

    peer = minimize(loss, np.zeros(4), tol=1e-10).x
    assert bradley_terry(wins, ties) == pytest.approx(peer - peer.mean(), abs=1e-4)


def test_davidson_gives_back_odds_and_ties_of_two_systems():
    found = davidson([[0, 50], [30, 0]], [[0, 20], [20, 0]])
    assert found.strengths[0] - found.strengths[1] == pytest.approx(np.log(50 / 30))
    assert found.tie == pytest.approx(20 / np.sqrt(50 * 30))


def test_davidson_gives_back_a_known_population():
    truth, tie = np.array([0.8, 0.1, -0.9]), 0.7
    odds = np.exp(truth)
    wins, ties = np.zeros((3, 3)), np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            if i != j:
                middle = tie * np.sqrt(odds[i] * odds[j])
                total = odds[i] + odds[j] + middle
                wins[i, j], ties[i, j] = 1000 * odds[i] / total, 1000 * middle / total
    found = davidson(wins, ties)
    assert found.strengths == pytest.approx(truth, abs=1e-6)
    assert found.tie == pytest.approx(tie, abs=1e-6)


def test_without_ties_davidson_is_bradley_terry():
    wins = [[0, 5, 8], [3, 0, 6], [2, 2, 0]]
    found = davidson(wins, np.zeros((3, 3)))
    assert found.tie == 0
    assert found.strengths == pytest.approx(bradley_terry(wins))
    with pytest.raises(UserError, match="All votes are ties"):
        davidson(np.zeros((2, 2)), [[0, 3], [3, 0]])


@pytest.mark.parametrize(
    "wins",
    [[[0, 5], [0, 0]], [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]],
    ids=["never lost", "never met"],
)
def test_strengths_that_would_be_infinite_are_refused(wins):
    with pytest.raises(UserError, match="never"):
        bradley_terry(wins)


def draw_votes(seed: int, *, raters: int = 8, prompts: int = 20, latent: float = 0.4) -> Votes:
    random = numpy_stream(seed, "votes")
    taste = (
        latent
        + 0.3 * random.normal(size=(raters, 1))
        + 0.65 * random.normal(size=(1, prompts))
        + random.normal(size=(raters, prompts))
    )
    rows = []
    for rater, prompt in np.ndindex(raters, prompts):
        outcome = float(taste[rater, prompt] > 0)
        if random.random() < 0.5:
            rows.append(("new", "old", outcome, f"r{rater}", f"p{prompt}"))
        else:
            rows.append(("old", "new", 1 - outcome, f"r{rater}", f"p{prompt}"))
    return Votes(*map(list, zip(*rows, strict=True)))


def test_shares_of_eight_raters_hold_the_truth_where_votes_alone_do_not():
    truth = norm.cdf(0.4 / np.sqrt(1 + 0.3**2 + 0.65**2))
    held = alone = 0
    trials = 120
    for trial in range(trials):
        votes = draw_votes(trial)
        share = preference_share(votes, "new", draws=300, seed=trial)
        held += not share.excludes(truth)
        alone += not wilson(round(share.estimate * 160), 160).excludes(truth)
    assert 0.90 <= held / trials <= 0.99  # noise of 120 trials: 2 %
    assert alone / trials < 0.85


def test_strengths_of_two_systems_say_what_shares_say():
    votes = draw_votes(0)
    share = preference_share(votes, "new")
    found = strength_intervals(votes, draws=2000)
    gap = found["new"].estimate - found["old"].estimate
    assert gap == pytest.approx(np.log(share.estimate / (1 - share.estimate)))
    low = 1 / (1 + np.exp(-2 * found["new"].low))
    high = 1 / (1 + np.exp(-2 * found["new"].high))
    assert (low, high) == pytest.approx((share.low, share.high), abs=1e-6)
    assert found["old"].low == pytest.approx(-found["new"].high)


def test_a_tie_is_half_a_vote_whichever_side_a_system_stands_on():
    votes = Votes(
        ["a", "b", "a", "c"], ["b", "a", "b", "b"], [1, 1, 0.5, 0], list("rrss"), list("pqpq")
    )
    assert votes.systems == ("a", "b", "c")
    assert preference_share(votes, "a").estimate == pytest.approx(0.5)
    wins, ties = votes.tally()
    assert wins.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    assert ties.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_votes_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="votes"):
        Votes(["a"], ["b", "b"], [1], ["r"], ["p"])
    with pytest.raises(UserError, match="itself"):
        Votes(["a"], ["a"], [1], ["r"], ["p"])
    with pytest.raises(UserError, match="tie"):
        Votes(["a"], ["b"], [0.7], ["r"], ["p"])
    with pytest.raises(UserError, match="nwe"):
        preference_share(draw_votes(0), "nwe")


def test_a_liking_for_one_side_shows():
    found = side_bias(100, 60)
    assert found.left.low > 0.5
    assert found.p < 0.01
    assert side_bias(80, 80).p == 1.0
    with pytest.raises(UserError, match="no share"):
        side_bias(0, 0)
