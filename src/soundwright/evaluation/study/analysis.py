"""What a study found: shares and ratings with intervals that respect raters and prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from soundwright.core.errors import UserError
from soundwright.evaluation.statistics.agreement import Scale, krippendorff_alpha
from soundwright.evaluation.statistics.intervals import DRAWS, Interval, interval_of
from soundwright.evaluation.statistics.preference import (
    davidson,
    preference_share,
    side_bias,
    strength_intervals,
)
from soundwright.evaluation.statistics.proportions import binomial_test, wilson
from soundwright.evaluation.statistics.votes import Votes, redraw_both
from soundwright.evaluation.study.exclusion import RaterRecord, judge_raters
from soundwright.evaluation.study.plan import Question
from soundwright.evaluation.study.records import Answer, Check, Study

TOO_FEW = "an interval needs at least two raters and two prompts"
OUTCOMES = {"left": 1.0, "tie": 0.5, "right": 0.0}


def analyse(
    study: Study, answers: Sequence[Answer], checks: Mapping[int, Check], *, draws: int = DRAWS
) -> dict[str, Any]:
    """All results of a study, as JSON values.

    Args:
        study: What was asked.
        answers: What was answered, controls included.
        checks: Headphone checks by rater's number.
        draws: Bootstrap replicates.

    Returns:
        `raters`, with how they did on the controls, and for each question the results of `all`
        raters and of those that the plan's rules keep. A number is a mapping with `estimate`,
        `low` and `high`, or one with `unavailable` that says why there is none.
    """
    raters = judge_raters(study.plan.exclusion, answers, checks)
    kept = {rater.number for rater in raters if not rater.excluded}
    votes = [answer for answer in answers if answer.kind == "vote"]
    groups = {"all": votes, "kept": [vote for vote in votes if vote.number in kept]}
    describe = describe_pairs if study.plan.form == "pairs" else describe_ratings
    return {
        "study": study.hash,
        "title": study.plan.title,
        "form": study.plan.form,
        "systems": list(study.systems),
        "planned": {
            "raters": study.plan.raters,
            "prompts": study.plan.prompts,
            "votes": study.plan.votes,
        },
        "raters": [describe_rater(rater) for rater in raters],
        "exclusion": study.plan.exclusion.plain(),
        "questions": {
            question: {
                name: describe(study, group, question, draws) for name, group in groups.items()
            }
            for question in study.plan.questions
        },
        "events": count_events(groups["kept"]),
    }


def describe_rater(rater: RaterRecord) -> dict[str, Any]:
    """A rater as JSON values."""
    return rater.model_dump(mode="json")


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


def describe_ratings(
    study: Study, answers: Sequence[Answer], question: Question, draws: int
) -> dict[str, Any]:
    """Ratings: means of the systems and their differences, and agreement."""
    if not answers:
        return {"votes": 0, "unavailable": "no rater is left"}
    systems = [name for name in study.systems if any(has(answer, name) for answer in answers)]
    raters = [answer.rater for answer in answers]
    prompts = [answer.prompt for answer in answers]
    values = np.array([float(answer.choices[question]) for answer in answers])
    rows = np.array([[has(answer, name) for name in systems] for answer in answers], np.float64)
    estimates = values @ rows / rows.sum(axis=0)
    blocks: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    for weights in redraw_both(raters, prompts, draws, 0):
        totals = weights @ rows
        whole = (totals > 0).all(axis=1)
        blocks.append((weights @ (values[:, None] * rows))[whole] / totals[whole])
    means = np.concatenate(blocks)
    units = min(len(set(raters)), len(set(prompts)))

    def describe(drawn: Any, estimate: float) -> dict[str, Any]:
        return with_interval(raters, prompts, estimate, lambda: interval_of(drawn, estimate, units))

    return {
        **count_units(answers),
        "means": {
            name: describe(means[:, place], float(estimates[place]))
            for place, name in enumerate(systems)
        },
        "differences": [
            {
                "first": systems[one],
                "second": systems[other],
                "difference": describe(
                    means[:, one] - means[:, other], float(estimates[one] - estimates[other])
                ),
            }
            for one, other in combinations(range(len(systems)), 2)
        ],
        "alpha": find_alpha(answers, question, "interval"),
    }


def has(answer: Answer, system: str) -> bool:
    """Whether a rating is about a system."""
    return answer.systems["left"] == system


def count_units(answers: Sequence[Answer]) -> dict[str, int]:
    """How much there is."""
    return {
        "votes": len(answers),
        "raters": len({answer.rater for answer in answers}),
        "prompts": len({answer.prompt for answer in answers}),
    }


def find_alpha(answers: Sequence[Answer], question: Question, scale: Scale) -> Any:
    """Krippendorff's alpha over raters; a unit is a prompt with the system or pair in question.

    A comparison counts as from whichever side it was heard: -1 for the system whose name sorts
    first, 1 for the other, 0 for a tie.
    """
    raters = sorted({answer.rater for answer in answers})
    units = sorted({unit_of(answer) for answer in answers})
    table = np.full((len(raters), len(units)), np.nan)
    for answer in answers:
        place = raters.index(answer.rater), units.index(unit_of(answer))
        table[place] = value_of(answer, question)
    alpha = krippendorff_alpha(table, scale)
    if alpha is None:
        return unavailable("no two raters answered the same, or all answered alike")
    return alpha


def unit_of(answer: Answer) -> tuple[str, ...]:
    """What is judged, whichever the side."""
    return (answer.prompt, *sorted(answer.systems.values()))


def value_of(answer: Answer, question: Question) -> float:
    """The answer as a number."""
    choice = answer.choices[question]
    if isinstance(choice, int):
        return float(choice)
    if choice == "tie":
        return 0.0
    return -1.0 if answer.systems[choice] == min(answer.systems.values()) else 1.0


def count_events(answers: Sequence[Answer]) -> dict[str, dict[str, dict[str, float]]]:
    """By system and event: in how many sounds it was asked for, share heard, and mean count."""
    found: dict[str, dict[str, list[int]]] = {}
    for answer in answers:
        for side, counts in answer.counts.items():
            of_system = found.setdefault(answer.systems[side], {})
            for event, number in counts.items():
                of_system.setdefault(event, []).append(number)
    return {
        system: {
            event: {
                "answers": len(numbers),
                "heard": float(np.mean([number > 0 for number in numbers])),
                "mean_count": float(np.mean(numbers)),
            }
            for event, numbers in sorted(events.items())
        }
        for system, events in sorted(found.items())
    }


def with_interval(
    raters: Sequence[str],
    prompts: Sequence[str],
    estimate: float,
    compute: Callable[[], Interval],
) -> dict[str, Any]:
    """An estimate with its interval over raters and prompts, or why it has none."""
    if few_units(raters, prompts):
        return {"estimate": float(estimate), **unavailable(TOO_FEW)}
    return plain(compute())


def few_units(raters: Sequence[str], prompts: Sequence[str]) -> bool:
    """Whether drawing again would draw always the same."""
    return len(set(raters)) < 2 or len(set(prompts)) < 2


def attempt(compute: Callable[[], Any]) -> Any:
    """What is computed, or why it cannot be."""
    try:
        return compute()
    except UserError as error:
        return unavailable(error.problem)


def unavailable(reason: str) -> dict[str, str]:
    """Stands where there is no number."""
    return {"unavailable": reason}


def plain(interval: Interval) -> dict[str, Any]:
    """An interval as JSON values."""
    return {
        "estimate": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "level": interval.level,
        "method": interval.method,
        "units": interval.units,
    }
