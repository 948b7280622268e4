"""What a run of the benchmark leaves: results.json, and its tables as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from soundwright.core.records import Event, Record
from soundwright.evaluation.scenes.figures import Figure, Row
from soundwright.evaluation.scenes.judging import Problem

RULE = (
    "A sound that is silent or cannot be decoded, and a prompt without any sound, fail; axes "
    "without any sound are not measured."
)


class Sample(Record):
    """One sound of a case."""

    events: tuple[Event, ...]
    checks: dict[str, bool]
    """Without those whose axis is withheld."""


class CaseResult(Record):
    """What was heard in the sounds of one case."""

    id: str
    prompt: str
    samples: tuple[Sample, ...]


class JudgeQuality(Record):
    """The judge on the true scenes of cases that stand alone, event by event."""

    event_f1: Figure | None
    """Onsets within 200 ms, offsets within 200 ms or a fifth of the event."""
    psds: float | None = None
    psds_unavailable: str = ""


class SceneResults(Record):
    """All that a run of the benchmark found."""

    format: Literal["soundwright-scene-results"] = "soundwright-scene-results"
    version: Literal[1] = 1
    benchmark: str
    """Its identity."""
    seed: int
    duration: float
    labels: tuple[str, ...]
    system: str
    against: str = ""
    judge: str
    judge_identity: str
    rule: str = RULE
    constant: str
    """What the constant system always makes."""
    prompts: int
    sounds: int
    not_measured: tuple[str, ...]
    """Axes without any sound."""
    problems: tuple[Problem, ...]
    against_problems: tuple[Problem, ...] = ()
    quality: JudgeQuality
    rows: tuple[Row, ...]
    pairs: tuple[Row, ...]
    cases: tuple[CaseResult, ...]


COLUMNS = (
    "axis",
    "measure",
    "n",
    "system [95 %]",
    "best of k",
    "corrected [95 %]",
    "truth",
    "silence",
    "constant",
    "noise",
    "shuffled",
    "sens.",
    "spec.",
)
AGAINST_COLUMNS = ("against", "difference [95 %]")


def tabulate(rows: Sequence[Row], *, against: bool) -> tuple[list[str], list[list[str]]]:
    """Column names and cells; the column of best-of-k only where there are several samples.

    Args:
        rows: Of one table.
        against: Whether there is another system.
    """
    table = [_cells(row, against=against) for row in rows]
    names = [*COLUMNS, *(AGAINST_COLUMNS if against else ())]
    if all(row.best_of_k is None for row in rows):
        place = names.index("best of k")
        names.pop(place)
        for cells in table:
            cells.pop(place)
    return names, table


def say_figure(figure: Figure | None, *, interval: bool = False) -> str:
    """A figure in a cell: "0.75 [0.53 0.89]"; a dash where there is none."""
    if figure is None:
        return "-"
    if not interval or figure.low is None or figure.high is None:
        return f"{figure.value:.2f}"
    return f"{figure.value:.2f} [{figure.low:.2f} {figure.high:.2f}]"


def say_quality(quality: JudgeQuality) -> str:
    """How the judge does on true scenes: "event F1 0.89 [0.87 0.91], PSDS 0.512"."""
    psds = quality.psds_unavailable or f"{quality.psds:.3f}"
    return f"event F1 {say_figure(quality.event_f1, interval=True)}, PSDS {psds}"


def _cells(row: Row, *, against: bool) -> list[str]:
    measure = row.measure if not row.outcomes else f"{row.measure} (won/even/lost {row.outcomes})"
    units = row.prompts if row.system is None else row.system.units
    cells = [row.axis, measure, str(units), row.withheld]
    if row.withheld:
        cells += [""] * 7
    else:
        cells[-1] = say_figure(row.system, interval=True)
        cells += [say_figure(row.best_of_k), say_figure(row.corrected, interval=True)]
        others = (row.truth, row.silence, row.constant, row.noise, row.shuffled)
        cells += [say_figure(one) for one in others]
    cells += [say_figure(row.sensitivity), say_figure(row.specificity)]
    if against:
        cells += [say_figure(row.against), say_figure(row.difference, interval=True)]
    return cells
