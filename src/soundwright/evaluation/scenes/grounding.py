"""Detections for AudioTime prompts: from the bundled detector, as far as it knows their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from soundwright.audio.loudness import is_silent
from soundwright.core.errors import AudioError, UserError
from soundwright.core.progress import Meter
from soundwright.evaluation.collection import read_collection
from soundwright.evaluation.scenes.events import Span
from soundwright.evaluation.scenes.judging import Problem
from soundwright.evaluation.scenes.psds import Graded
from soundwright.evaluation.scenes.steam import THRESHOLD, Detections, Request

AUDIOSET: Mapping[str, str] = MappingProxyType(
    {
        "Baby cry, infant cry": "baby cry",
        "Bark": "dog bark",
        "Beep, bleep": "alarm beep",
        "Bird": "bird chirp",
        "Bird vocalization, bird call, bird song": "bird chirp",
        "Cat": "cat meow",
        "Chainsaw": "chainsaw",
        "Chirp, tweet": "bird chirp",
        "Clock": "clock tick",
        "Computer keyboard": "typing",
        "Cricket": "crickets",
        "Croak": "frog croak",
        "Crowing, cock-a-doodle-doo": "rooster",
        "Dog": "dog bark",
        "Doorbell": "doorbell",
        "Engine": "engine",
        "Helicopter": "helicopter",
        "Knock": "door knock",
        "Meow": "cat meow",
        "Rain on surface": "rain",
        "Sawing": "hand saw",
        "Siren": "siren",
        "Sneeze": "person sneeze",
        "Telephone bell ringing": "phone ring",
        "Thunder": "thunder",
        "Tick": "clock tick",
        "Tick-tock": "clock tick",
        "Vacuum cleaner": "vacuum cleaner",
        "Vehicle horn, car horn, honking, toot": "car horn",
        "Waves, surf": "sea waves",
        "Whistling": "whistle",
    }
)
"""AudioSet's name of a sound -> ours."""


@dataclass(frozen=True)
class Grounded:
    """What was found in the sounds of a folder."""

    detections: Detections
    problems: tuple[Problem, ...]


def known_requests(requests: Mapping[str, Request], judge: Graded) -> dict[str, Request]:
    """The prompts of which a detector knows every label.

    Raises:
        UserError: There is none.
    """
    known = {
        name: request
        for name, request in requests.items()
        if all(AUDIOSET.get(label) in judge.labels for label in request.event)
    }
    if not known:
        asked = sorted({label for request in requests.values() for label in request.event})
        raise UserError(
            f"The detector knows all labels of none of these prompts, such as {asked[0]!r}.",
            expected="prompts about sounds such as " + ", ".join(list(AUDIOSET)[:4]),
            change="Detect the events with another detector, and give what it found as JSON.",
        )
    return known


def ground(requests: Mapping[str, Request], folder: Path, judge: Graded) -> Grounded:
    """Detect the asked labels in sounds named `<prompt id>.<suffix>`.

    A label sounds where its activity is at least 0.4. A sound that is missing, silent or cannot be
    decoded has no detections, and is listed.

    Args:
        requests: Of which the detector knows every label.
        folder: Of sounds.
        judge: The detector.

    Raises:
        UserError: There is no sound.
    """
    items = {item.stem: item for item in read_collection(folder).items}
    detections: dict[str, dict[str, list[Span]]] = {}
    problems = []
    with Meter("detect", len(requests), unit="sound") as meter:
        for name, request in requests.items():
            meter.advance()
            if name not in items:
                problems.append(Problem(name=name, reason="missing"))
                continue
            try:
                sound = items[name].read()
            except AudioError as error:
                problems.append(Problem(name=items[name].name, reason=error.reason))
                continue
            if is_silent(sound.samples):
                problems.append(Problem(name=items[name].name, reason="silent"))
                continue
            activity, _ = judge.probabilities(sound.samples, sound.sample_rate)
            rows = {label: activity[judge.labels.index(AUDIOSET[label])] for label in request.event}
            detections[name] = {
                label: stretches(row, judge.frame_rate) for label, row in rows.items()
            }
    return Grounded(detections, tuple(problems))


def stretches(activity: Tensor, frame_rate: float) -> list[Span]:
    """The spans in which [F] activity reaches the threshold, in seconds."""
    loud = (activity >= THRESHOLD).int()
    edges = loud.diff(prepend=loud.new_zeros(1), append=loud.new_zeros(1)).nonzero()[:, 0].tolist()
    return [
        (first / frame_rate, last / frame_rate)
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    ]
