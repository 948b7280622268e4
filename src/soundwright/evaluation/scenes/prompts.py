"""The cases of every axis: scenes composed to order, and prompts that say what is in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from soundwright.core.errors import UserError
from soundwright.core.records import Scene
from soundwright.core.seeding import derive_seed, numpy_stream
from soundwright.evaluation.scenes.cases import AXES, Axis, Benchmark, Case, Header
from soundwright.evaluation.scenes.composing import Workshop, anywhere, in_turn
from soundwright.evaluation.scenes.pairs import PAIR_AXES, make_pair
from soundwright.evaluation.scenes.wording import (
    say_count,
    say_duration,
    say_onset,
    say_presence,
    say_span,
)
from soundwright.synthesis.captions import caption_scene

MOST_SOUNDS = 5
MOST_EVENTS = 8
MOST_STEPS = 4
GAP_S = 0.25
"""Silence between sounds that come one after another."""
TRIES = 12
"""How often a case is composed anew where it cannot be made, or its prompt is there already."""

Draft = tuple[str, Scene]
"""A prompt and its scene."""


@dataclass(frozen=True)
class _Draw:
    """What one case is drawn from."""

    workshop: Workshop
    number: int
    """Of the case within its axis; it decides how many sounds, events, seconds."""
    seed: int
    rng: np.random.Generator

    @property
    def duration(self) -> float:
        return self.workshop.duration


def make_benchmark(
    workshop: Workshop,
    *,
    axes: Sequence[Axis] = AXES,
    number: int = 20,
    pairs: int = 10,
    seed: int = 0,
) -> Benchmark:
    """Make a benchmark. The same arguments give the same one.

    Args:
        workshop: The labels, how long scenes are, and recordings.
        axes: What prompts are about; nearness comes in pairs only.
        number: Prompts of each axis.
        pairs: Minimal pairs of each axis that has them.
        seed: Of everything that is drawn.

    Returns:
        The cases. Its header names the axes that these labels cannot make.

    Raises:
        UserError: The labels can make none of the axes, or scenes are too short.
    """
    if workshop.duration < 3:
        raise UserError(
            f"Scenes of {workshop.duration:g} s leave no room for several events.",
            expected="at least 3 s",
        )
    cases: list[Case] = []
    left_out: list[str] = []
    for axis in MAKERS:
        if axis not in axes:
            continue
        made = _make_axis(workshop, axis, number, seed)
        cases += made
        if number and not made:
            left_out.append(axis)
    for axis in PAIR_AXES:
        if axis not in axes:
            continue
        made = [
            case
            for one in range(pairs)
            for case in make_pair(workshop, axis, one, derive_seed(seed, "pair", axis, one)) or ()
        ]
        cases += made
        if pairs and not made:
            left_out.append(f"{axis} pairs")
    if not cases:
        raise UserError(
            f"The labels {', '.join(workshop.labels)} can make none of these prompts.",
            change="Give more labels, countable and lasting ones, or ask for more prompts.",
        )
    header = Header(
        seed=seed,
        labels=tuple(sorted(workshop.labels)),
        duration=workshop.duration,
        left_out=tuple(left_out),
    )
    return Benchmark(header, tuple(cases))


def _make_axis(workshop: Workshop, axis: Axis, number: int, seed: int) -> list[Case]:
    cases: list[Case] = []
    for one in range(number):
        said = {case.prompt for case in cases}
        draft = None
        for attempt in range(TRIES):
            own = derive_seed(seed, "case", axis, one, attempt)
            draft = MAKERS[axis](_Draw(workshop, one, own, numpy_stream(own, "case"))) or draft
            if draft is not None and draft[0] not in said:
                break
        if draft is not None:
            prompt, scene = draft
            cases.append(Case(id=f"{axis}-{one:03d}", axis=axis, prompt=prompt, scene=scene))
    return cases


def _presence(draw: _Draw) -> Draft | None:
    """One to five sounds, each once, one after another or a little at once."""
    sounds = min(1 + draw.number % MOST_SOUNDS, len(draw.workshop.labels))
    budget = (draw.duration - GAP_S * sounds) / sounds
    phrases = list(islice(draw.workshop.phrases(draw.workshop.labels, budget, draw.rng), sounds))
    if len(phrases) < sounds:
        return None
    placed = in_turn(phrases, draw.duration, GAP_S, draw.rng)
    scene = draw.workshop.scene(placed, draw.seed, "presence")
    return say_presence([phrase.label for phrase in placed], draw.rng), scene


def _absence(draw: _Draw) -> Draft | None:
    """A sound, and another that the prompt names as not being there."""
    workshop = draw.workshop
    phrase = next(workshop.phrases(workshop.labels, draw.duration, draw.rng), None)
    others = [label for label in workshop.labels if phrase and label != phrase.label]
    if phrase is None or not others:
        return None
    absent = (str(draw.rng.choice(others)),)
    placed = anywhere(phrase, draw.duration, draw.rng)
    return _captioned(workshop.scene([placed], draw.seed, "absence", absent))


def _count(draw: _Draw) -> Draft | None:
    """One to eight events of one source; each count as often as the others."""
    workshop = draw.workshop
    count = 1 + draw.number % MOST_EVENTS
    phrase = next(workshop.phrases(workshop.countable, draw.duration - 0.2, draw.rng, count), None)
    if phrase is None:
        return None
    placed = anywhere(phrase, draw.duration, draw.rng)
    scene = workshop.scene([placed], draw.seed, "count")
    return say_count(phrase.label, count, draw.rng), scene


def _order(draw: _Draw) -> Draft | None:
    """Two to four sounds one after another, without overlap."""
    return _sequence(draw, 2 + draw.number % (MOST_STEPS - 1))


def _sequence(draw: _Draw, steps: int) -> Draft | None:
    steps = min(steps, len(draw.workshop.labels))
    budget = (draw.duration - GAP_S * steps) / steps
    phrases = list(islice(draw.workshop.phrases(draw.workshop.labels, budget, draw.rng), steps))
    if len(phrases) < max(steps, 2):
        return None
    placed = in_turn(phrases, draw.duration, GAP_S, draw.rng)
    return _captioned(draw.workshop.scene(placed, draw.seed, "sequence"))


def _overlap(draw: _Draw) -> Draft | None:
    """Two sounds at once; every other case is a sequence, so that not all answers are equal."""
    if draw.number % 2:
        return _sequence(draw, 2)
    layers = draw.workshop.layers(draw.rng, draw.duration)
    if layers is None:
        return None
    under, over = layers
    placed = anywhere(over, draw.duration, draw.rng)
    return _captioned(draw.workshop.scene([under, placed], draw.seed, "overlap"))


def _duration(draw: _Draw) -> Draft | None:
    """A sound that lasts for a whole number of seconds, and at least one second of silence."""
    seconds = 1 + draw.number % int(draw.duration - 1)
    workshop = draw.workshop
    for phrase in workshop.phrases(workshop.textures, float(seconds), draw.rng):
        if abs(phrase.length - seconds) < 0.05:
            placed = anywhere(phrase, draw.duration, draw.rng)
            scene = workshop.scene([placed], draw.seed, "duration")
            return say_duration(phrase.label, seconds, draw.rng), scene
    return None


def _timestamp(draw: _Draw) -> Draft | None:
    """A sound at a whole second: an event begins there, a texture begins and ends there."""
    workshop, rng, latest = draw.workshop, draw.rng, int(draw.duration - 1)
    start = 1 + draw.number // 2 % (latest - 1)
    if draw.number % 2:
        end = int(rng.integers(start + 1, latest + 1))
        for phrase in workshop.phrases(workshop.textures, float(end - start), rng):
            if abs(phrase.length - (end - start)) < 0.05:
                scene = workshop.scene([phrase.shifted(start)], draw.seed, "timestamp")
                return say_span(phrase.label, start, end, rng), scene
        return None
    phrase = next(workshop.phrases(workshop.countable, draw.duration - start, rng), None)
    if phrase is None:
        return None
    scene = workshop.scene([phrase.shifted(start)], draw.seed, "timestamp")
    return say_onset(phrase.label, start, rng), scene


def _captioned(scene: Scene) -> Draft:
    """A paraphrase of the scene composer."""
    return caption_scene(scene, 1, scene.seed)[0].text, scene


MAKERS: dict[Axis, Callable[[_Draw], Draft | None]] = {
    "presence": _presence,
    "absence": _absence,
    "count": _count,
    "order": _order,
    "overlap": _overlap,
    "duration": _duration,
    "timestamp": _timestamp,
}
"""Axis -> what makes a case of it, or None where these labels cannot."""
