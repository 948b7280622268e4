"""How raters did on the controls, and whom the plan's rules therefore leave out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from soundwright.core.records import Record
from soundwright.evaluation.study.plan import Exclusion
from soundwright.evaluation.study.records import Answer, Check
from soundwright.evaluation.study.schedule import SIDES

MATCHES = 4
"""A foil that is rated this or higher was taken for what the text says."""
STEPS = 1
"""A repeat that is rated further apart than this reverses the first answer."""


class Tally(Record):
    """So many of so many."""

    count: int = 0
    of: int = 0

    @property
    def share(self) -> float:
        """None of none is none."""
        return self.count / self.of if self.of else 0.0


class RaterRecord(Record):
    """One rater and its controls."""

    rater: str
    number: int
    answers: int
    """Trials answered, controls included."""
    foils: Tally = Tally()
    """Foils taken for what the text says."""
    identical: Tally = Tally()
    """Answers that hear a difference in identical pairs; one for each question."""
    repeats: Tally = Tally()
    """Answers to repeated trials that are reversed; one for each question."""
    headphones: bool | None = None
    """Whether the headphone check was passed; None where there was none."""
    excluded: tuple[str, ...] = ()
    """Rules that leave the rater out."""


def judge_raters(
    rules: Exclusion, answers: Sequence[Answer], checks: Mapping[int, Check]
) -> list[RaterRecord]:
    """Every rater with an answer, in the order in which they came."""
    by_rater: defaultdict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_rater[answer.number].append(answer)
    return [judge_rater(rules, by_rater[number], checks.get(number)) for number in sorted(by_rater)]


def judge_rater(rules: Exclusion, answers: Sequence[Answer], check: Check | None) -> RaterRecord:
    """Count one rater's controls and apply the rules."""
    by_trial = {answer.trial: answer for answer in answers}
    foils = [is_fooled(answer) for answer in answers if answer.kind == "foil"]
    identical = [
        choice != "tie"
        for answer in answers
        if answer.kind == "identical"
        for choice in answer.choices.values()
    ]
    repeats = [
        reverses
        for answer in answers
        if answer.repeats in by_trial
        for reverses in compare(by_trial[answer.repeats], answer)
    ]
    record = RaterRecord(
        rater=answers[0].rater,
        number=answers[0].number,
        answers=len(answers),
        foils=Tally(count=sum(foils), of=len(foils)),
        identical=Tally(count=sum(identical), of=len(identical)),
        repeats=Tally(count=sum(repeats), of=len(repeats)),
        headphones=None if check is None else check.passed,
    )
    reasons = [
        f"{name}: {tally.count} of {tally.of}"
        for name, tally, most in (
            ("foils", record.foils, rules.foils),
            ("identical", record.identical, rules.identical),
            ("repeats", record.repeats, rules.repeats),
        )
        if tally.share > most
    ]
    if rules.headphones and not record.headphones:
        reasons.append("headphones")
    return record.model_copy(update={"excluded": tuple(reasons)})


def is_fooled(answer: Answer) -> bool:
    """Whether a foil was taken for what the text says."""
    choice = answer.choices["alignment"]
    return choice >= MATCHES if isinstance(choice, int) else choice == answer.foil


def compare(first: Answer, again: Answer) -> list[bool]:
    """For each question, whether the second answer is the reverse of the first.

    A change from or to a tie is none.
    """
    return [reverse(answer, again.choices[name]) for name, answer in first.choices.items()]


def reverse(first: Any, again: Any) -> bool:
    """Whether a sound's answer is reversed, sides being changed in between."""
    if isinstance(first, int):
        return abs(first - again) > STEPS
    return first in SIDES and again == first
