"""What stands beside every number: true scenes, faulty ones, silence, noise, one constant sound.

They depend on the benchmark and the judge alone, so that they are heard once and kept in the cache,
case by case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from soundwright.audio.sound import Sound
from soundwright.core.files import cache_folder, hash_bytes, write_text
from soundwright.core.progress import Meter
from soundwright.core.records import Event, Record
from soundwright.core.seeding import numpy_stream, torch_stream
from soundwright.evaluation.scenes.cases import Benchmark, Case
from soundwright.evaluation.scenes.composing import SAMPLE_RATE, Workshop
from soundwright.evaluation.scenes.faults import make_faults
from soundwright.evaluation.scenes.judging import NOTHING, Heard, Judge, listen
from soundwright.evaluation.scenes.scoring import labels_of
from soundwright.synthesis.rendering import render_scene

REVISION = 1
"""Of what is in the cache; changes with faults and renders."""
NOISE_LEVEL = 0.1
CONSTANT_S = 0.5
"""When the constant sound begins."""


class Fault(Record):
    """A faulty scene: what is in it, and what a judge hears of it."""

    events: tuple[Event, ...]
    heard: Heard


class Trial(Record):
    """How a judge did on the true scene of a case, and on its faulty versions."""

    truth: Heard
    faults: dict[str, Fault]


@dataclass(frozen=True)
class Controls:
    """What a judge hears where it is known what there is to hear."""

    trials: Mapping[str, Trial]
    """By case id."""
    silence: Heard
    noise: Heard
    constant: Heard
    constant_label: str
    """The sound that the constant system always makes, once."""


def hear_controls(
    benchmark: Benchmark, workshop: Workshop, judge: Judge, identity: str
) -> Controls:
    """Render and hear the controls of a benchmark, or take them from the cache.

    Args:
        benchmark: Its cases.
        workshop: What it was made of.
        judge: Who listens.
        identity: Changes whenever the judge would hear something else; names the cache. Empty for
            a judge that is not to be remembered.

    Raises:
        UserError: A scene needs a recording that the workshop lacks.
    """
    recordings = workshop.bank.clip_ids if workshop.bank else ()
    key = "\n".join((str(REVISION), benchmark.identity, identity, *recordings))
    place = cache_folder() / "scenes" / hash_bytes(key.encode())[:20]
    trials = {}
    with Meter("controls", len(benchmark.cases), unit="case") as meter:
        for case in benchmark.cases:
            file = place / f"{case.id}.json"
            trial = _recall(file) if identity else None
            if trial is None:
                trial = _try(case, workshop, judge)
                if identity:
                    write_text(file, trial.model_dump_json())
            trials[case.id] = trial
            meter.advance()
    label, constant = make_constant(benchmark, workshop)
    return Controls(
        trials=trials,
        silence=NOTHING,
        noise=listen(judge, make_noise(benchmark.header.duration)),
        constant=listen(judge, constant),
        constant_label=label,
    )


def make_noise(duration: float) -> Sound:
    """White noise."""
    count = round(duration * SAMPLE_RATE)
    draws = torch.randn(1, count, generator=torch_stream(0, "scenes", "noise"))
    return Sound((NOISE_LEVEL * draws).clamp(-1, 1), SAMPLE_RATE)


def make_constant(benchmark: Benchmark, workshop: Workshop) -> tuple[str, Sound]:
    """The sound that prompts name most often, once: its label, and a scene of it.

    Of equally frequent ones it is the first by name; a countable one is preferred.
    """
    named = Counter(label for case in benchmark.cases for label in labels_of(case.scene))
    labels = [label for label in named if label in workshop.countable] or list(named)
    label = min(labels, key=lambda one: (-named[one], one))
    room = workshop.duration - CONSTANT_S
    phrase = workshop.phrase(label, 1, room, numpy_stream(0, "scenes", "constant"))
    phrases = [] if phrase is None else [phrase.shifted(CONSTANT_S)]
    return label, render_scene(workshop.scene(phrases, 0, "single"), workshop.bank, SAMPLE_RATE)


def _recall(file: Path) -> Trial | None:
    """What is in the cache; None where nothing is, or something else."""
    try:
        return Trial.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _try(case: Case, workshop: Workshop, judge: Judge) -> Trial:
    truth = listen(judge, render_scene(case.scene, workshop.bank, SAMPLE_RATE))
    if case.pair:
        return Trial(truth=truth, faults={})
    faults = {}
    for name, scene in make_faults(case, workshop).items():
        events = tuple(
            Event(label=event.label, onset=event.onset, offset=event.offset)
            for event in scene.events
        )
        sound = render_scene(scene, workshop.bank, SAMPLE_RATE)
        faults[name] = Fault(events=events, heard=listen(judge, sound))
    return Trial(truth=truth, faults=faults)
