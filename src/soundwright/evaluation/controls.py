"""Control rows: what the same metrics say of sounds of which it is known what they are worth.

Silence and noise take the place of every generated sound, prompts are exchanged, and one half of
the reference plays the system against the other half. A metric that does not tell these from the
system says nothing about the system.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from soundwright.audio.sound import Sound
from soundwright.core.seeding import torch_stream
from soundwright.evaluation.sides import Sample, Sides

ROOT = "controls"
"""Under which the cache knows these sounds."""
NOISES = 16
"""Different ones; they are dealt out in turn, so that rows are as many as the system's."""
NOISE_RMS = 0.1
RATE = 32_000
REVISION = 1

Name = Literal["silence", "noise", "shuffled prompts", "real against real"]
CONTROLS: Mapping[Name, str] = {
    "silence": "every generated sound replaced by digital silence of the reference's usual length",
    "noise": f"every generated sound replaced by one of {NOISES} white noises at -20 dB",
    "shuffled prompts": "every generated sound judged by the prompt and references of another",
    "real against real": "one half of the references in the place of the system, against the other",
}


@dataclass(frozen=True)
class ControlSound:
    """Silence, or the noise with a number."""

    number: int | None
    """None is silence."""
    duration: float
    """Seconds."""

    @property
    def name(self) -> str:
        """What it is."""
        kind = "silence" if self.number is None else f"noise {self.number}"
        return f"{kind}, {self.duration:.2f} s"

    def read(self) -> Sound:
        """Make it; always the same."""
        samples = torch.zeros(1, round(self.duration * RATE))
        if self.number is not None:
            stream = torch_stream(self.number, "control", "noise")
            samples = NOISE_RMS * torch.randn(samples.shape, generator=stream)
        return Sound(samples, RATE)

    def fingerprint(self) -> str:
        """Its name says all."""
        return f"{self.name} {RATE} {REVISION}"


def control_sounds(duration: float, count: int) -> list[ControlSound]:
    """Silence and as many noises as `count` sounds need, of one length in seconds."""
    rounded = max(0.1, round(duration, 2))
    noises = [ControlSound(number, rounded) for number in range(min(NOISES, count))]
    return [ControlSound(None, rounded), *noises]


def replace_sounds(sides: Sides, keys: Sequence[str]) -> Sides:
    """The same sides with other sounds in the place of the generated ones, dealt out in turn."""
    order = sorted(sides.generated, key=lambda sample: (sample.group, sample.name))
    dealt = [replace(sample, key=keys[number % len(keys)]) for number, sample in enumerate(order)]
    return Sides.of(dealt, sides.reference)


def shuffle_prompts(sides: Sides) -> Sides | None:
    """Every sound with what belongs to a sound of another prompt; None where that cannot be.

    Sorted by prompt, all move on by half of their number.
    """
    order = sorted(sides.generated, key=lambda sample: (sample.group, sample.name))
    most = max(Counter(sample.group for sample in order).values(), default=0)
    half = len(order) // 2
    if most > half:
        return None
    moved = order[half:] + order[:half]
    return Sides.of(
        [
            replace(
                sample,
                prompt=other.prompt,
                partners=other.partners,
                labels=other.labels,
                group=other.group,
            )
            for sample, other in zip(order, moved, strict=True)
        ],
        sides.reference,
    )


def split_reference(reference: Sequence[Sample]) -> Sides | None:
    """Two halves of the reference against each other; None of fewer than four sounds.

    Within each prompt sounds go to the halves in turn, in the order of their hashes, so that both
    halves hold the same prompts as far as they can.

    Args:
        reference: The real sounds with group, prompt and labels; partners are found here.
    """
    if len(reference) < 4:
        return None
    order = sorted(reference, key=lambda sample: (sample.group, sample.key, sample.name))
    system, real = order[::2], order[1::2]
    by_group: defaultdict[str, list[str]] = defaultdict(list)
    for sample in real:
        by_group[sample.group].append(sample.key)
    return Sides.of(
        [replace(sample, partners=tuple(by_group[sample.group])) for sample in system],
        [sample.key for sample in real],
    )
