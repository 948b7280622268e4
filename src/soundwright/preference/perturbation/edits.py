"""What can be changed in a caption so that it becomes somewhat wrong."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from soundwright.preference.perturbation.outline import SAYINGS, Order, Outline
from soundwright.preference.perturbation.vocabulary import forms_of, replacements
from soundwright.synthesis.captions import NUMBERS, class_prompts
from soundwright.synthesis.lexicon import LEXICON

COUNTS = ("twice", "three times", "four times", "five times")
_TIMES = re.compile(rf"\b(?:once|twice|(?:{'|'.join(NUMBERS[2:])}|\d+) times)\b", re.IGNORECASE)
_NUMBER = re.compile(rf"\b(?:{'|'.join(NUMBERS[2:])})\b(?! times)(?= [a-z-]+)", re.IGNORECASE)
_AN = re.compile(r"\b(an?) (?=(\w))", re.IGNORECASE)
OTHERS: Mapping[Order, tuple[Order, ...]] = MappingProxyType(
    {
        "first": ("second", "together"),
        "second": ("first", "together"),
        "together": ("first", "second"),
    }
)


def replace_events(outline: Outline) -> Iterator[Outline]:
    """Other events of the same category in the place of those that are known."""
    there = set(outline.write().lower().split())
    for place, concept in enumerate(outline.concepts):
        for other in _other_words(concept, there):
            yield outline.with_concept(place, other)


def change_counts(outline: Outline) -> Iterator[Outline]:
    """Other numbers where there are some; numbers where a single event is told."""
    for place, concept in enumerate(outline.concepts):
        for count in COUNTS:
            if _TIMES.search(concept):
                yield outline.with_concept(place, _TIMES.sub(count, concept))
            elif _is_single(concept):
                yield outline.with_concept(place, f"{concept} {count}")
        for number in NUMBERS[2:]:
            if _NUMBER.search(concept):
                yield outline.with_concept(place, _NUMBER.sub(number, concept, count=1))


def change_order(outline: Outline) -> Iterator[Outline]:
    """Another order wherever a word tells which event is first, or that two are together."""
    for place in range(len(outline.joints)):
        order = outline.order(place)
        for other in OTHERS[order] if order else ():
            ways = (outline.reorder(place, other, way) for way in range(len(SAYINGS[other])))
            yield from filter(None, ways)


def drop_events(outline: Outline) -> Iterator[Outline]:
    """One event less, where there are several."""
    for place in range(len(outline.concepts) if len(outline.concepts) > 1 else 0):
        yield outline.drop(place)


def add_events(outline: Outline) -> Iterator[Outline]:
    """One event more, that is not there."""
    text = outline.write().lower()
    for label, entry in LEXICON.items():
        if entry.subject not in text and label not in text:
            yield outline.add(class_prompts(label)[0], "while")
            yield outline.add(class_prompts(label)[0], ", then")


def _other_words(concept: str, there: set[str]) -> Iterator[str]:
    """The concept with one of its known words replaced, by none of those that are `there`."""
    for found in _known().finditer(concept):
        words = found[0].lower()
        for other in _table()[words]:
            if (set(other.split()) - set(words.split())) & there:
                continue
            said = concept[: found.start()] + other + concept[found.end() :]
            yield _AN.sub(_article, said)


def _is_single(concept: str) -> bool:
    """Whether it is all of a countable event: "a dog barks"."""
    return any(
        entry.countable
        and concept.lower().removeprefix("an ").removeprefix("a ") == forms_of(entry)[0]
        for entry in LEXICON.values()
    )


def _article(found: re.Match[str]) -> str:
    article = "an" if found[2].lower() in "aeiou" else "a"
    return f"{article.capitalize() if found[1][0].isupper() else article} "


@functools.cache
def _table() -> dict[str, tuple[str, ...]]:
    return replacements()


@functools.cache
def _known() -> re.Pattern[str]:
    words = "|".join(re.escape(word) for word in _table())
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE)
