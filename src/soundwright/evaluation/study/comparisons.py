"""Results of a study that compares two sounds at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from soundwright.evaluation.statistics.preference import (
    davidson,
    preference_share,
    side_bias,
    strength_intervals,
)
from soundwright.evaluation.statistics.proportions import binomial_test, wilson
from soundwright.evaluation.statistics.votes import Votes
from soundwright.evaluation.study.findings import (
    TOO_FEW,
    attempt,
    count_units,
    few_units,
    find_alpha,
    plain,
    unavailable,
    with_interval,
)
from soundwright.evaluation.study.plan import Question
from soundwright.evaluation.study.records import Answer, Study

OUTCOMES = {"left": 1.0, "tie": 0.5, "right": 0.0}


def describe_pairs(
    study: Study, answers: Sequence[Answer], question: Question, draws: int
) -> dict[str, Any]:
    """Comparisons: shares of every pair, strengths, agreement, and the test for sides."""
    if not answers:
        return {"votes": 0, "unavailable": "no rater is left"}
    votes = Votes(
        first=[answer.systems["left"] for answer in answers],
        second=[answer.systems["right"] for answer in answers],
        outcomes=[OUTCOMES[str(answer.choices[question])] for answer in answers],
        raters=[answer.rater for answer in answers],
        prompts=[answer.prompt for answer in answers],
    )
    left, right = (votes.outcomes.count(outcome) for outcome in (1.0, 0.0))
    return {
        **count_units(answers),
        "pairs": [
            found
            for pair in combinations(study.systems, 2)
            if (found := describe_pair(votes, pair, draws)) is not None
        ],
        "strengths": attempt(lambda: describe_strengths(votes, draws)),
        "davidson": attempt(lambda: describe_davidson(votes)),
        "alpha": find_alpha(answers, question, "ordinal"),
        "sides": attempt(lambda: describe_sides(left, right)),
    }


def describe_pair(votes: Votes, pair: tuple[str, str], draws: int) -> dict[str, Any] | None:
    """One pair of systems; None where nobody compared them."""
    first, second = pair
    places = [
        place
        for place, both in enumerate(zip(votes.first, votes.second, strict=True))
        if set(both) == set(pair)
    ]
    if not places:
        return None
    chosen = Votes(
        first=[votes.first[place] for place in places],
        second=[votes.second[place] for place in places],
        outcomes=[votes.outcomes[place] for place in places],
        raters=[votes.raters[place] for place in places],
        prompts=[votes.prompts[place] for place in places],
    )
    wins, ties = chosen.tally()
    at = chosen.systems.index
    won, lost = int(wins[at(first), at(second)]), int(wins[at(second), at(first)])
    return {
        "first": first,
        "second": second,
        "first_preferred": won,
        "ties": int(ties[0, 1]),
        "second_preferred": lost,
        # Ties count half. Raters and prompts are drawn again: votes of one are no independent ones.
        "share_of_first": with_interval(
            chosen.raters,
            chosen.prompts,
            (won + ties[0, 1] / 2) / len(places),
            lambda: preference_share(chosen, first, draws=draws),
        ),
        # As papers give it: decided votes as if they were independent of each other.
        "decided_share_if_independent": attempt(lambda: plain(wilson(won, won + lost))),
        "p_if_independent": attempt(lambda: binomial_test(won, won + lost)),
    }


def describe_strengths(votes: Votes, draws: int) -> dict[str, Any]:
    """Bradley-Terry strengths, ties half a win for both."""
    if few_units(votes.raters, votes.prompts):
        return unavailable(TOO_FEW)
    return {
        name: plain(interval) for name, interval in strength_intervals(votes, draws=draws).items()
    }


def describe_davidson(votes: Votes) -> dict[str, Any]:
    """Strengths beside a tendency to tie."""
    fitted = davidson(*votes.tally())
    strengths = map(float, fitted.strengths)
    return {"strengths": dict(zip(votes.systems, strengths, strict=True)), "tie": fitted.tie}


def describe_sides(left: int, right: int) -> dict[str, Any]:
    """Whether a side was chosen for itself."""
    found = side_bias(left, right)
    return {"left": plain(found.left), "p": found.p}
