"""From scores to tables: every number with its interval, its controls, and its judge's ceiling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.scenes.cases import Case
from soundwright.evaluation.scenes.controls import Controls
from soundwright.evaluation.scenes.figures import Figure, Row, figure_of, ratio_figure
from soundwright.evaluation.scenes.fitness import judge_fitness, why_withheld
from soundwright.evaluation.scenes.judging import Heard, Takes
from soundwright.evaluation.scenes.scoring import Amount, Score, score_events
from soundwright.evaluation.statistics.intervals import Vector
from soundwright.evaluation.statistics.paired import paired_difference
from soundwright.evaluation.statistics.proportions import corrected_share, wilson

ROTATIONS = 10
"""So many times are the prompts of an axis dealt anew for the shuffled control."""


@dataclass(frozen=True)
class Measure:
    """A row to be filled: which part of a score, of which cases, and which check vouches for it."""

    axis: str
    """Empty for all axes."""
    name: str
    read: Callable[[Score], Amount | None]
    check: str
    """The check by which the judge is measured: `name` itself for a check."""
    share: bool = False
    """Whether it is a share of sounds."""


def _of_check(axis: str, check: str) -> Measure:
    def read(score: Score) -> Amount | None:
        return Amount(float(score.checks[check]), 1) if check in score.checks else None

    return Measure(axis, check, read, check, share=True)


def _of_amount(axis: str, name: str, check: str, *, share: bool = False) -> Measure:
    return Measure(axis, name, lambda score: score.amounts.get(name), check, share)


MEASURES = (
    _of_check("presence", "presence"),
    _of_check("absence", "absence"),
    _of_check("count", "count"),
    _of_amount("count", "count bias", "count"),
    _of_amount("count", "count error", "count"),
    _of_check("order", "order"),
    _of_amount("order", "order where all are heard", "order", share=True),
    _of_check("overlap", "overlap"),
    _of_check("duration", "duration"),
    _of_amount("duration", "duration bias", "duration"),
    _of_amount("duration", "duration error", "duration"),
    _of_check("timestamp", "timestamp"),
    _of_amount("timestamp", "onset error where heard", "timestamp"),
    _of_amount("timestamp", "event F1 at 200 ms", "timestamp"),
    _of_amount("", "recall", "presence"),
    _of_amount("", "precision", "nothing else"),
    _of_amount("", "made up", "nothing else"),
    _of_check("", "nothing else"),
    _of_check("", "scene"),
)
"""Errors and biases are in events or seconds; "made up" is labels a sound."""


@dataclass(frozen=True)
class Answers:
    """What is heard of each system and control, scored case by case."""

    cases: tuple[Case, ...]
    scores: Mapping[str, Mapping[str, Sequence[Score]]]
    """system, against, truth, silence, constant, noise, shuffled -> case id -> samples."""
    controls: Controls = field(repr=False)


def answer(
    cases: Sequence[Case], system: Takes, controls: Controls, against: Takes | None = None
) -> Answers:
    """Score a system and its controls on the cases that stand alone."""
    takes: dict[str, Takes] = {
        "system": system,
        **({"against": against} if against is not None else {}),
        "truth": {case.id: (controls.trials[case.id].truth,) for case in cases},
        "silence": {case.id: (controls.silence,) for case in cases},
        "constant": {case.id: (controls.constant,) for case in cases},
        "noise": {case.id: (controls.noise,) for case in cases},
        "shuffled": shuffle(cases, system),
    }
    scores = {
        name: {
            case.id: [score_events(case, heard.events) for heard in taken[case.id]]
            for case in cases
        }
        for name, taken in takes.items()
    }
    return Answers(tuple(cases), scores, controls)


def shuffle(cases: Sequence[Case], takes: Takes) -> dict[str, list[Heard]]:
    """For each case what is heard in the sounds of other cases of its axis; never its own.

    A case that is alone on its axis keeps nothing: an empty list.
    """
    dealt: dict[str, list[Heard]] = {case.id: [] for case in cases}
    for axis in dict.fromkeys(case.axis for case in cases):
        ids = [case.id for case in cases if case.axis == axis]
        order = [ids[one] for one in numpy_stream(0, "shuffle", axis).permutation(len(ids))]
        for step in range(1, min(ROTATIONS, len(ids) - 1) + 1):
            for place, own in enumerate(order):
                dealt[own] += takes[order[(place + step) % len(order)]]
    return dealt


def make_table(answers: Answers) -> list[Row]:
    """All measures for which there are cases."""
    rows = []
    for measure in MEASURES:
        cases = [case for case in answers.cases if measure.axis in ("", case.axis)]
        if cases:
            rows.append(_fill(measure, cases, answers))
    return rows


def _fill(measure: Measure, cases: Sequence[Case], answers: Answers) -> Row:
    judge = judge_fitness(measure.check, cases, answers.controls)
    found, rejected = judge.found, judge.rejected
    is_check = measure.check == measure.name
    row = Row(
        axis=measure.axis or "all",
        measure=measure.name,
        prompts=len(cases),
        sensitivity=figure_of(wilson(*found)) if found[1] and is_check else None,
        specificity=figure_of(wilson(*rejected)) if rejected[1] and is_check else None,
        faults=dict(judge.faults) if is_check else {},
        cluttered=dict(judge.cluttered) if is_check else {},
    )
    withheld = why_withheld(found, rejected)
    if withheld:
        return row.model_copy(update={"withheld": withheld})
    figures: dict[str, Figure | None] = {
        name: _figure(measure, cases, scores) for name, scores in answers.scores.items()
    }
    if is_check:
        shares = _means(measure, cases, answers.scores["system"])
        figures["best_of_k"] = _best_of_k(measure, cases, answers.scores["system"])
        if len(shares) > 1:
            figures["corrected"] = figure_of(corrected_share(shares, found, rejected))
    if "against" in answers.scores:
        figures["difference"] = _difference(measure, cases, answers)
    return row.model_copy(update=figures)


def _amounts(
    measure: Measure, cases: Sequence[Case], scores: Mapping[str, Sequence[Score]]
) -> tuple[Vector, Vector]:
    """Parts and wholes [N], the mean over the samples of each prompt."""
    rows = []
    for case in cases:
        amounts = [measure.read(score) for score in scores[case.id]]
        known = [(one.part, one.whole) for one in amounts if one is not None]
        if known:
            rows.append(np.mean(known, axis=0))
    table = np.array(rows).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _figure(
    measure: Measure, cases: Sequence[Case], scores: Mapping[str, Sequence[Score]]
) -> Figure | None:
    parts, wholes = _amounts(measure, cases, scores)
    if not wholes.sum():
        return None
    if measure.share and bool(np.isin((parts, wholes), (0, 1)).all()):
        return figure_of(wilson(int(parts.sum()), int(wholes.sum())))
    return ratio_figure(parts, wholes)


def _means(
    measure: Measure, cases: Sequence[Case], scores: Mapping[str, Sequence[Score]]
) -> Vector:
    parts, wholes = _amounts(measure, cases, scores)
    return parts[wholes > 0] / wholes[wholes > 0]


def _best_of_k(
    measure: Measure, cases: Sequence[Case], scores: Mapping[str, Sequence[Score]]
) -> Figure | None:
    if min(len(scores[case.id]) for case in cases) < 2:
        return None
    amounts = [[measure.read(score) for score in scores[case.id]] for case in cases]
    best = [max(one.part for one in samples if one) for samples in amounts if any(samples)]
    return figure_of(wilson(int(sum(best)), len(best))) if best else None


def _difference(measure: Measure, cases: Sequence[Case], answers: Answers) -> Figure | None:
    values = [_amounts(measure, cases, answers.scores[name]) for name in ("system", "against")]
    both = (values[0][1] > 0) & (values[1][1] > 0)
    if both.sum() < 2:
        return None
    new, old = (parts[both] / wholes[both] for parts, wholes in values)
    return figure_of(paired_difference(new, old))
