"""What an evaluation found, as records: the content of results.json."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationError, model_validator

import soundwright
from soundwright.core.errors import UserError
from soundwright.core.files import read_json, write_json
from soundwright.core.records import Record
from soundwright.evaluation.cards import Better, MetricCard
from soundwright.evaluation.problems import Problem
from soundwright.evaluation.statistics.intervals import Interval
from soundwright.evaluation.subsets import Split

VERSION = 1
RESULTS_FILE = "results.json"


class Span(Record):
    """An interval of confidence."""

    low: float
    high: float
    level: float
    method: str
    units: int
    """How many prompts, or clips, were drawn again."""

    @classmethod
    def of(cls, interval: Interval) -> Self:
        """The part of an interval that results keep."""
        return cls(
            low=interval.low,
            high=interval.high,
            level=interval.level,
            method=interval.method,
            units=interval.units,
        )


class Unavailable(Record):
    """Why there is no number."""

    reason: str
    """What is missing, and how it is to be had."""


class Score(Record):
    """One metric of one set of sounds: a number with its card, or the reason why there is none."""

    metric: str
    better: Better
    value: float | None = None
    interval: Span | None = None
    card: MetricCard | None = None
    remark: str = ""
    """What a reader has to know of the number, such as that covariances were singular."""
    unavailable: Unavailable | None = None

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if (self.value is None) == (self.unavailable is None):
            raise ValueError("a score is either a number or unavailable")
        if self.value is not None and self.card is None:
            raise ValueError("a number has a card")
        return self


class ClipRow(Record):
    """One generated sound."""

    name: str
    prompt: str
    group: str
    """What makes it a pair with a reference, and with another system's sound."""
    seed: int | None = None
    pcm_hash: str
    references: tuple[str, ...]
    values: dict[str, float]
    """By metric, of those that give every sound a number."""


class SubsetScores(Record):
    """Sounds whose prompts have something in common, measured by themselves."""

    split: Split
    name: str
    generated: int
    """Sounds."""
    reference: int
    scores: tuple[Score, ...]


class SideSummary(Record):
    """One set of sounds."""

    path: str
    """As it was given."""
    clips: int
    """Sounds that were found, or are said to be there."""
    measured: int
    hash: str
    """Of the hashes of all that were measured."""


class Results(Record):
    """All of it."""

    format: Literal["soundwright-evaluation"] = "soundwright-evaluation"
    version: int = VERSION
    created_by: str = f"soundwright {soundwright.__version__}"
    generated: SideSummary
    reference: SideSummary
    pairing: str
    paired: int
    """Generated sounds with a partner."""
    scores: tuple[Score, ...]
    controls: dict[str, tuple[Score, ...]]
    """The same metrics of silence, noise, shuffled prompts and real sounds."""
    subsets: tuple[SubsetScores, ...] = ()
    """Those of the splits that were asked for."""
    warnings: tuple[str, ...]
    problem_counts: dict[str, dict[str, int]]
    problems: tuple[Problem, ...]
    clips: tuple[ClipRow, ...]

    def by_split(self) -> dict[Split, list[SubsetScores]]:
        """The subsets of each split that was asked for."""
        found: dict[Split, list[SubsetScores]] = {}
        for part in self.subsets:
            found.setdefault(part.split, []).append(part)
        return found


def write_results(folder: Path, results: Results) -> Path:
    """Write results.json into a folder, atomically; the same results give the same bytes."""
    path = Path(folder) / RESULTS_FILE
    write_json(path, results.model_dump(mode="json", exclude_none=True))
    return path


def read_results(path: Path) -> Results:
    """Read results.json, given itself or its folder.

    Raises:
        UserError: It is missing, of a newer version, or holds something else.
    """
    path = Path(path)
    path = path / RESULTS_FILE if path.is_dir() else path
    values = read_json(path)
    expected = "results.json as `soundwright evaluate` writes it"
    if not isinstance(values, dict) or values.get("format") != "soundwright-evaluation":
        raise UserError(f"{path} holds no evaluation.", expected=expected)
    version = values.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UserError(
            f"{path} has version {version}; this Soundwright reads up to {VERSION}.",
            change="Install a newer Soundwright, or evaluate again with this one.",
        )
    try:
        return Results.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise UserError(f"{path}, key {where!r}: {fault['msg']}.", expected=expected) from error
