"""Results of a study in which each sound is rated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from soundwright.evaluation.statistics.intervals import interval_of
from soundwright.evaluation.statistics.votes import redraw_both
from soundwright.evaluation.study.findings import count_units, find_alpha, with_interval
from soundwright.evaluation.study.plan import Question
from soundwright.evaluation.study.records import Answer, Study


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
