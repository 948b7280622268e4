"""What a rater is shown, and which answers are taken. Nothing here knows of HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundwright
from soundwright.core.errors import UserError
from soundwright.evaluation.study.plan import Question
from soundwright.evaluation.study.records import (
    ANSWERS_NAME,
    Answer,
    Copy,
    Play,
    Side,
    Study,
    Submission,
    read_study,
    verify_copies,
)
from soundwright.evaluation.study.schedule import Schedule, Trial
from soundwright.evaluation.study.storage import Answers, now

MOST_COUNTED = 20
WORDS: dict[str, dict[Question, str]] = {
    "pairs": {
        "quality": "Which sound has the better quality?",
        "alignment": "Which sound matches the text better?",
    },
    "ratings": {
        "quality": "How good is the quality of the sound?",
        "alignment": "How well does the sound match the text?",
    },
}


class RefusedError(Exception):
    """An answer that is not taken; the text says why."""


class Sessions:
    """The running study.

    Args:
        folder: Of the study.

    Raises:
        UserError: The study, a copy of a sound or the database of answers does not hold.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.study: Study = read_study(self.folder)
        # Told at every request; the whole study is hashed for it.
        self._hash = self.study.hash
        verify_copies(self.folder, self.study)
        self.answers = Answers(self.folder, self.study)
        self.schedule = Schedule(self.study)

    def describe(self, number: int) -> dict[str, Any]:
        """What the page of a rater is told: never a system's name, nor what is a control."""
        plan = self.study.plan
        trials = self.schedule.trials(number)
        answered = self.answers.answered(number)
        place = next((place for place in range(len(trials)) if place not in answered), None)
        return {
            **self.introduce(),
            "questions": [
                {"id": question, "text": WORDS[plan.form][question]} for question in plan.questions
            ],
            "ties": plan.ties,
            "heard": plan.heard,
            "check": plan.headphones and number not in self.answers.checks(),
            "done": len(answered),
            "total": len(trials),
            "trial": None if place is None else self._show(place, trials[place]),
        }

    def introduce(self) -> dict[str, Any]:
        """What everybody may know."""
        plan = self.study.plan
        return {
            "title": plan.title,
            "form": plan.form,
            "study": self._hash[:16],
            "most_counted": MOST_COUNTED,
        }

    def find_copy(self, number: int, trial: int, side: Side) -> Copy | None:
        """The sound on one side of a rater's trial."""
        trials = self.schedule.trials(number)
        stimulus = trials[trial].sides.get(side) if trial < len(trials) else None
        return None if stimulus is None else self.schedule.copy_of(stimulus)

    def submit(self, token: str, number: int, given: Submission) -> None:
        """Take an answer.

        Raises:
            RefusedError: It is not one, or the sounds were not heard.
            TakenError: The trial has another answer.
        """
        trials = self.schedule.trials(number)
        if given.trial >= len(trials):
            raise RefusedError(f"There is no trial {given.trial}.")
        trial = trials[given.trial]
        self._check_choices(given)
        self._check_counts(given, trial)
        self._check_heard(given, trial)
        self.answers.add(self._complete(token, number, given, trial))

    def _show(self, place: int, trial: Trial) -> dict[str, Any]:
        material = self.study.materials[trial.material]
        return {
            "number": place,
            "prompt": material.prompt,
            "sides": [
                {"side": side, "seconds": self.schedule.copy_of(stimulus).seconds}
                for side, stimulus in trial.sides.items()
            ],
            "events": material.events,
        }

    def _check_choices(self, given: Submission) -> None:
        plan = self.study.plan
        if set(given.choices) != set(plan.questions):
            raise RefusedError(f"Each of these needs an answer: {', '.join(plan.questions)}.")
        for choice in given.choices.values():
            if (plan.form == "ratings") != isinstance(choice, int):
                raise RefusedError(f"{choice!r} is no answer to a question of this study.")
            if choice == "tie" and not plan.ties:
                raise RefusedError("This study knows no ties.")

    def _check_counts(self, given: Submission, trial: Trial) -> None:
        events = self.study.materials[trial.material].events
        wanted = {side: set(events) for side in trial.sides} if events else {}
        if {side: set(counts) for side, counts in given.counts.items()} != wanted:
            raise RefusedError("Each event of the list needs a number for each sound.")
        numbers = [number for counts in given.counts.values() for number in counts.values()]
        if any(not 0 <= number <= MOST_COUNTED for number in numbers):
            raise RefusedError(f"Numbers of events go from 0 to {MOST_COUNTED}.")

    def _check_heard(self, given: Submission, trial: Trial) -> None:
        for side, stimulus in trial.sides.items():
            seconds = self.schedule.copy_of(stimulus).seconds
            heard = measure_heard([play for play in given.plays if play.side == side], seconds)
            if heard < self.study.plan.heard * seconds:
                raise RefusedError(
                    f"The sound on the {side} was heard for {heard:.1f} of {seconds:.1f} s: "
                    "play it to its end."
                )

    def _complete(self, token: str, number: int, given: Submission, trial: Trial) -> Answer:
        return Answer(
            rater=self.answers.identify(token),
            number=number,
            trial=given.trial,
            kind=trial.kind,
            repeats=trial.repeats,
            prompt=self.study.materials[trial.material].prompt,
            systems={side: stimulus.system for side, stimulus in trial.sides.items()},
            hashes={
                side: self.schedule.copy_of(stimulus).hash for side, stimulus in trial.sides.items()
            },
            foil=trial.foil,
            choices=given.choices,
            counts=given.counts,
            plays=given.plays,
            seconds=given.seconds,
            answered_at=now(),
            seed=self.study.plan.seed,
            study=self._hash,
            soundwright=soundwright.__version__,
        )


def measure_heard(plays: Sequence[Play], seconds: float) -> float:
    """How many seconds of a sound were played at least once."""
    heard = reached = 0.0
    for play in sorted(plays, key=lambda play: play.start):
        end = min(play.end, seconds)
        heard += max(0.0, end - max(play.start, reached))
        reached = max(reached, end)
    return heard


def open_study(folder: Path) -> tuple[Study, Answers]:
    """The study of a folder and its answers, for reading results.

    Raises:
        UserError: As `Sessions`, or nobody has answered yet.
    """
    study = read_study(folder)
    # A database is made where there is none; whoever only reads leaves no file behind.
    answers = Answers(folder, study) if (folder / ANSWERS_NAME).is_file() else None
    if answers is None or not answers.read():
        raise UserError(
            f"Nobody has answered {folder} yet.",
            change=f"Let people take part: soundwright study serve {folder}.",
        )
    return study, answers
