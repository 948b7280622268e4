"""The scene composer: which events, how many, when, how loud, how far."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from soundwright.core.config import Config
from soundwright.core.errors import ConfigError, nearest
from soundwright.core.records import Scene
from soundwright.core.seeding import numpy_stream
from soundwright.synthesis.generators.table import GENERATORS
from soundwright.synthesis.lexicon import entry_of
from soundwright.synthesis.recordings import RecordingBank
from soundwright.synthesis.rendering import render_scene
from soundwright.synthesis.voices import Phrase, draw_voice, write_phrase

__all__ = ["ComposerConfig", "FormWeights", "compose_scene", "render_scene"]

Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]

TRIES = 24
"""How often another label is drawn where one does not fit."""


class FormWeights(Config):
    """How often scenes of each form come; the weights need not sum to one."""

    single: Weight = 0.24
    """One event, or one texture."""
    several: Weight = 0.16
    """Events of one source that the caption does not count."""
    count: Weight = 0.2
    """One to eight events of one source."""
    sequence: Weight = 0.18
    """Two to four phrases, one after another."""
    overlap: Weight = 0.1
    """Two sounds at once."""
    background: Weight = 0.07
    """Counted events before a quiet texture."""
    absence: Weight = 0.05
    """A sound, and another that the caption names as absent."""


class ComposerConfig(Config):
    """What scenes are like. Weights need not sum to one."""

    duration: float = Field(default=5.0, ge=0.5, le=60)
    """Length of a scene in seconds."""
    sample_rate: int = Field(default=16000, ge=8000)
    """At which events are measured while a scene is composed."""
    forms: FormWeights = FormWeights()
    labels: tuple[str, ...] = ()
    """Only these labels; empty means all of the generators and of the bank."""
    recorded_labels: Share = 0.5
    """How often a label is drawn from those that the bank has, rather than from all."""
    prefer_recordings: Share = 1.0
    """How often a recording is taken for a label that both the bank and a generator have."""
    speed: float = Field(default=0.05, ge=0, le=0.5)
    """How much faster or slower recordings are played at most, as a share."""
    blend: Share = 0.0
    """How often a recording is blended with another one of its label, so that neither is heard."""
    counts: tuple[Weight, ...] = (0.5, 1, 1, 1, 0.8, 0.6, 0.4, 0.3)
    """Weights of the counts 1, 2, 3 ..."""
    groups: tuple[Weight, ...] = (0.65, 0.25, 0.1)
    """Weights of sequences of 2, 3, 4 phrases."""
    gap: tuple[float, float] = (0.15, 0.9)
    """Range of the silence between the phrases of a sequence, in seconds."""
    near: Share = 0.08
    far: Share = 0.12
    loud: Share = 0.06
    quiet: Share = 0.06

    @model_validator(mode="after")
    def _is_possible(self) -> "ComposerConfig":
        for name in ("forms", "counts", "groups"):
            weights = getattr(self, name)
            if not sum(dict(weights).values() if name == "forms" else weights):
                raise ValueError(f"{name} has no positive weight")
        if len(self.counts) > 8 or len(self.groups) > 3:
            raise ValueError("counts go to 8 and sequences to 4 phrases")
        if not 0 <= self.gap[0] <= self.gap[1]:
            raise ValueError("gap is a range from small to large")
        if self.near + self.far + self.loud + self.quiet > 1:
            raise ValueError("near, far, loud and quiet together are at most 1")
        return self


def compose_scene(config: ComposerConfig, seed: int, bank: RecordingBank | None = None) -> Scene:
    """Compose a scene.

    Args:
        config: What scenes are like.
        seed: Each seed is another scene; nothing else is random.
        bank: Recorded events; None composes from the generators alone.

    Returns:
        The scene. All its events lie within its duration.

    Raises:
        ConfigError: The configuration names a label that neither has, or none of its forms can
            be made of its labels: one label makes no sequence.
    """
    return _Composer(config, seed, bank).compose()


class _Composer:
    def __init__(self, config: ComposerConfig, seed: int, bank: RecordingBank | None) -> None:
        self.config, self.seed, self.bank = config, seed, bank
        self.rng = numpy_stream(seed, "scene")
        recorded = bank.labels if bank else ()
        known = sorted({*GENERATORS, *recorded})
        for label in config.labels:
            if label not in known:
                raise ConfigError(
                    f"Nothing makes the label {label!r}.", expected=nearest(label, known)
                )
        self.labels = [one for one in known if not config.labels or one in config.labels]
        self.recorded = [one for one in self.labels if one in recorded]

    def compose(self) -> Scene:
        form = self._form()
        absent: tuple[str, ...] = ()
        if form == "absence":
            phrases = self._one(counted=self._has(True) and self.rng.uniform() < 0.5)
            absent = (self._absent(phrases),)
        else:
            phrases = {
                "single": lambda: self._one(counted=False),
                "several": self._several,
                "count": lambda: self._one(counted=True),
                "sequence": self._sequence,
                "overlap": self._overlap,
                "background": self._background,
            }[form]()
        phrases = sorted(phrases, key=lambda phrase: phrase.onset)
        events = [event for group, one in enumerate(phrases) for event in one.in_group(group)]
        return Scene(
            duration=self.config.duration,
            seed=self.seed,
            events=tuple(sorted(events, key=lambda event: (event.onset, event.group))),
            absent=absent,
            form=form,
        )

    def _form(self) -> str:
        """Draw a form among those that the labels can make."""
        possible = {
            "single": True,
            "several": self._has(True),
            "count": self._has(True),
            "sequence": len(self.labels) > 1,
            "overlap": bool(self._pairs()),
            "background": self._has(True) and self._has(False),
            "absence": True,
        }
        weights = {form: weight for form, weight in self.config.forms if weight and possible[form]}
        if not weights:
            wanted = ", ".join(form for form, weight in self.config.forms if weight)
            raise ConfigError(
                f"The labels {self.labels} cannot make a scene of the form {wanted}.",
                change="Give more labels, countable and continuous ones, or other forms.",
            )
        return str(self.rng.choice(list(weights), p=_shares(list(weights.values()))))

    def _has(self, countable: bool, number: int = 1) -> bool:
        """Whether there are at least `number` labels of a kind."""
        return sum(entry_of(one).countable == countable for one in self.labels) >= number

    def _pairs(self) -> dict[tuple[bool, bool], float]:
        """What can sound at once, with weights: (first is countable, second is countable)."""
        pairs = {
            (True, True): 0.15 if self._has(True, 2) else 0,
            (False, True): 0.65 if self._has(True) and self._has(False) else 0,
            (False, False): 0.2 if self._has(False, 2) else 0,
        }
        return {pair: weight for pair, weight in pairs.items() if weight}

    def _one(self, *, counted: bool) -> list[Phrase]:
        kind = True if counted else None
        phrase = self._phrase(set(), self.config.duration, countable=kind, counted=counted)
        return [self._somewhere(phrase)]

    def _several(self) -> list[Phrase]:
        count = int(self.rng.integers(2, 7))
        phrase = self._phrase(set(), self.config.duration, countable=True, count=count, least=2)
        return [self._somewhere(phrase)]

    def _sequence(self) -> list[Phrase]:
        """Phrases of different labels, one after another."""
        budget = self.config.duration
        number = 2 + int(self.rng.choice(len(self.config.groups), p=_shares(self.config.groups)))
        number = min(number, len(self.labels))
        gaps = np.minimum(self.rng.uniform(*self.config.gap, number), 0.5 * budget / number)
        shares = self.rng.uniform(0.7, 1.3, number)
        shares *= (budget - gaps.sum()) / shares.sum()
        phrases: list[Phrase] = []
        used: set[str] = set()
        for share in shares:
            count = int(self.rng.choice([1, 2, 3, 4], p=[0.5, 0.25, 0.15, 0.1]))
            phrase = self._phrase(used, float(share), count=count)
            used.add(phrase.label)
            phrases.append(phrase)
        spare = budget - gaps.sum() - sum(phrase.length for phrase in phrases)
        at = float(self.rng.uniform(0, min(0.5, max(spare, 0.0)) + 1e-9))
        placed = []
        for phrase, gap in zip(phrases, gaps, strict=True):
            placed.append(phrase.shifted(at))
            at += phrase.length + float(gap)
        return placed

    def _overlap(self) -> list[Phrase]:
        """Two sounds at once: one of them mostly a texture that lasts."""
        duration, pairs = self.config.duration, self._pairs()
        drawn = int(self.rng.choice(len(pairs), p=_shares(list(pairs.values()))))
        first, second = list(pairs)[drawn]
        under = self._phrase(set(), duration, countable=first, count=3)
        # Two series of events need room to begin apart.
        budget = 0.85 * duration if first else duration
        over = self._phrase({under.label}, budget, countable=second, counted=True)
        if first:
            latest = min(under.length, duration - over.length)
            return [under, over.shifted(float(self.rng.uniform(0.1, 0.5)) * latest)]
        return [under, self._somewhere(over) if second else over]

    def _background(self) -> list[Phrase]:
        """A quiet texture all along, and counted events before it."""
        duration = self.config.duration
        behind = self._phrase(set(), duration, countable=False, manner=False)
        behind = behind.louder(float(self.rng.uniform(-15, -9)))
        front = self._phrase({behind.label}, 0.9 * duration, countable=True, counted=True)
        return [behind, self._somewhere(front, earliest=0.15)]

    def _absent(self, phrases: list[Phrase]) -> str:
        present = {phrase.label for phrase in phrases}
        others = [label for label in self.labels if label not in present]
        others = others or [label for label in sorted(GENERATORS) if label not in present]
        return str(self.rng.choice(others))

    def _phrase(
        self,
        used: set[str],
        budget: float,
        *,
        countable: bool | None = None,
        count: int = 1,
        counted: bool = False,
        least: int = 1,
        manner: bool = True,
    ) -> Phrase:
        """One phrase of a label that is not in `used`, from second 0, at most `budget` long.

        Labels are drawn until one fits with at least `least` events; `counted` draws the count
        from the configuration and wants it exactly. After TRIES the last one stays as it is.
        """
        if counted:
            count = 1 + int(self.rng.choice(len(self.config.counts), p=_shares(self.config.counts)))
            least = count
        phrase = None
        for _ in range(TRIES):
            label = self._label(used, countable)
            voice = draw_voice(
                label,
                self.rng,
                self.bank,
                prefer_recordings=self.config.prefer_recordings,
                speed=self.config.speed,
                blend=self.config.blend,
                sample_rate=self.config.sample_rate,
            )
            phrase = write_phrase(voice, count, budget, self.rng)
            if phrase.fits and len(phrase.events) >= least:
                break
        assert phrase is not None
        return self._in_manner(phrase) if manner else phrase

    def _label(self, used: set[str], countable: bool | None) -> str:
        def fits(label: str) -> bool:
            return label not in used and countable in (None, entry_of(label).countable)

        near = [label for label in self.recorded if fits(label)]
        if near and self.rng.uniform() < self.config.recorded_labels:
            return str(self.rng.choice(near))
        usable = [label for label in self.labels if fits(label)]
        return str(self.rng.choice(usable))

    def _in_manner(self, phrase: Phrase) -> Phrase:
        config, draw = self.config, float(self.rng.uniform())
        manners: tuple[tuple[float, Literal["near", "far"] | None, tuple[float, float]], ...] = (
            (config.near, "near", (1.0, 3.0)),
            (config.far, "far", (-13.0, -8.0)),
            (config.loud, None, (5.5, 7.0)),
            (config.quiet, None, (-14.0, -10.0)),
        )
        for share, distance, gain in manners:
            if draw < share:
                return phrase.louder(float(self.rng.uniform(*gain))).at_distance(distance)
            draw -= share
        return phrase.louder(float(self.rng.uniform(-2, 2)))

    def _somewhere(self, phrase: Phrase, earliest: float = 0.0) -> Phrase:
        """Begin within the first second, where there is room."""
        room = max(0.0, self.config.duration - phrase.length)
        return phrase.shifted(float(self.rng.uniform(min(earliest, room), min(1.0, room) + 1e-9)))


def _shares(weights: "list[float] | tuple[float, ...]") -> np.ndarray:
    shares = np.asarray(weights, dtype=float)
    return shares / shares.sum()
