"""Who perturbs captions, and when what they give is of use."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from soundwright.pipelines.requests import LONGEST_PROMPT
from soundwright.text.numbers import SMALL
from soundwright.text.preparation import WORD, lemma
from soundwright.text.stop_words import STOP_WORDS

PerturbedStrategy = Literal["S2", "S3"]
Relation = Callable[[str, str], bool]
"""Whether two captions have something to do with each other."""

LONGER = 2
LONGER_WORDS = 8
"""A perturbation has at most `LONGER` times as many words as its caption, and so many more."""
_NUMBERING = re.compile(r"^\s*(?:\(?\d{1,2}[.):]\s+|[-*•]\s+)")
_SOUNDLESS = STOP_WORDS["en-1"] | {"once", "twice", "time", *SMALL}
"""A count alone is no concept that two captions share."""
_QUOTES = "\"'“”‘’`* "


class PerturbationError(Exception):
    """No perturbation of a caption that could be used; the text says why."""


class Perturber(Protocol):
    """Makes captions somewhat wrong."""

    @property
    def identity(self) -> str:
        """Changes whenever it may say something else: part of the key of what it has said."""
        ...

    @property
    def name(self) -> str:
        """Stands in the records of what it made."""
        ...

    def perturb(self, caption: str, strategy: PerturbedStrategy, count: int) -> list[str]:
        """So many captions, no two alike, that `find_fault` finds no fault with.

        Raises:
            PerturbationError: There are none.
            UserError: What would go wrong with the next caption too.
        """
        ...


def read_lines(answer: str) -> list[str]:
    """The captions of an answer: its lines without numbers, bullets, quotes and introduction."""
    lines = [_NUMBERING.sub("", line).strip(_QUOTES) for line in answer.splitlines()]
    lines = [" ".join(line.split()) for line in lines]
    return [line for line in lines if line and not line.endswith(":")]


def find_fault(caption: str, texts: Sequence[str], count: int, is_related: Relation) -> str | None:
    """Why perturbations cannot be used; None where they can.

    Args:
        caption: The original.
        texts: The perturbations.
        count: How many were wanted.
        is_related: Finds whether one has something to do with the original.
    """
    if len(texts) != count:
        return f"{len(texts)} captions instead of {count}"
    if len({_key(text) for text in texts}) < count:
        return "the same caption twice"
    return next(filter(None, (_fault_of(caption, text, is_related) for text in texts)), None)


def share_words(one: str, other: str) -> bool:
    """Whether two captions share a word that carries sound, in whatever form."""
    return bool(_content(one) & _content(other))


def _fault_of(caption: str, text: str, is_related: Relation) -> str | None:
    if not WORD.search(text):
        return "a caption without words"
    if _key(text) == _key(caption):
        return "the original caption"
    if len(text.split()) > LONGER * len(caption.split()) + LONGER_WORDS:
        return f"a caption of {len(text.split())} words"
    if len(text) > LONGEST_PROMPT:
        return f"a caption of {len(text)} characters"
    if not is_related(caption, text):
        return f"a caption that has nothing to do with the original: {text[:80]!r}"
    return None


def _key(text: str) -> str:
    return " ".join(word.lower() for word in WORD.findall(text))


def _content(text: str) -> set[str]:
    return {lemma(word) for word in map(str.lower, WORD.findall(text))} - _SOUNDLESS
