"""Which of a set of known events a caption names: recognition, as far as words go."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from soundwright.synthesis.lexicon import LEXICON
from soundwright.text.preparation import WORD, lemma


def named_events(caption: str, labels: Iterable[str]) -> frozenset[str]:
    """Those of the labels that a caption names, in whatever form of their words.

    A caption names a label whose words it has, or those of the label's noun: "two roosters crow"
    names "rooster", "a fire is crackling" names "fire crackling". What follows "without", "no" or
    "but no" is not named.

    Args:
        caption: English.
        labels: Labels of events, such as those of a tagger.
    """
    found = _lemmas(_without_absent(caption))
    return frozenset(label for label in labels if any(words <= found for words in _words(label)))


@lru_cache(maxsize=1024)
def _words(label: str) -> tuple[frozenset[str], ...]:
    """Sets of lemmas, each of which names the label."""
    entry = LEXICON.get(label)
    forms = [label] if entry is None else [label, entry.noun, f"{entry.subject} {entry.ing}"]
    return tuple(dict.fromkeys(_lemmas(form) for form in forms))


def _lemmas(text: str) -> frozenset[str]:
    return frozenset(lemma(word.lower()) for word in WORD.findall(text))


def _without_absent(caption: str) -> str:
    words = caption.split()
    for place, word in enumerate(words):
        if word.lower().strip(",.") in ("no", "without"):
            return " ".join(words[:place])
    return caption
