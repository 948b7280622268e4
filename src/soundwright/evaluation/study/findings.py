"""What comparisons and ratings share: numbers as JSON values, or why there are none; agreement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from soundwright.core.errors import UserError
from soundwright.evaluation.statistics.agreement import Scale, krippendorff_alpha
from soundwright.evaluation.statistics.intervals import Interval
from soundwright.evaluation.study.plan import Question
from soundwright.evaluation.study.records import Answer

TOO_FEW = "an interval needs at least two raters and two prompts"


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
        return unavailable("no two raters heard the same, or all gave one and the same answer")
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
