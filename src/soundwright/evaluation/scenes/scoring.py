"""Judge A: whether a list of events is what a case demands. Exact, and knows nothing of audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from soundwright.core.records import Event, Scene
from soundwright.evaluation.scenes.cases import Axis, Case
from soundwright.evaluation.scenes.events import (
    Span,
    match_events,
    overlap_share,
    sounding,
    spans_of,
    whole_span,
)
from soundwright.synthesis.lexicon import entry_of

TOLERANCE_S = 0.5
"""How far a duration or a time that a prompt names may be off."""
FLICKER_S = 0.5
"""A texture that is heard for less is most likely a judge's error."""
TOGETHER_SHARE = 0.5
"""Two sounds are at once where at least this much of the shorter lies within the other."""


@dataclass(frozen=True)
class Demands:
    """What a prompt says, as far as it can be checked."""

    labels: tuple[str, ...]
    """What shall be heard; in the prompt's order."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many events, of the labels whose count is said."""
    absent: tuple[str, ...] = ()
    ordered: bool = False
    """Whether `labels` begin one after another."""
    together: bool | None = None
    """Whether the two labels sound at once or apart; None where that is not said."""
    duration: float | None = None
    """Seconds for which the one label is heard."""
    onset: float | None = None
    """When the one label begins."""
    offset: float | None = None
    """When it ends; None where only its beginning is said."""


@dataclass(frozen=True)
class Amount:
    """A number that a table divides: the sum of `part` over the sum of `whole`."""

    part: float
    whole: float


@dataclass(frozen=True)
class Score:
    """What one list of events has of what a case demands."""

    checks: Mapping[str, bool]
    """Whether each thing that is demanded holds; `scene` is all of them, and nothing else heard."""
    amounts: Mapping[str, Amount]
    """Further numbers: of events asked for, found, made up; errors of counts and times."""


def demands_of(case: Case) -> Demands:
    """What a case's prompt says; follows from its axis and its scene."""
    scene = case.scene
    labels = labels_of(scene)
    first = scene.events[0]
    lasts = not entry_of(first.label).countable
    return Demands(
        labels=labels,
        counts=_said_counts(case.axis, scene),
        absent=scene.absent,
        ordered=scene.form == "sequence",
        together=_is_together(case.axis, scene),
        duration=first.offset - first.onset if case.axis == "duration" else None,
        onset=first.onset if case.axis == "timestamp" else None,
        offset=first.offset if case.axis == "timestamp" and lasts else None,
    )


def labels_of(scene: Scene) -> tuple[str, ...]:
    """The labels of a scene in the order of its groups: the order of the prompt."""
    ordered = sorted(scene.events, key=lambda event: event.group)
    return tuple(dict.fromkeys(event.label for event in ordered))


def score_events(case: Case, heard: Sequence[Event]) -> Score:
    """Score what was heard against what a case demands.

    Checks, each only where it is demanded: `presence` every label is heard; `absence` it is, and
    what is named as absent is not; `count` every count that is said is exact; `order` all labels
    are heard and begin in the prompt's order (one that is missing is wrong); `overlap` two labels
    are heard, at once or apart as the prompt says; `duration` and `timestamp` within 0.5 s of what
    is said; `nothing else` no label is heard that was not asked for; `scene` all of these.

    Args:
        case: What is demanded.
        heard: The events of the sound.
    """
    demands = demands_of(case)
    checks = _check(demands, heard)
    checks["scene"] = all(checks.values())
    return Score(checks, _measure(case, demands, heard, checks))


def onset_of(heard: Sequence[Event], label: str) -> float | None:
    """When a label is first heard; None where it is not."""
    spans = spans_of(heard, label)
    return spans[0][0] if spans else None


def overlap_of(heard: Sequence[Event], labels: Sequence[str]) -> float | None:
    """How much of the shorter of two labels' spans lies within the other; None if one is missing.

    A span goes from the first onset to the last offset: a texture is still there while something
    louder hides it. Stretches of a texture below half a second do not count beside longer ones.
    """
    spans = [_main_span(heard, label) for label in labels]
    if spans[0] is None or spans[1] is None:
        return None
    return overlap_share(spans[0], spans[1])


def _said_counts(axis: Axis, scene: Scene) -> dict[str, int]:
    """A count is said by the prompts about counts and, elsewhere, where there is more than one."""
    counts: dict[str, int] = {}
    for event in scene.events:
        if entry_of(event.label).countable:
            counts[event.label] = counts.get(event.label, 0) + 1
    return {
        label: count
        for label, count in counts.items()
        if axis in ("count", "timestamp") or count > 1
    }


def _is_together(axis: Axis, scene: Scene) -> bool | None:
    if axis == "overlap":
        return scene.form == "overlap"
    return False if scene.form == "sequence" and len(labels_of(scene)) == 2 else None


def _check(demands: Demands, heard: Sequence[Event]) -> dict[str, bool]:
    found = {event.label for event in heard}
    present = found >= set(demands.labels)
    checks = {"presence": present, "nothing else": found <= set(demands.labels)}
    if demands.absent:
        checks["absence"] = present and not found & set(demands.absent)
    if demands.counts:
        checks["count"] = all(
            len(spans_of(heard, label)) == count for label, count in demands.counts.items()
        )
    if demands.ordered:
        onsets = [onset_of(heard, label) for label in demands.labels]
        known = [onset for onset in onsets if onset is not None]
        checks["order"] = present and all(one < other for one, other in pairwise(known))
    if demands.together is not None:
        share = overlap_of(heard, demands.labels)
        checks["overlap"] = share is not None and (share >= TOGETHER_SHARE) == demands.together
    if demands.duration is not None:
        lasting = sounding(spans_of(heard, demands.labels[0]))
        checks["duration"] = present and abs(lasting - demands.duration) <= TOLERANCE_S
    if demands.onset is not None:
        span = whole_span(spans_of(heard, demands.labels[0]))
        checks["timestamp"] = span is not None and _is_timely(demands, span)
    return checks


def _is_timely(demands: Demands, span: Span) -> bool:
    return all(
        wanted is None or abs(at - wanted) <= TOLERANCE_S
        for at, wanted in zip(span, (demands.onset, demands.offset), strict=True)
    )


def _measure(
    case: Case, demands: Demands, heard: Sequence[Event], checks: Mapping[str, bool]
) -> dict[str, Amount]:
    asked, found = set(demands.labels), {event.label for event in heard}
    amounts = {
        "recall": Amount(len(asked & found), len(asked)),
        "precision": Amount(len(asked & found), len(found)),
        "made up": Amount(len(found - asked), 1),
    }
    if case.axis == "count":
        label = demands.labels[0]
        error = len(spans_of(heard, label)) - demands.counts[label]
        amounts["count bias"] = Amount(error, 1)
        amounts["count error"] = Amount(abs(error), 1)
    if case.axis == "order":
        amounts["order where all are heard"] = Amount(
            float(checks["order"]), float(checks["presence"])
        )
    if demands.duration is not None:
        error = sounding(spans_of(heard, demands.labels[0])) - demands.duration
        amounts["duration bias"] = Amount(error, 1)
        amounts["duration error"] = Amount(abs(error), 1)
    if demands.onset is not None:
        onset = onset_of(heard, demands.labels[0])
        error = 0.0 if onset is None else abs(onset - demands.onset)
        amounts["onset error where heard"] = Amount(error, float(onset is not None))
        matches = match_events(case.scene.events, heard, offsets=demands.offset is not None)
        amounts["event F1 at 200 ms"] = Amount(*matches.f1_parts)
    return amounts


def _main_span(heard: Sequence[Event], label: str) -> Span | None:
    spans = spans_of(heard, label)
    if entry_of(label).countable:
        return whole_span(spans)
    lasting = [span for span in spans if span[1] - span[0] >= FLICKER_S]
    return whole_span(lasting or spans)
