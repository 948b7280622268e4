"""What a caption demands of a sound, as far as its events are known: which, how many, the order.

For captions like those of scenes: "a dog barks twice, then rain falls".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from soundwright.core.records import Event
from soundwright.preference.perturbation.outline import Outline
from soundwright.preference.perturbation.vocabulary import forms_of
from soundwright.synthesis.captions import NUMBERS
from soundwright.synthesis.lexicon import LEXICON

_TIMES = {"once": 1, "twice": 2} | {f"{NUMBERS[count]} times": count for count in range(1, 9)}
_COUNT = re.compile(rf"\b(?:{'|'.join(_TIMES)})\b")
_NUMBER = re.compile(rf"\b({'|'.join(NUMBERS[2:])})\b(?! (?:times|seconds?))")


@dataclass(frozen=True)
class Demand:
    """One event that is demanded."""

    label: str
    count: int | None
    """How many times; None where it is not said."""


@dataclass(frozen=True)
class Demands:
    """What a caption demands."""

    events: tuple[Demand, ...]
    """As they are told; None of them twice."""
    orders: tuple[tuple[str, str], ...]
    """Labels of which the first must begin before the second."""


def read_demands(caption: str, labels: Collection[str]) -> Demands:
    """What a caption demands of the events with `labels`; of others nothing."""
    outline = Outline.of(caption)
    found = [_find(concept.lower(), labels) for concept in outline.concepts]
    events: dict[str, Demand] = {}
    for one in found:
        if one is not None:
            events.setdefault(one.label, one)
    orders = []
    for place in range(len(outline.joints)):
        first, second = found[place], found[place + 1]
        order = outline.order(place)
        if first and second and first.label != second.label and order in ("first", "second"):
            pair = (first.label, second.label)
            orders.append(pair if order == "first" else pair[::-1])
    return Demands(tuple(events.values()), tuple(orders))


def meet_demands(demands: Demands, heard: Sequence[Event]) -> float | None:
    """How much of what is demanded is heard, from 0 to 1; None where nothing is demanded.

    The mean over all single demands: that a label is heard (0 or 1), that it is heard so many times
    (1 less the relative error, at least 0), that one begins before another (0 or 1).
    """
    if not demands.events:
        return None
    onsets: dict[str, list[float]] = {}
    for event in heard:
        onsets.setdefault(event.label, []).append(event.onset)
    met = [float(one.label in onsets) for one in demands.events]
    for one in demands.events:
        if one.count is not None:
            error = abs(len(onsets.get(one.label, ())) - one.count)
            met.append(max(0.0, 1 - error / one.count))
    for first, second in demands.orders:
        both = first in onsets and second in onsets
        met.append(float(both and min(onsets[first]) < min(onsets[second])))
    return sum(met) / len(met)


def _find(concept: str, labels: Collection[str]) -> Demand | None:
    """The event that a concept tells of: the one with the longest words."""
    for words, label in _words():
        if label in labels and re.search(rf"(?<![\w-]){re.escape(words)}(?![\w-])", concept):
            return Demand(label, _count(concept, label))
    return None


def _count(concept: str, label: str) -> int | None:
    if not LEXICON[label].countable:
        return None
    times = _COUNT.search(concept)
    if times:
        return _TIMES[times[0]]
    number = _NUMBER.search(concept)
    return NUMBERS.index(number[1]) if number else None


@functools.cache
def _words() -> tuple[tuple[str, str], ...]:
    """How an event may be said, and its label; the longest words first."""
    said = {
        words: label
        for label, entry in LEXICON.items()
        for words in (*forms_of(entry), entry.absent, label)
        if words
    }
    return tuple(sorted(said.items(), key=lambda item: (-len(item[0]), item[0])))
