"""One source of sound, and the phrases that it plays: a dog that barks three times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from soundwright.core.records import SceneEvent
from soundwright.core.seeding import derive_seed
from soundwright.synthesis.generators.model import DURATION, Generator
from soundwright.synthesis.generators.table import GENERATORS
from soundwright.synthesis.lexicon import Rhythm, entry_of
from soundwright.synthesis.recordings import Cut, RecordingBank
from soundwright.synthesis.rendering import GENERATED, PARTNER, RECORDED, source_samples

GAP_S = 0.07
"""Shortest silence between two events of one phrase that do not ring into each other."""
RINGING_S = 0.5
"""How much of an event that rings must be heard before the phrase may end."""
CLOSEST_S = 0.1
"""Shortest interval of a series that runs down."""
TEXTURE_SHARE = 0.6
"""The share of the wanted time that a recorded texture must fill."""
OVERLAY_DB = (-6.0, 6.0)
"""Range of a partner's power in an overlay, relative to the recording it joins."""
MORPH = (0.3, 0.9)
"""Range of a partner's share in the spectral envelope of a morph."""


@dataclass(frozen=True)
class Voice:
    """A source that makes events of one label, each a little different."""

    label: str
    play: Callable[[int, float], SceneEvent]
    """(number of the event, seconds wanted of a texture) -> the event, from second 0."""


@dataclass(frozen=True)
class Phrase:
    """The events of one voice; they become one group of the scene."""

    label: str
    events: tuple[SceneEvent, ...]
    fits: bool
    """Whether the phrase found room without being cut."""

    @property
    def onset(self) -> float:
        """Seconds."""
        return self.events[0].onset

    @property
    def length(self) -> float:
        """Seconds from the first onset to the last offset."""
        return max(event.offset for event in self.events) - self.onset

    def shifted(self, seconds: float) -> Phrase:
        """The same, later."""
        return self._changed(
            lambda event: {
                "onset": round(event.onset + seconds, 6),
                "offset": round(event.offset + seconds, 6),
            }
        )

    def louder(self, decibels: float) -> Phrase:
        """The same with another gain."""
        return self._changed(lambda event: {"gain_db": round(event.gain_db + decibels, 2)})

    def at_distance(self, distance: Literal["near", "far"] | None) -> Phrase:
        """The same from near or far."""
        return self._changed(lambda _: {"distance": distance})

    def in_group(self, group: int) -> tuple[SceneEvent, ...]:
        """The events as group `group`."""
        return self._changed(lambda _: {"group": group}).events

    def _changed(self, change: Callable[[SceneEvent], dict[str, object]]) -> Phrase:
        events = (event.model_copy(update=change(event)) for event in self.events)
        return replace(self, events=tuple(events))


def draw_voice(
    label: str,
    rng: np.random.Generator,
    bank: RecordingBank | None,
    *,
    prefer_recordings: float,
    speed: float,
    blend: float,
    sample_rate: int,
) -> Voice:
    """Find a source for `label`: a recorded one where the bank has it, or a generator.

    Args:
        label: A label of the bank or of the generators.
        rng: Draws the source.
        bank: Recorded events.
        prefer_recordings: Chance of a recording where there are both.
        speed: Largest change of a recording's speed, as a share.
        blend: Chance that the events are blends with another recording of the label.
        sample_rate: At which generated events are measured.
    """
    clips = bank.cuts(label) if bank else {}
    generator = GENERATORS.get(label)
    if clips and (generator is None or rng.uniform() < prefer_recordings):
        clip_id = str(rng.choice(sorted(clips)))
        played = round(float(rng.uniform(1 - speed, 1 + speed)), 4)
        others = sorted(clips.keys() - {clip_id})
        # A chance of nothing draws nothing, so that scenes without blends stay as they were.
        if not blend or not others or rng.uniform() >= blend:
            return _recorded_voice(label, clips[clip_id], played, rng)
        partner = clips[str(rng.choice(others))]
        return _blended_voice(label, clips[clip_id], partner, played, speed, rng)
    assert generator is not None, f"nothing makes {label}"
    return _generated_voice(generator, rng, sample_rate)


def write_phrase(voice: Voice, count: int, budget: float, rng: np.random.Generator) -> Phrase:
    """Let a voice play.

    Args:
        voice: The source.
        count: Events wanted of a countable label; fewer come where more have no room.
        budget: Seconds that the phrase may take; an event that is longer is cut.
        rng: Draws intervals and gains.
    """
    entry = entry_of(voice.label)
    if not entry.countable:
        event = voice.play(0, budget)
        fits = event.offset >= TEXTURE_SHARE * budget
        return Phrase(voice.label, (_cut(event, budget),), fits)
    rhythm = entry.rhythm
    events = [voice.play(number, budget) for number in range(count)]
    while len(events) > 1:
        for base in (float(rng.uniform(rhythm.low, rhythm.high)), rhythm.low):
            placed = _in_rhythm(events, base, rhythm, rng)
            if _needed(placed[-1], rhythm) <= budget:
                return Phrase(voice.label, tuple(_cut(event, budget) for event in placed), True)
        events.pop()
    return Phrase(voice.label, (_cut(events[0], budget),), _needed(events[0], rhythm) <= budget)


def _in_rhythm(
    events: Sequence[SceneEvent], base: float, rhythm: Rhythm, rng: np.random.Generator
) -> list[SceneEvent]:
    """Set the events apart: evenly with some jitter, or ever faster where the series runs down."""
    ratio = rng.uniform(*rhythm.restitution) if rhythm.restitution else 1.0
    onset, placed = 0.0, []
    for number, event in enumerate(events):
        fall = 20 * np.log10(ratio) * number
        gain = round(float(fall + rng.uniform(-0.8, 0.8)), 2)
        placed.append(
            event.model_copy(
                update={
                    "onset": round(onset, 6),
                    "offset": round(onset + event.offset, 6),
                    "gain_db": gain,
                }
            )
        )
        interval = max(base * ratio**number, CLOSEST_S)
        interval *= max(0.6, 1 + rhythm.jitter * rng.standard_normal())
        onset += interval if rhythm.rings else max(interval, event.offset + GAP_S)
    return placed


def _needed(event: SceneEvent, rhythm: Rhythm) -> float:
    """When the phrase may end after its last event."""
    return min(event.offset, event.onset + RINGING_S) if rhythm.rings else event.offset


def _cut(event: SceneEvent, end: float) -> SceneEvent:
    return event.model_copy(update={"offset": round(min(event.offset, end), 6)})


def _generated_voice(generator: Generator, rng: np.random.Generator, sample_rate: int) -> Voice:
    own = generator.draw(rng)
    seed = int(rng.integers(1 << 62))

    def play(number: int, wanted: float) -> SceneEvent:
        values = generator.vary(own, rng) if number else dict(own)
        if generator.is_texture:
            values[DURATION] = round(wanted, 6)
        event = SceneEvent(
            label=generator.label,
            onset=0.0,
            offset=wanted,
            source=GENERATED + generator.label,
            group=0,
            seed=derive_seed(seed, number),
            parameters=values,
        )
        if generator.is_texture:
            return event
        length = len(source_samples(event, None, sample_rate)) / sample_rate
        return event.model_copy(update={"offset": round(length, 6)})

    return Voice(generator.label, play)


def _recorded_voice(
    label: str, cuts: Sequence[Cut], speed: float, rng: np.random.Generator
) -> Voice:
    """One clip is one voice: all events of a phrase come from the same dog."""

    def play(_: int, wanted: float) -> SceneEvent:
        clip_id, values, length = _draw_part(label, cuts, speed, wanted, rng)
        return SceneEvent(
            label=label,
            onset=0.0,
            offset=length,
            source=RECORDED + clip_id,
            group=0,
            parameters=values,
        )

    return Voice(label, play)


def _blended_voice(
    label: str,
    cuts: Sequence[Cut],
    others: Sequence[Cut],
    played: float,
    speed: float,
    rng: np.random.Generator,
) -> Voice:
    """A pair of clips is one voice, and so is how much it has of each."""
    own = _recorded_voice(label, cuts, played, rng)
    other_speed = round(float(rng.uniform(1 - speed, 1 + speed)), 4)
    name, (low, high) = ("overlay_db", OVERLAY_DB) if entry_of(label).diffuse else ("morph", MORPH)
    amount = round(float(rng.uniform(low, high)), 3)

    def play(number: int, wanted: float) -> SceneEvent:
        event = own.play(number, wanted)
        clip_id, values, _ = _draw_part(label, others, other_speed, wanted, rng)
        values = {PARTNER + key: value for key, value in values.items()}
        return event.model_copy(
            update={
                "partner": RECORDED + clip_id,
                "parameters": {**event.parameters, **values, name: amount},
            }
        )

    return Voice(label, play)


def _draw_part(
    label: str, cuts: Sequence[Cut], speed: float, wanted: float, rng: np.random.Generator
) -> tuple[str, dict[str, float], float]:
    """One event, or `wanted` seconds of a texture: a clip, which part of it, how long it takes."""
    if entry_of(label).countable:
        cut = cuts[int(rng.integers(len(cuts)))]
        start, length = cut.start, cut.length
    else:
        cut = max(cuts, key=lambda one: one.length)
        length = min(cut.length, wanted * speed * 1.02)
        start = cut.start + float(rng.uniform(0, cut.length - length))
    own = round(speed * float(rng.uniform(0.985, 1.015)), 4)
    start = round(start, 6)
    values = {"start": start, "end": round(start + length, 6), "speed": own}
    return cut.clip_id, values, round(length / own, 6)
