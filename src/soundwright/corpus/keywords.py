"""Captions that tell of speech or music, by versioned lists of words (step 5 of AutoReCap-XL).

The paper's list is unpublished; those in `word_lists` are our own. A list is a text file:

    # a comment
    talk                a word or phrase that tells, in whatever form: talks, talking
    !rain drum          a phrase in which no word tells, however the terms read
    singing = sing      a word that counts as another one
    softly =            ... or as none, as if it did not stand there

Words are compared by their lemmas. What counts as another word lets one phrase stand for many
(`robin = bird`), and mends words of which the lemmatiser makes something else ("singe").
A change to a shipped list is a new version: corpora name the version that they were built with.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from soundwright.core.errors import UserError, nearest
from soundwright.core.files import hash_bytes
from soundwright.text.preparation import WORD, lemma

_Phrase = tuple[str, ...]
_Starts = Mapping[str, Sequence[_Phrase]]
"""Phrases by their first words."""


@dataclass(frozen=True, eq=False)
class WordList:
    """A list of words, ready to be looked for."""

    name: str
    """Of the file, with its version: speech-1."""
    hash: str
    """SHA-256 of the file: part of the identity of what was made with the list."""
    terms: Mapping[_Phrase, str]
    """What tells, as written, by its lemmas."""
    exceptions: frozenset[_Phrase]
    meanings: Mapping[str, str]
    """Words that count as others, or as none."""
    term_starts: _Starts = field(init=False, repr=False)
    exception_starts: _Starts = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "term_starts", _by_start(self.terms))
        object.__setattr__(self, "exception_starts", _by_start(self.exceptions))


def find_keywords(text: str, words: WordList) -> tuple[str, ...]:
    """The terms of a list that a text mentions, as the list writes them.

    Returns:
        Without repetition, in the order of the text; empty where it mentions none.
    """
    forms = _forms(text, words.meanings)
    if words.term_starts.keys().isdisjoint(forms):
        return ()
    excepted = {
        place
        for first, phrase in _occurrences(forms, words.exception_starts)
        for place in range(first, first + len(phrase))
    }
    found = (
        words.terms[phrase]
        for first, phrase in _occurrences(forms, words.term_starts)
        if excepted.isdisjoint(range(first, first + len(phrase)))
    )
    return tuple(dict.fromkeys(found))


@functools.lru_cache(maxsize=16)
def load_word_list(name: str, root: Path = Path()) -> WordList:
    """Load a list that ships, by its name, or one of your own, by its path.

    Args:
        name: Of the list.
        root: Where relative paths start.

    Raises:
        UserError: There is no such list, or a line of it cannot be read.
    """
    shipped = {path.stem: path for path in word_list_folder().glob("*.txt")}
    path = shipped.get(name) or root / name
    try:
        content = path.read_bytes()
        return parse_word_list(path.stem, content)
    except OSError as error:
        raise UserError(
            f"There is no word list {name!r}.",
            expected="the name of a list that ships, or the path of a text file",
            change=nearest(name, shipped),
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"The word list {path} is not UTF-8: {error}.") from error


def word_list_folder() -> Path:
    """Where the lists are that ship."""
    return Path(__file__).parent / "word_lists"


def parse_word_list(name: str, content: bytes) -> WordList:
    """Read a list.

    Args:
        name: With its version.
        content: UTF-8, one entry a line.

    Raises:
        UserError: A line without words, or several on a side of "=".
        UnicodeDecodeError: It is not UTF-8.
    """
    lines = [line.partition("#")[0].strip() for line in content.decode().splitlines()]
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line]
    meanings = dict(_read_meaning(name, number, line) for number, line in numbered if "=" in line)
    terms: dict[_Phrase, str] = {}
    exceptions: set[_Phrase] = set()
    for number, line in numbered:
        if "=" in line:
            continue
        phrase = tuple(_forms(line, meanings))
        if not phrase:
            raise UserError(f"Line {number} of the word list {name} has no words: {line!r}.")
        if line.startswith("!"):
            exceptions.add(phrase)
        else:
            terms.setdefault(phrase, line)
    return WordList(
        name=name,
        hash=hash_bytes(content),
        terms=MappingProxyType(terms),
        exceptions=frozenset(exceptions),
        meanings=MappingProxyType(meanings),
    )


def _read_meaning(name: str, number: int, line: str) -> tuple[str, str]:
    word, _, meaning = (part.strip().lower() for part in line.partition("="))
    if not WORD.fullmatch(word) or not (meaning == "" or WORD.fullmatch(meaning)):
        raise UserError(
            f"Line {number} of the word list {name} cannot be read: {line!r}.",
            expected="word = the word that it counts as, or nothing after the sign",
        )
    return word, lemma(meaning).lower() if meaning else ""


def _forms(text: str, meanings: Mapping[str, str]) -> list[str]:
    """What is compared of the words of a text."""
    forms: list[str] = []
    for word in WORD.findall(text.lower()):
        form = meanings.get(word)
        if form is None:
            form = lemma(word).lower()
            form = meanings.get(form, form)
        if form:
            forms.append(form)
    return forms


def _by_start(phrases: Iterable[_Phrase]) -> _Starts:
    starts: dict[str, list[_Phrase]] = {}
    for phrase in phrases:
        starts.setdefault(phrase[0], []).append(phrase)
    return starts


def _occurrences(forms: Sequence[str], starts: _Starts) -> Iterator[tuple[int, _Phrase]]:
    """Where phrases begin, and which."""
    for first, form in enumerate(forms):
        for phrase in starts.get(form, ()):
            if tuple(forms[first : first + len(phrase)]) == phrase:
                yield first, phrase
