"""STEAM's measures on AudioTime prompts (Xie et al., 2024), with what the published table lacks.

Each prompt asks for events; somebody detects spans of each asked label in the sound. What is not
asked for is not looked at, so that a table without silence and constants says little: they stand
beside every figure here, and so does the detector on the true sounds where these are at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from soundwright.core.errors import UserError
from soundwright.core.files import read_json
from soundwright.core.records import Event, Record
from soundwright.evaluation.scenes.events import Span, join_spans, match_segments, whole_span
from soundwright.evaluation.scenes.figures import Figure, ratio_figure

Task = Literal["ordering", "duration", "frequency", "timestamp"]
MEASURE: Mapping[Task, str] = {
    "ordering": "OER",
    "duration": "DUR",
    "frequency": "FREQ",
    "timestamp": "TIME",
}
"""Ordering error rate; absolute error in seconds and in events, an event; F1 of segments."""

THRESHOLD = 0.4
"""From which a detector's activity counts."""
MERGED_S = 0.2
"""Detections less than this apart are one."""
OVERLAP_SHARE = 0.5
"""The earlier of two events must end before so much of the shorter one has passed in the later."""
SEGMENT_S = 1.0
LENGTH_S = 10.0

Detections = Mapping[str, Mapping[str, Sequence[Span]]]
"""Prompt id -> asked label -> the spans in which it is detected."""


class Request(Record):
    """One prompt of AudioTime's test set."""

    event: dict[str, tuple[float | Span, ...]]
    """Label -> seconds it lasts (duration), its onsets (frequency), or its spans (the others)."""
    caption: str


class SteamRow(Record):
    """One measure with its controls."""

    task: Task
    measure: str
    prompts: int
    system: Figure
    silence: Figure
    constant: Figure
    constant_rule: str
    """What the constant system makes; it knows every label, and nothing else of the prompt."""
    ceiling: Figure | None = None
    """The detector on the true sounds; None where these are not at hand."""


def read_requests(file: Path, task: Task) -> dict[str, Request]:
    """Read `<task>_caption.json` of AudioTime's test set.

    Raises:
        UserError: It is not such a file, or of another task.
    """
    try:
        requests = TypeAdapter(dict[str, Request]).validate_python(read_json(file))
    except ValidationError as error:
        raise UserError(
            f"{file} holds no prompts of AudioTime: {error.errors()[0]['msg']}.",
            expected='{"syn_1": {"event": {label: [...]}, "caption": text}, ...}',
        ) from error
    with_spans = task in ("ordering", "timestamp")
    for name, request in requests.items():
        values = [value for found in request.event.values() for value in found]
        if not values or any(isinstance(value, tuple) != with_spans for value in values):
            raise UserError(
                f"{name} in {file} is no prompt about {task}.",
                expected=f"{task}_caption.json of AudioTime's test set",
                change="Give the file of this task, or the --task of this file.",
            )
        if task == "ordering" and len(request.event) != 2:
            raise UserError(
                f"{name} in {file} has {len(request.event)} events.",
                expected="two, of which one comes before the other",
                change="Leave this prompt out of the file.",
            )
    return requests


def read_detections(file: Path) -> dict[str, dict[str, tuple[Span, ...]]]:
    """Read what a detector of somebody's own has found: {id: {label: [[onset, offset], ...]}}.

    Raises:
        UserError: It is not that.
    """
    try:
        return TypeAdapter(dict[str, dict[str, tuple[Span, ...]]]).validate_python(read_json(file))
    except ValidationError as error:
        raise UserError(
            f"{file} holds no detections: {error.errors()[0]['msg']}.",
            expected="{id: {label: [[onset, offset], ...]}}",
        ) from error


def steam(requests: Mapping[str, Request], task: Task, detections: Detections) -> Figure:
    """One of STEAM's four measures, with a bootstrap interval over prompts.

    Args:
        requests: What was asked for.
        task: Which measure.
        detections: What was found; a prompt or a label that is not in it was not detected.
    """
    amounts = [
        AMOUNTS[task](request, _merged(request, detections.get(name, {})))
        for name, request in requests.items()
    ]
    parts, wholes = np.array(amounts, np.float64).T
    return ratio_figure(parts, wholes)


def steam_row(
    requests: Mapping[str, Request],
    task: Task,
    system: Detections,
    truth: Detections | None = None,
) -> SteamRow:
    """A measure of a system beside silence, the best constant, and the detector's ceiling.

    Args:
        requests: What was asked for.
        task: Which measure.
        system: What was detected in the system's sounds.
        truth: What was detected in the true sounds.
    """
    constant, rule = _constant(requests, task)
    return SteamRow(
        task=task,
        measure=MEASURE[task],
        prompts=len(requests),
        system=steam(requests, task, system),
        silence=steam(requests, task, {}),
        constant=steam(requests, task, constant),
        constant_rule=rule,
        ceiling=None if truth is None else steam(requests, task, truth),
    )


def _constant(requests: Mapping[str, Request], task: Task) -> tuple[Detections, str]:
    if task == "frequency":
        span, rule = (0.0, 1.0), "every label once"
    elif task == "duration":
        lengths = [_number(value) for one in requests.values() for (value,) in one.event.values()]
        best = median(lengths)
        span, rule = (0.0, best), f"every label for {best:.3f} s, the median"
    else:
        span, rule = (0.0, LENGTH_S), "every label all along"
    spans = {name: dict.fromkeys(one.event, (span,)) for name, one in requests.items()}
    return spans, rule


def _merged(request: Request, found: Mapping[str, Sequence[Span]]) -> dict[str, list[Span]]:
    return {label: join_spans(found.get(label, ()), MERGED_S) for label in request.event}


def _ordering(request: Request, found: Mapping[str, Sequence[Span]]) -> tuple[float, float]:
    """Wrong where one is missing, they begin in the wrong order, or overlap for too long."""
    first, second = sorted(request.event, key=lambda label: request.event[label][0])
    one, other = whole_span(found[first]), whole_span(found[second])
    if one is None or other is None or one[0] >= other[0]:
        return 1, 1
    shorter = min(one[1] - one[0], other[1] - other[0])
    return float(one[1] - other[0] >= OVERLAP_SHARE * shorter), 1


def _duration(request: Request, found: Mapping[str, Sequence[Span]]) -> tuple[float, float]:
    """From the first onset to the last offset; nothing where nothing is detected."""
    errors = []
    for label, (wanted,) in request.event.items():
        start, end = whole_span(found[label]) or (0.0, 0.0)
        errors.append(abs(_number(wanted) - (end - start)))
    return sum(errors), len(errors)


def _frequency(request: Request, found: Mapping[str, Sequence[Span]]) -> tuple[float, float]:
    errors = [abs(len(wanted) - len(found[label])) for label, wanted in request.event.items()]
    return sum(errors), len(errors)


def _timestamp(request: Request, found: Mapping[str, Sequence[Span]]) -> tuple[float, float]:
    matches = match_segments(
        [event for label, spans in request.event.items() for event in _events(label, spans)],
        [event for label, spans in found.items() for event in _events(label, spans)],
        segment=SEGMENT_S,
    )
    return matches.f1_parts


def _events(label: str, spans: Sequence[float | Span]) -> list[Event]:
    return [
        Event(label=label, onset=span[0], offset=span[1])
        for span in spans
        if isinstance(span, tuple)
    ]


def _number(value: float | Span) -> float:
    return value[1] - value[0] if isinstance(value, tuple) else value


AMOUNTS = {
    "ordering": _ordering,
    "duration": _duration,
    "frequency": _frequency,
    "timestamp": _timestamp,
}
"""Task -> (error, or twice the hits; what it is divided by) of one prompt."""
