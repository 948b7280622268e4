"""What a study found: shares and ratings with intervals that respect raters and prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from soundwright.evaluation.statistics.intervals import DRAWS
from soundwright.evaluation.study.comparisons import describe_pairs
from soundwright.evaluation.study.exclusion import judge_raters
from soundwright.evaluation.study.ratings import describe_ratings
from soundwright.evaluation.study.records import Answer, Check, Study


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
        "raters": [rater.model_dump(mode="json") for rater in raters],
        "exclusion": study.plan.exclusion.plain(),
        "questions": {
            question: {
                name: describe(study, group, question, draws) for name, group in groups.items()
            }
            for question in study.plan.questions
        },
        "events": count_events(groups["kept"]),
    }


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
