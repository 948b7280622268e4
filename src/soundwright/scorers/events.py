"""From a label's probabilities in every frame to its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from soundwright.core.config import Config
from soundwright.core.records import Event

Probability = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(ge=0)]
ROUNDING_S = 1e-9


class EventRule(Config):
    """How events are read from probabilities."""

    activity: Probability = 0.5
    """A label sounds where its activity is at least this likely."""
    onset: Probability = 0.5
    """A label has events where its likeliest onset is at least this likely."""
    further: Probability = 0.2
    """Then an event begins at every onset that is at least this likely."""
    apart: Seconds = 0.06
    """Of onsets closer than this the likelier one stands."""
    twin: Probability = 0.8
    """Where at least this share of a label's onsets fall together, within `apart`, with those of a
    likelier label, one sound was heard as two, and the likelier one stands."""
    gap: Seconds = 0.3
    """Silences shorter than this do not end a texture."""
    shortest: Seconds = 0.3
    """Textures shorter than this are none."""
    least: Seconds = 0.06
    """Length of an event whose activity does not reach beyond its onset."""


def find_events(
    label: str,
    activity: Tensor,
    onset: Tensor | None,
    rule: EventRule,
    frame_rate: float,
    end: float,
) -> list[Event]:
    """The events of one label, in order.

    Args:
        label: Of the events.
        activity: [F] in [0, 1].
        onset: [F] in [0, 1] for single happenings: each peak begins an event, which lasts while
            the label sounds and at most to the next one. None for a texture: an event is a
            stretch in which the label sounds.
        rule: What counts.
        frame_rate: Frames a second.
        end: Of the sound, in seconds.
    """
    if onset is None:
        spans = join_spans(find_stretches(activity, rule.activity, frame_rate), rule.gap)
        spans = [(a, b) for a, b in spans if b - a >= rule.shortest]
    else:
        starts = find_peaks(onset, rule, frame_rate)
        limits = [*starts[1:], end][: len(starts)]
        spans = [
            (start, _until(activity, start, limit, rule, frame_rate))
            for start, limit in zip(starts, limits, strict=True)
        ]
    return [Event(label=label, onset=min(a, end), offset=min(max(a, b), end)) for a, b in spans]


def find_peaks(onset: Tensor, rule: EventRule, frame_rate: float) -> list[float]:
    """Seconds of the onsets in [F] probabilities, in order.

    One that is clearly there vouches for others of its label that are less clear.
    """
    values = onset.tolist()
    if not values or max(values) < rule.onset:
        return []
    candidates = [frame for frame, value in enumerate(values) if value >= rule.further]
    kept: list[int] = []
    # The likeliest first; of equal ones the earliest.
    for frame in sorted(candidates, key=lambda one: (-values[one], one)):
        near = values[max(frame - 1, 0) : frame + 2]
        apart = all(abs(frame - other) >= rule.apart * frame_rate for other in kept)
        if values[frame] == max(near) and apart:
            kept.append(frame)
    return [frame / frame_rate for frame in sorted(kept)]


def drop_twins(onsets: Mapping[str, Tensor], rule: EventRule, frame_rate: float) -> list[str]:
    """The labels whose events are their own, the likeliest first.

    Args:
        onsets: [F] in [0, 1] of each single happening.
        rule: What counts.
        frame_rate: Frames a second.
    """
    peaks = {label: find_peaks(onset, rule, frame_rate) for label, onset in onsets.items()}
    evidence = {
        label: sum(float(onsets[label][round(at * frame_rate)]) for at in found)
        for label, found in peaks.items()
    }
    kept: list[str] = []
    for label in sorted(peaks, key=lambda one: (-evidence[one], one)):
        if peaks[label] and not any(
            _share_together(peaks[label], peaks[other], rule.apart) >= rule.twin for other in kept
        ):
            kept.append(label)
    return kept


def find_stretches(
    activity: Tensor, threshold: float, frame_rate: float
) -> list[tuple[float, float]]:
    """Seconds of the stretches in which [F] probabilities reach the threshold, in order."""
    edges = pad((activity >= threshold).int(), (1, 1)).diff()
    places = edges.nonzero()[:, 0].tolist()
    return [
        (first / frame_rate, last / frame_rate)
        for first, last in zip(places[::2], places[1::2], strict=True)
    ]


def join_spans(spans: Sequence[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """Spans in order, with those made one that overlap or have less than `gap` between them."""
    joined: list[tuple[float, float]] = []
    for first, last in spans:
        if joined and first - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _share_together(one: Sequence[float], other: Sequence[float], apart: float) -> float:
    """The share of the seconds in `one` that lie at most `apart` from some in `other`."""
    near = [min(abs(at - there) for there in other) <= apart + ROUNDING_S for at in one]
    return sum(near) / len(near)


def _until(
    activity: Tensor, start: float, limit: float, rule: EventRule, frame_rate: float
) -> float:
    """When an event that begins at `start` ends, at most at `limit`."""
    first = round(start * frame_rate)
    sounds = (activity[first:] >= rule.activity).tolist()
    # The activity may rise a moment after the onset.
    lead = round(rule.least * frame_rate)
    length = lead
    while length < len(sounds) and sounds[length]:
        length += 1
    return min((first + length) / frame_rate, limit)
