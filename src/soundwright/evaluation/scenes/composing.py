"""Scenes made to order: these labels, so many events, at these times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from soundwright.core.errors import ConfigError, nearest
from soundwright.core.records import Scene
from soundwright.synthesis.generators.table import GENERATORS
from soundwright.synthesis.lexicon import entry_of
from soundwright.synthesis.recordings import RecordingBank
from soundwright.synthesis.voices import Phrase, draw_voice, write_phrase

SAMPLE_RATE = 16_000
"""At which scenes are composed and rendered."""
UNDER_DB = -6.0
"""Level of a texture that something else is heard over."""
VOICES = 6
"""How many voices of a label are tried where one does not fit."""


@dataclass(frozen=True)
class Workshop:
    """What scenes are made of.

    Raises:
        ConfigError: A label that neither the generators nor the bank can make.
    """

    labels: tuple[str, ...]
    duration: float = 5.0
    """Seconds of every scene."""
    bank: RecordingBank | None = field(default=None, compare=False)
    """Recordings; what it has is taken rather than a generator."""

    def __post_init__(self) -> None:
        known = sorted({*GENERATORS, *(self.bank.labels if self.bank else ())})
        for label in self.labels:
            if label not in known:
                raise ConfigError(
                    f"Nothing makes the label {label!r}.", expected=nearest(label, known)
                )

    @property
    def countable(self) -> tuple[str, ...]:
        """The labels whose events are single happenings."""
        return tuple(label for label in self.labels if entry_of(label).countable)

    @property
    def textures(self) -> tuple[str, ...]:
        """The labels that go on."""
        return tuple(label for label in self.labels if not entry_of(label).countable)

    def phrase(
        self, label: str, count: int, budget: float, rng: np.random.Generator
    ) -> Phrase | None:
        """`count` events of a label from second 0, or `budget` seconds of a texture.

        Returns:
            None where no voice that was tried fits into `budget` seconds.
        """
        for _ in range(VOICES):
            voice = draw_voice(
                label,
                rng,
                self.bank,
                prefer_recordings=1.0,
                speed=0.05,
                blend=0.0,
                sample_rate=SAMPLE_RATE,
            )
            phrase = write_phrase(voice, count, budget, rng)
            if phrase.fits and (not entry_of(label).countable or len(phrase.events) == count):
                return phrase
        return None

    def phrases(
        self, labels: Sequence[str], budget: float, rng: np.random.Generator, count: int = 1
    ) -> Iterator[Phrase]:
        """Phrases of different labels that fit, in a drawn order."""
        for number in rng.permutation(len(labels)):
            phrase = self.phrase(labels[int(number)], count, budget, rng)
            if phrase is not None:
                yield phrase

    def layers(self, rng: np.random.Generator, budget: float) -> tuple[Phrase, Phrase] | None:
        """What can sound at once and be told apart: a texture all along, and what is heard over it.

        The latter is countable where these labels have such, takes at most `budget` seconds, and
        begins at second 0; the texture is quieter.

        Returns:
            Texture first; None where these labels cannot make both.
        """
        under = next(self.phrases(self.textures, self.duration, rng), None)
        if under is None:
            return None
        textures = tuple(label for label in self.textures if label != under.label)
        for labels in (self.countable, textures):
            over = next(self.phrases(labels, budget, rng), None)
            if over is not None:
                return under.louder(UNDER_DB), over
        return None

    def scene(
        self, phrases: Iterable[Phrase], seed: int, form: str, absent: tuple[str, ...] = ()
    ) -> Scene:
        """A scene of phrases at their times, one group each, in the order given."""
        events = [event for group, one in enumerate(phrases) for event in one.in_group(group)]
        return Scene(
            duration=self.duration,
            seed=seed,
            events=tuple(sorted(events, key=lambda event: (event.onset, event.group))),
            absent=absent,
            form=form,
        )


def in_turn(
    phrases: Iterable[Phrase], duration: float, gap: float, rng: np.random.Generator
) -> list[Phrase]:
    """The phrases one after another, `gap` seconds apart, the first within half a second."""
    phrases = list(phrases)
    taken = sum(phrase.length for phrase in phrases) + gap * (len(phrases) - 1)
    at = float(rng.uniform(0, min(0.5, max(duration - taken, 0.0)) + 1e-9))
    placed = []
    for phrase in phrases:
        placed.append(phrase.shifted(at - phrase.onset))
        at += phrase.length + gap
    return placed


def anywhere(phrase: Phrase, duration: float, rng: np.random.Generator) -> Phrase:
    """The phrase somewhere in a scene of `duration` seconds."""
    return phrase.shifted(float(rng.uniform(0, max(duration - phrase.length, 0.0) + 1e-9)))
