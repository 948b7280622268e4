"""Arithmetic of event lists: spans, overlap, and which events of two lists are the same.

An event list is the common language of scenes, judges and people with a pencil. All functions are
exact; times are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from soundwright.core.records import Event

Span = tuple[float, float]
"""Onset and offset."""

COLLAR_S = 0.2
"""How far an onset may be off; an offset so far, or by `OFFSET_SHARE` of the event's length."""
OFFSET_SHARE = 0.2
ROUNDING_S = 1e-9
"""Times from different sums may differ by so much and be equal."""


@dataclass(frozen=True)
class Matches:
    """Events or segments that both lists have, and those that only one has."""

    both: int
    only_true: int
    only_heard: int

    @property
    def f1_parts(self) -> tuple[int, int]:
        """2 both, and 2 both + the rest: F1 is their ratio, over any number of lists."""
        return 2 * self.both, 2 * self.both + self.only_true + self.only_heard


def spans_of(events: Sequence[Event], label: str) -> list[Span]:
    """The spans of a label's events, in order."""
    return sorted((event.onset, event.offset) for event in events if event.label == label)


def join_spans(spans: Sequence[Span], gap: float = 0.0) -> list[Span]:
    """Spans that overlap, touch, or lie less than `gap` apart become one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and (start <= joined[-1][1] or start - joined[-1][1] < gap - ROUNDING_S):
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def whole_span(spans: Sequence[Span]) -> Span | None:
    """From the first onset to the last offset; None where nothing is heard."""
    if not spans:
        return None
    return min(start for start, _ in spans), max(end for _, end in spans)


def sounding(spans: Sequence[Span]) -> float:
    """Seconds in which at least one of the spans sounds."""
    return sum(end - start for start, end in join_spans(spans))


def overlap_share(one: Span, other: Span) -> float:
    """How much of the shorter span lies within the other one, 0 to 1.

    A span without length is within the other one (1) or not (0).
    """
    shorter = min(one[1] - one[0], other[1] - other[0])
    together = min(one[1], other[1]) - max(one[0], other[0])
    if shorter <= 0:
        return float(together >= 0)
    return max(together, 0.0) / shorter


def match_events(
    true: Sequence[Event],
    heard: Sequence[Event],
    *,
    collar: float = COLLAR_S,
    offsets: bool = True,
) -> Matches:
    """Pair the events of two lists: equal label, onset within the collar, and offset likewise.

    The offset may be off by the collar or by a fifth of the true event's length, whichever is
    more, as sound event detection counts (Mesaros et al., 2016). As many pairs as possible are
    made; each event is in one of them at most.

    Args:
        true: What is there.
        heard: What somebody says is there.
        collar: Seconds.
        offsets: Whether offsets matter.
    """
    if not true or not heard:
        return Matches(0, len(true), len(heard))
    fits = np.array([[_is_same(one, other, collar, offsets) for other in heard] for one in true])
    partner = maximum_bipartite_matching(csr_array(fits.astype(np.int8)), perm_type="column")
    both = int((partner >= 0).sum())
    return Matches(both, len(true) - both, len(heard) - both)


def match_segments(
    true: Sequence[Event], heard: Sequence[Event], *, segment: float = 1.0
) -> Matches:
    """Compare two lists second by second: a label counts where it sounds within a segment.

    Segments go from 0 to the last offset of either list, each from its start to before its end,
    as sed_eval counts them.
    """
    ends = [event.offset for event in (*true, *heard)]
    if not ends:
        return Matches(0, 0, 0)
    first, second = (_in_segments(events, segment) for events in (true, heard))
    both = len(first & second)
    return Matches(both, len(first) - both, len(second) - both)


def _is_same(true: Event, heard: Event, collar: float, offsets: bool) -> bool:
    late = max(collar, OFFSET_SHARE * (true.offset - true.onset))
    return (
        true.label == heard.label
        and abs(true.onset - heard.onset) <= collar + ROUNDING_S
        and (not offsets or abs(true.offset - heard.offset) <= late + ROUNDING_S)
    )


def _in_segments(events: Sequence[Event], segment: float) -> set[tuple[str, int]]:
    """(label, number of the segment) for every segment that an event of the label touches."""
    return {
        (event.label, number)
        for event in events
        for number in range(math.floor(event.onset / segment), math.ceil(event.offset / segment))
    }
