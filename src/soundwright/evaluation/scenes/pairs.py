"""Minimal pairs: two prompts that differ in one attribute, and the number that should follow it.

A system that does not listen to the attribute gives both prompts the same kind of sound; whatever
a judge mishears, it mishears in both. So the share of pairs in which the number moves the right
way tells of obedience even where a judge is biased; half is what deafness gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
from scipy.signal import butter, sosfilt

from soundwright.audio.channels import to_channels
from soundwright.audio.sound import Sound
from soundwright.core.records import Event, Scene
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.scenes.cases import Axis, Case
from soundwright.evaluation.scenes.composing import Workshop, anywhere, in_turn
from soundwright.evaluation.scenes.events import spans_of
from soundwright.evaluation.scenes.scoring import labels_of, onset_of, overlap_of
from soundwright.evaluation.scenes.wording import clause, times
from soundwright.synthesis.lexicon import entry_of
from soundwright.synthesis.voices import Phrase

PAIR_AXES: tuple[Axis, ...] = ("absence", "count", "order", "overlap", "distance")
FEW, MANY = 1, 3
GAP_S = 0.25
NEAR_DB, FAR_DB = 2.0, -10.0
BRIGHT_HZ = 2000.0
"""What is far sounds dull: nearness is measured above this."""
WINDOW_S = 0.1
FLOOR_DB = -120.0


def make_pair(workshop: Workshop, axis: Axis, number: int, seed: int) -> list[Case] | None:
    """Two cases of which the first has more of the attribute: three times, with, near, at once.

    Of an order pair the first case is "A, then B" and the second "B, then A".

    Args:
        workshop: What scenes are made of.
        axis: One of `PAIR_AXES`.
        number: Of the pair within its axis.
        seed: Of the pair.

    Returns:
        None where these labels cannot make it.
    """
    rng = numpy_stream(seed, "pair")
    drafts = {
        "absence": _with_and_without,
        "count": _many_and_few,
        "order": _to_and_fro,
        "overlap": _at_once_and_apart,
        "distance": _near_and_far,
    }[axis](workshop, seed, rng)
    if drafts is None:
        return None
    pair = f"{axis}-pair-{number:03d}"
    return [
        Case(id=f"{pair}-{side}", axis=axis, prompt=prompt, scene=scene, pair=pair)
        for side, (prompt, scene) in zip("ab", drafts, strict=True)
    ]


def attribute_of(first: Case, heard: Sequence[Event], nearness_db: float) -> float:
    """The number of a pair's attribute in one sound; that of the first sound should be larger.

    Args:
        first: The pair's first case, which says what is looked at.
        heard: The events of the sound.
        nearness_db: Of the sound, as `nearness` measures it.
    """
    labels = labels_of(first.scene)
    if first.axis == "absence":
        return float(bool(spans_of(heard, labels[1])))
    if first.axis == "count":
        return float(len(spans_of(heard, labels[0])))
    if first.axis == "order":
        onsets = [onset_of(heard, label) for label in labels]
        return 0.0 if onsets[0] is None or onsets[1] is None else onsets[1] - onsets[0]
    if first.axis == "overlap":
        return overlap_of(heard, labels) or 0.0
    return nearness_db


def compare(first: float, second: float) -> float:
    """1 where the first number is larger, 0 where the second one is, and a half for a tie."""
    return 0.5 if first == second else float(first > second)


def nearness(sound: Sound) -> float:
    """Level above 2 kHz of the loudest tenth of a second, in dB: near is loud and bright."""
    mono = to_channels(sound.samples, 1)[0].numpy().astype(np.float64)
    if sound.sample_rate <= 2 * BRIGHT_HZ or not len(mono):
        return FLOOR_DB
    high = butter(2, BRIGHT_HZ, "highpass", fs=sound.sample_rate, output="sos")
    power = np.cumsum(np.pad(np.asarray(sosfilt(high, mono)) ** 2, (1, 0)))
    window = min(round(WINDOW_S * sound.sample_rate), len(mono))
    loudest = float((power[window:] - power[:-window]).max()) / window
    return float(round(max(10 * np.log10(max(loudest, 1e-12)), FLOOR_DB), 1))


Drafts = list[tuple[str, Scene]]


def _with_and_without(workshop: Workshop, seed: int, rng: np.random.Generator) -> Drafts | None:
    layers = workshop.layers(rng, workshop.duration)
    if layers is None:
        return None
    under, over = layers
    said, named = clause(under.label), entry_of(over.label).absent
    placed = anywhere(over, workshop.duration, rng)
    return [
        (f"{said} with {named}", workshop.scene([under, placed], seed, "overlap")),
        (f"{said} without {named}", workshop.scene([under], seed, "absence", (over.label,))),
    ]


def _many_and_few(workshop: Workshop, seed: int, rng: np.random.Generator) -> Drafts | None:
    many = next(workshop.phrases(workshop.countable, workshop.duration - 0.2, rng, MANY), None)
    if many is None:
        return None
    few = Phrase(many.label, many.events[:FEW], many.fits)
    return [
        (f"{clause(many.label)} {times(count)}", workshop.scene([phrase], seed, "count"))
        for count, phrase in ((MANY, many), (FEW, few))
    ]


def _to_and_fro(workshop: Workshop, seed: int, rng: np.random.Generator) -> Drafts | None:
    phrases = _two(workshop, rng)
    if phrases is None:
        return None
    return [
        (
            f"{clause(one.label)}, then {clause(two.label)}",
            workshop.scene(in_turn((one, two), workshop.duration, GAP_S, rng), seed, "sequence"),
        )
        for one, two in (phrases, phrases[::-1])
    ]


def _at_once_and_apart(workshop: Workshop, seed: int, rng: np.random.Generator) -> Drafts | None:
    half = workshop.duration / 2 - GAP_S
    layers = workshop.layers(rng, half)
    if layers is None:
        return None
    under, over = layers
    before = workshop.phrase(under.label, 1, half, rng)
    if before is None:
        return None
    said, other = clause(over.label), clause(under.label)
    at_once = [anywhere(over, workshop.duration, rng), under]
    apart = in_turn((over, before), workshop.duration, GAP_S, rng)
    return [
        (f"{said} while {other}", workshop.scene(at_once, seed, "overlap")),
        (f"{said} before {other}", workshop.scene(apart, seed, "sequence")),
    ]


def _near_and_far(workshop: Workshop, seed: int, rng: np.random.Generator) -> Drafts | None:
    phrase = next(workshop.phrases(workshop.labels, workshop.duration, rng), None)
    if phrase is None:
        return None
    placed = anywhere(phrase, workshop.duration, rng)
    said = clause(phrase.label)
    near = placed.louder(NEAR_DB).at_distance("near")
    far = placed.louder(FAR_DB).at_distance("far")
    return [
        (f"{said} nearby", workshop.scene([near], seed, "single")),
        (f"{said} in the distance", workshop.scene([far], seed, "single")),
    ]


def _two(workshop: Workshop, rng: np.random.Generator) -> tuple[Phrase, Phrase] | None:
    budget = workshop.duration / 2 - GAP_S
    found = list(islice(workshop.phrases(workshop.labels, budget, rng), 2))
    return (found[0], found[1]) if len(found) == 2 else None
