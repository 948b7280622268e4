"""A study that is ready to run, and what raters answer, as records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes, hash_file, read_json, write_text
from soundwright.core.records import Record
from soundwright.evaluation.study.plan import Question, StudyPlan

STUDY_NAME = "study.json"
ANSWERS_NAME = "answers.sqlite3"
SOUNDS_NAME = "sounds"
VERSION = 1
LONGEST_S = 120.0
MOST_PLAYS = 500
MOST_EVENTS = 20

Side = Literal["left", "right"]
Kind = Literal["vote", "identical", "foil", "repeat"]
"""Of a trial: what counts, and the three controls."""
Choice = Literal["left", "tie", "right"] | Annotated[int, Field(strict=True, ge=1, le=5)]
"""In a comparison a side or a tie; in a rating 1 (bad) to 5 (excellent)."""


class Copy(Record):
    """The loudness-matched copy of one sound, and where it comes from."""

    name: str
    """Of the sound in its system's folder or manifest."""
    raw_hash: str
    """SHA-256 of the file that was read."""
    file: str
    """Below the study's folder."""
    hash: str
    """SHA-256 of the copy."""
    seconds: float = Field(gt=0)
    gain_db: float
    loudness: float | None
    """LUFS of the raw sound; None where it is silent."""


class Material(Record):
    """One prompt and its sounds."""

    prompt: str
    copies: dict[str, Copy]
    """By system."""
    events: tuple[str, ...] = ()
    """What the checklist asks for."""


class Remark(Record):
    """What a reader must know of a sound, or why its prompt is not in the study."""

    kind: str
    """missing, undecodable (or another reason of an `AudioError`), too-long, silent, several,
    same, unshared, no-prompt."""
    system: str
    sound: str
    detail: str = ""
    left_out: bool = False
    """Whether the prompt is not in the study for it."""


class Study(Record):
    """The content of study.json: nothing about the study changes after it is written."""

    format: Literal["soundwright-study"] = "soundwright-study"
    version: Literal[1] = VERSION
    soundwright: str
    """Version that prepared it."""
    plan: StudyPlan
    materials: tuple[Material, ...]
    remarks: tuple[Remark, ...] = ()

    @property
    def systems(self) -> tuple[str, ...]:
        """Names, in the order of the plan."""
        return tuple(self.plan.systems)

    @property
    def text(self) -> str:
        """As it stands in the file."""
        return self.model_dump_json(indent=2) + "\n"

    @property
    def hash(self) -> str:
        """Identity of the study: the same for the same plan and the same sounds."""
        return hash_bytes(self.text.encode())


class Play(Record):
    """A stretch of a sound that was played without a stop."""

    side: Side
    at: float = Field(ge=0, le=1e6)
    """Seconds since the trial was shown."""
    start: float = Field(ge=0, le=LONGEST_S + 1)
    end: float = Field(ge=0, le=LONGEST_S + 1)
    """Seconds within the sound."""


class Submission(Record):
    """What the page sends for one trial."""

    trial: int = Field(ge=0, le=100_000)
    choices: dict[Question, Choice]
    counts: dict[Side, dict[Annotated[str, Field(max_length=200)], int]] = Field(default={})
    """How often each event was heard, by side; 0 is not at all."""
    plays: tuple[Play, ...] = Field(max_length=MOST_PLAYS)
    seconds: float = Field(ge=0, le=1e6)
    """From showing the trial to the answer."""


class Check(Record):
    """One headphone check."""

    right: int = Field(ge=0, le=10)
    rounds: int = Field(ge=1, le=10)

    @property
    def passed(self) -> bool:
        """Whether every round was answered rightly."""
        return self.right >= self.rounds


class Answer(Record):
    """One answered trial, with all that is needed to understand it alone."""

    rater: str
    """Salted hash: nobody can tell who it is, the organiser included."""
    number: int
    """Of the rater, from 0; seeds what the rater hears."""
    trial: int
    kind: Kind
    repeats: int | None = None
    """The trial that a repeat repeats."""
    prompt: str
    systems: dict[Side, str]
    hashes: dict[Side, str]
    """Of the copies that were played."""
    foil: Side | None = None
    """Which side is the sound of another prompt."""
    choices: dict[Question, Choice]
    counts: dict[Side, dict[str, int]] = Field(default={})
    plays: tuple[Play, ...]
    seconds: float
    answered_at: str
    """UTC, of the server."""
    seed: int
    study: str
    """Hash of the study."""
    soundwright: str
    """Version that served the page."""


def write_study(folder: Path, study: Study) -> None:
    """Write study.json."""
    write_text(folder / STUDY_NAME, study.text)


def read_study(folder: Path) -> Study:
    """Read the study of a folder that `soundwright study plan` made.

    Raises:
        UserError: There is none, or it does not hold.
    """
    path = Path(folder) / STUDY_NAME
    if not path.is_file():
        raise UserError(
            f"{folder} is no study: it holds no {STUDY_NAME}.",
            change="Make one: soundwright study plan --a DIR --b DIR --out STUDY.",
        )
    try:
        return Study.model_validate(read_json(path))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise UserError(
            f"{path} does not hold: {where}: {fault['msg']}.",
            expected="study.json as soundwright study plan writes it",
            change="Bring back a copy of it, or plan the study anew.",
        ) from error


def verify_copies(folder: Path, study: Study) -> None:
    """Compare every copy with its hash.

    Raises:
        UserError: Some are missing or were changed; the first ones are named.
    """
    bad = [
        f"{copy.file} ({'missing' if not (folder / copy.file).is_file() else 'changed'})"
        for material in study.materials
        for copy in material.copies.values()
        if not (folder / copy.file).is_file() or hash_file(folder / copy.file) != copy.hash
    ]
    if bad:
        raise UserError(
            f"{len(bad)} sounds of the study are not what they were: {', '.join(bad[:3])}"
            + (" ..." if len(bad) > 3 else "."),
            change="Bring them back, or plan the study again into a new folder.",
        )
