"""Scenes with a single fault: what a judge must not let pass.

A fault is made on the scene and rendered, so that it is known to the sample. Which checks it
breaks is not said here: the exact scorer says it, from the faulty scene's own events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from soundwright.core.records import Scene, SceneEvent
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.scenes.cases import Axis, Case
from soundwright.evaluation.scenes.composing import Workshop, anywhere
from soundwright.evaluation.scenes.scoring import labels_of
from soundwright.synthesis.generators.model import DURATION
from soundwright.synthesis.lexicon import entry_of
from soundwright.synthesis.rendering import GENERATED

SHIFT_S = 1.0
"""How far a time is moved, and a duration changed: twice what is tolerated."""
ADDED_SHARE = 0.35
"""Share of the scene that an added texture takes."""
GAP_S = 0.1

Events = tuple[SceneEvent, ...]


@dataclass(frozen=True)
class _Draw:
    """What a fault is made of."""

    case: Case
    workshop: Workshop
    rng: np.random.Generator

    @property
    def events(self) -> Events:
        return self.case.scene.events

    @property
    def groups(self) -> dict[int, Events]:
        return {
            group: tuple(event for event in self.events if event.group == group)
            for group in sorted({event.group for event in self.events})
        }

    def without(self, *gone: int) -> Events:
        return tuple(event for event in self.events if event.group not in gone)


def make_faults(case: Case, workshop: Workshop) -> dict[str, Scene]:
    """The faulty versions of a case's scene.

    `drop` a sound is missing; `add` there is one more, the one named as absent where there is one;
    `exchange` another sound instead of one; `swap` two sounds change their places in time; `fewer`
    and `more` one event less or more; `apart` and `together` two sounds that should be at once are
    not, or the reverse; `shorter`, `longer`, `earlier`, `later` by one second.

    Args:
        case: Its scene has at least one event.
        workshop: What the benchmark was made of.

    Returns:
        By name, those that this scene can have. The same case and workshop give the same scenes.
    """
    faults: dict[str, Scene] = {}
    for name, (axes, make) in FAULTS.items():
        if axes and case.axis not in axes:
            continue
        draw = _Draw(case, workshop, numpy_stream(case.scene.seed, "fault", name))
        events = make(draw)
        if events is not None:
            ordered = tuple(sorted(events, key=lambda event: (event.onset, event.group)))
            faults[name] = case.scene.model_copy(update={"events": ordered, "form": name})
    return faults


def _drop(draw: _Draw) -> Events | None:
    return draw.without(int(draw.rng.choice(list(draw.groups))))


def _add(draw: _Draw) -> Events | None:
    scene, workshop = draw.case.scene, draw.workshop
    present = labels_of(scene)
    labels = scene.absent or tuple(one for one in workshop.labels if one not in present)
    short = workshop.phrases(labels, ADDED_SHARE * workshop.duration, draw.rng)
    phrase = next(short, None) or next(workshop.phrases(labels, workshop.duration, draw.rng), None)
    if phrase is None:
        return None
    placed = anywhere(phrase, workshop.duration, draw.rng)
    return draw.events + placed.in_group(1 + max(draw.groups))


def _exchange(draw: _Draw) -> Events | None:
    gone = int(draw.rng.choice(list(draw.groups)))
    old, kept = draw.groups[gone], draw.without(gone)
    taken = (*labels_of(draw.case.scene), *draw.case.scene.absent)
    countable = entry_of(old[0].label).countable
    labels = draw.workshop.countable if countable else draw.workshop.textures
    labels = [label for label in labels if label not in taken]
    budget = (draw.workshop.duration if countable else _end(old)) - old[0].onset
    phrase = next(draw.workshop.phrases(labels, budget, draw.rng, len(old)), None)
    return None if phrase is None else kept + phrase.shifted(old[0].onset).in_group(gone)


def _swap(draw: _Draw) -> Events | None:
    """Two neighbours of a sequence; what lies between them stays as long."""
    if draw.case.scene.form != "sequence":
        return None
    first = int(draw.rng.integers(len(draw.groups) - 1))
    one, two = draw.groups[first], draw.groups[first + 1]
    to_front = one[0].onset - two[0].onset
    to_back = _end(two) - _end(one)
    return draw.without(first, first + 1) + _moved(two, to_front) + _moved(one, to_back)


def _fewer(draw: _Draw) -> Events | None:
    return draw.events[:-1] if len(draw.events) > 1 else None


def _more(draw: _Draw) -> Events | None:
    count, duration = len(draw.events) + 1, draw.workshop.duration
    phrase = draw.workshop.phrase(draw.events[0].label, count, duration, draw.rng)
    return None if phrase is None else anywhere(phrase, duration, draw.rng).in_group(0)


def _apart(draw: _Draw) -> Events | None:
    """The lasting sound is cut to the longer side of the other one; two lasting ones are halved."""
    if draw.case.scene.form != "overlap":
        return None
    under, over = sorted(draw.groups.values(), key=lambda one: one[0].onset - _end(one))
    duration = draw.workshop.duration
    start, end = over[0].onset, _end(over)
    if max(start, duration - end) < 1:
        start, end = 0.0, duration / 2
        over = tuple(_lasting(event, end - event.onset) for event in over)
    if start >= duration - end:
        return over + tuple(_lasting(event, start - GAP_S - event.onset) for event in under)
    shortened = tuple(_lasting(event, duration - end - GAP_S) for event in under)
    return over + _moved(shortened, end + GAP_S - under[0].onset)


def _together(draw: _Draw) -> Events | None:
    """The second of two sounds begins with the first one."""
    if draw.case.scene.form != "sequence" or len(draw.groups) != 2:
        return None
    one, two = draw.groups.values()
    return one + _moved(two, one[0].onset - two[0].onset)


def _shorter(draw: _Draw) -> Events | None:
    event = draw.events[0]
    length = event.offset - event.onset - SHIFT_S
    return (_lasting(event, length),) if length > SHIFT_S / 2 else None


def _longer(draw: _Draw) -> Events | None:
    event = draw.events[0]
    length, duration = event.offset - event.onset + SHIFT_S, draw.workshop.duration
    if length > duration or not _is_made_to_last(event):
        return None
    return _moved((_lasting(event, length),), min(0.0, duration - length - event.onset))


def _earlier(draw: _Draw) -> Events | None:
    return _moved(draw.events, -SHIFT_S) if draw.events[0].onset >= SHIFT_S else None


def _later(draw: _Draw) -> Events | None:
    is_room = _end(draw.events) + SHIFT_S <= draw.workshop.duration
    return _moved(draw.events, SHIFT_S) if is_room else None


def _end(events: Events) -> float:
    return max(event.offset for event in events)


def _moved(events: Events, seconds: float) -> Events:
    return tuple(
        event.model_copy(
            update={
                "onset": round(event.onset + seconds, 6),
                "offset": round(event.offset + seconds, 6),
            }
        )
        for event in events
    )


def _is_made_to_last(event: SceneEvent) -> bool:
    return event.source.startswith(GENERATED) and DURATION in event.parameters


def _lasting(event: SceneEvent, seconds: float) -> SceneEvent:
    """The event, lasting so long: a generated texture is made so, all else can be cut only."""
    if not _is_made_to_last(event):
        offset = min(event.offset, event.onset + seconds)
        return event.model_copy(update={"offset": round(offset, 6)})
    parameters = {**event.parameters, DURATION: round(seconds, 6)}
    offset = round(event.onset + seconds, 6)
    return event.model_copy(update={"offset": offset, "parameters": parameters})


FAULTS: Mapping[str, tuple[tuple[Axis, ...], Callable[[_Draw], Events | None]]] = {
    "drop": ((), _drop),
    "add": ((), _add),
    "exchange": ((), _exchange),
    "swap": (("order", "overlap"), _swap),
    "fewer": (("count",), _fewer),
    "more": (("count",), _more),
    "apart": (("overlap",), _apart),
    "together": (("order", "overlap"), _together),
    "shorter": (("duration",), _shorter),
    "longer": (("duration",), _longer),
    "earlier": (("timestamp",), _earlier),
    "later": (("timestamp",), _later),
}
"""Name -> the axes that have it (none named: all), and what makes it or says that it cannot be."""
