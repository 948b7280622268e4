"""Captions as words, much as the Penn Treebank tokeniser of the metrics' first tools gives them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

NGrams = Counter[tuple[str, ...]]

_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc", "'''")
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|re|ve|ll|d|m))\b")
_JOINED = re.compile(r"\b(can|gon|wan|got|gim|lem)(not|na|ta|me)\b")
_TWO_WORDS = {"cannot", "gonna", "wanna", "gotta", "gimme", "lemme"}
_TOKEN = re.compile(
    r"(?:[^\W\d_]\.){2,}"  # a.m.
    r"|\d+(?:[.,:]\d+)+"  # 1,000 and 3.5
    r"|'(?:s|re|ve|ll|d|m)\b"
    r"|\w+(?:[-']\w+)*"  # high-pitched, n't, o'clock
    r"|--+|\.\.+|[^\w\s]"
)
_PUNCTUATION = re.compile(r"""[.,:;?!'"`\-()\[\]{}\u201c\u201d\u2026\u2013\u2014]+""")


def tokenize(caption: str) -> list[str]:
    """Lowercase words without punctuation.

    Contractions are two words (`don't` is `do n't`, `dog's` is `dog 's`), words with hyphens one.
    """
    text = caption.lower().translate(_APOSTROPHES)
    text = _CLITIC.sub(r" \1", text)
    text = _JOINED.sub(_part, text)
    return [token for token in _TOKEN.findall(text) if not _PUNCTUATION.fullmatch(token)]


def _part(match: re.Match[str]) -> str:
    return f"{match[1]} {match[2]}" if match[0] in _TWO_WORDS else match[0]


def count_ngrams(tokens: Sequence[str], longest: int) -> NGrams:
    """How often each n-gram of 1 to `longest` words occurs."""
    return Counter(
        tuple(tokens[start : start + size])
        for size in range(1, longest + 1)
        for start in range(len(tokens) - size + 1)
    )
