"""Sentences for scenes: several ways to say the same events, counts, order and absences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from soundwright.core.records import Caption, Scene, SceneEvent
from soundwright.core.seeding import numpy_stream
from soundwright.synthesis.lexicon import Entry, entry_of

TEMPLATES = "soundwright-scenes"
REVISION = "1"
TRIES = 40
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
LOUD_DB = 4.0
QUIET_DB = -7.0
PAUSE_S = 0.6
"""A silence that the caption may call a pause."""

Manner = Literal["plain", "near", "far", "loud", "quiet"]
ADJECTIVES: dict[Manner, tuple[str, ...]] = {
    "plain": ("",),
    "near": ("nearby",),
    "far": ("distant", "faraway"),
    "loud": ("loud",),
    "quiet": ("quiet",),
}
ADVERBS: dict[Manner, tuple[str, ...]] = {
    "plain": ("",),
    "near": ("nearby", "close by"),
    "far": ("in the distance", "far away"),
    "loud": ("loudly",),
    "quiet": ("quietly", "softly"),
}


def caption_scene(scene: Scene, count: int, seed: int) -> tuple[Caption, ...]:
    """Say in several ways what is heard in a scene.

    Args:
        scene: What is heard.
        count: Captions wanted; fewer come where the templates have no more to say.
        seed: Draws the templates.

    Returns:
        Captions of kind "template", no two alike. Each keeps the counts, the order, what is
        near, far, loud or quiet, and what is absent.
    """
    rng = numpy_stream(seed, "captions")
    texts: dict[str, None] = {}
    for _ in range(TRIES * count):
        if len(texts) == count:
            break
        texts[_Writer(scene, rng).write()] = None
    return tuple(
        Caption(text=text, kind="template", model=TEMPLATES, revision=REVISION) for text in texts
    )


def class_prompts(label: str) -> tuple[str, ...]:
    """Plain prompts for a label: "a dog barks", "dog barking", "the sound of a dog bark" ..."""
    entry = entry_of(label)
    subject = _subject(entry)
    noun = f"{_article(entry.noun)} {entry.noun}" if entry.countable else entry.noun
    return tuple(
        dict.fromkeys(
            (
                f"{subject} {entry.verb}",
                f"{subject} {'are' if entry.plural else 'is'} {entry.ing}",
                f"{entry.subject} {entry.ing}",
                f"{subject} {entry.ing}",
                f"the sound of {noun}",
                f"the sound of {subject} {entry.ing}",
                label,
            )
        )
    )


@dataclass(frozen=True)
class _Phrase:
    """A group of a scene, as far as words go."""

    entry: Entry
    count: int | None
    """None where it is not counted: textures, and events that just go on."""
    manner: Manner
    onset: float
    offset: float


class _Writer:
    """Draws one caption of a scene."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self._scene, self._rng = scene, rng
        groups: dict[int, list[SceneEvent]] = {}
        for event in scene.events:
            groups.setdefault(event.group, []).append(event)
        self._phrases = [_phrase_of(groups[group], scene.form) for group in sorted(groups)]

    def write(self) -> str:
        """The caption, in lower case and without a full stop."""
        forms: dict[str, Callable[[], str]] = {
            "sequence": self._sequence,
            "overlap": self._overlap,
            "background": self._background,
            "absence": self._absence,
        }
        return forms.get(self._scene.form, lambda: self._alone(self._phrases[0]))()

    def _pick(self, options: Sequence[str]) -> str:
        return options[int(self._rng.integers(len(options)))]

    def _alone(self, phrase: _Phrase) -> str:
        options = [self._clause(phrase), self._noun(phrase)]
        if phrase.count in (None, 1):
            options += [self._going_on(phrase), f"the sound of {self._noun(phrase, bare=False)}"]
        return self._pick(options)

    def _sequence(self) -> str:
        if self._rng.uniform() < 0.3:
            joint = self._pick((" followed by ", ", then ", ", followed by "))
            return joint.join(self._noun(phrase) for phrase in self._phrases)
        clauses = [self._clause(phrase) for phrase in self._phrases]
        if len(clauses) > 2:
            last = self._pick((", then ", ", and finally ", " and then "))
            first = self._pick(("", "first "))
            return f"{first}{', then '.join(clauses[:-1])}{last}{clauses[-1]}"
        one, two = clauses
        options = [
            f"{one}, then {two}",
            f"{one} and then {two}",
            f"first {one}, then {two}",
            f"after {self._clause(self._phrases[0], lasting=False)}, {two}",
            f"{one}, followed by {self._noun(self._phrases[1])}",
        ]
        if all(b.onset - a.offset >= PAUSE_S for a, b in pairwise(self._phrases)):
            options += [f"{one}, then after a pause {two}", f"{one}, and a moment later {two}"]
        return self._pick(options)

    def _overlap(self) -> str:
        one, two = self._phrases
        if one.count is None and two.count is not None and self._rng.uniform() < 0.7:
            one, two = two, one
        return self._pick(
            (
                f"{self._clause(one)} while {self._lasting(two)}",
                f"{self._lasting(one)} while {self._clause(two)}",
                f"while {self._lasting(one)}, {self._clause(two)}",
                f"{self._clause(one)} as {self._clause(two)}",
                f"{self._noun(one)} and {self._noun(two)} at the same time",
                f"{self._noun(one)} with {self._noun(two)}",
            )
        )

    def _background(self) -> str:
        behind, *front = self._phrases
        clause = " and then ".join(self._clause(phrase) for phrase in front)
        noun = " followed by ".join(self._noun(phrase) for phrase in front)
        return self._pick(
            (
                f"{clause} with {self._noun(behind)} in the background",
                f"{clause} while {self._lasting(behind)} in the background",
                f"{self._lasting(behind)} in the background while {clause}",
                f"{noun} with {self._noun(behind)} in the background",
                f"{self._noun(behind)} in the background and {noun}",
            )
        )

    def _absence(self) -> str:
        present = self._pick((self._clause(self._phrases[0]), self._noun(self._phrases[0])))
        absent = " or ".join(entry_of(label).absent for label in self._scene.absent)
        return (
            present
            + self._pick((" without ", " without any ", ", no ", " but no ", " with no "))
            + absent
        )

    def _clause(self, phrase: _Phrase, *, lasting: bool = True) -> str:
        """A sentence: "a dog barks three times in the distance"."""
        if lasting and phrase.count is None and self._rng.uniform() < 0.4:
            return self._lasting(phrase)
        adjective, adverb = self._manner(phrase)
        subject = _subject(phrase.entry, adjective)
        times = self._times(phrase)
        order = (adverb, times) if phrase.manner in ("loud", "quiet") else (times, adverb)
        return _joined(subject, phrase.entry.verb, *order)

    def _lasting(self, phrase: _Phrase) -> str:
        """A sentence for "while": "rain is falling"; what is counted stays as it is."""
        if phrase.count is not None:
            return self._clause(phrase)
        adjective, adverb = self._manner(phrase)
        verb = "are" if phrase.entry.plural else "is"
        return _joined(_subject(phrase.entry, adjective), verb, phrase.entry.ing, adverb)

    def _going_on(self, phrase: _Phrase) -> str:
        """Without a finite verb: "dog barking", "a dog barking", "rain falling"."""
        if phrase.count == 1:
            return self._noun(phrase)
        adjective, adverb = self._manner(phrase)
        with_article = self._rng.uniform() < 0.5
        subject = _subject(phrase.entry, adjective, article=with_article)
        return _joined(subject, phrase.entry.ing, adverb)

    def _noun(self, phrase: _Phrase, *, bare: bool = True) -> str:
        """A noun phrase: "three distant dog barks", "rain", "a siren wailing"."""
        entry = phrase.entry
        adjective = self._pick(ADJECTIVES[phrase.manner])
        if not entry.countable:
            before, after = self._manner(phrase)
            going_on = _joined(_subject(entry, before), entry.ing, after)
            return self._pick((_joined(adjective, entry.noun), going_on))
        if phrase.count is None:
            several = self._pick(("", "several", "repeated"))
            return _joined(several if bare else "", adjective, entry.nouns)
        if phrase.count == 1:
            noun = _joined(adjective, entry.noun)
            number = self._pick((_article(noun), _article(noun), "one")) if bare else _article(noun)
            return _joined(number, noun)
        return _joined(self._number(phrase.count), adjective, entry.nouns)

    def _manner(self, phrase: _Phrase) -> tuple[str, str]:
        """Adjective and adverb, of which one is empty."""
        if phrase.manner in ("near", "far") and self._rng.uniform() < 0.5:
            return self._pick(ADJECTIVES[phrase.manner]), ""
        return "", self._pick(ADVERBS[phrase.manner])

    def _number(self, count: int) -> str:
        return str(count) if self._rng.uniform() < 0.15 or count >= len(NUMBERS) else NUMBERS[count]

    def _times(self, phrase: _Phrase) -> str:
        """How often: "three times", "twice"; nothing, or "once", for one."""
        if phrase.count is None:
            return "" if not phrase.entry.countable else self._pick(("several times", "repeatedly"))
        if phrase.count == 1:
            return "once" if self._rng.uniform() < 0.35 else ""
        if phrase.count == 2:
            return self._pick(("twice", "twice", "two times"))
        return f"{self._number(phrase.count)} times"


def _phrase_of(events: Sequence[SceneEvent], form: str) -> _Phrase:
    entry = entry_of(events[0].label)
    counted = entry.countable and (form != "several" or len(events) == 1)
    loudest = max(event.gain_db for event in events)
    manner: Manner = "plain"
    if events[0].distance is not None:
        manner = events[0].distance
    elif loudest > LOUD_DB:
        manner = "loud"
    elif loudest < QUIET_DB and not (form == "background" and not entry.countable):
        manner = "quiet"
    return _Phrase(
        entry=entry,
        count=len(events) if counted else None,
        manner=manner,
        onset=events[0].onset,
        offset=max(event.offset for event in events),
    )


def _subject(entry: Entry, adjective: str = "", *, article: bool = True) -> str:
    words = _joined(adjective, entry.subject)
    return f"{_article(words)} {words}" if article and entry.article else words


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


def _joined(*words: str) -> str:
    return " ".join(word for word in words if word)
