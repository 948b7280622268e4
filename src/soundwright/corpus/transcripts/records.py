"""What reading a transcript gives: cues, and all that was odd about the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from soundwright.core.errors import UserError
from soundwright.corpus.records import Cue

Form = Literal["vtt", "srt", "json3"]


@dataclass(frozen=True)
class Problem:
    """Something odd about a transcript that could be read all the same."""

    reason: str
    """A stable word for counting: encoding, stray-text, bad-arrow, unparsable-time, backward,
    no-duration, unordered, overlapping, duplicate, no-text, word-times, no-cues."""
    detail: str
    line: int | None = None
    """Counted from 1; in json3 the number of the event."""


@dataclass(frozen=True)
class Transcript:
    """The cues of a transcript."""

    cues: tuple[Cue, ...]
    """Sorted by start."""
    form: Form
    problems: tuple[Problem, ...] = ()


class TranscriptError(UserError):
    """A transcript of which nothing can be used; `reason` is a stable word for counting.

    Args:
        problem: As in `UserError`.
        reason: One of missing, unreadable, empty, not-a-transcript, broken.
        expected: As in `UserError`.
        change: As in `UserError`.
    """

    def __init__(self, problem: str, *, reason: str, expected: str = "", change: str = "") -> None:
        self.reason = reason
        super().__init__(problem, expected=expected, change=change)


@dataclass(frozen=True)
class Word:
    """A word, or several that share one time."""

    text: str
    onset: int | None = None
    """Milliseconds; None where only the time of the cue is known."""


Line = tuple[Word, ...]


@dataclass(frozen=True)
class RawCue:
    """A cue as a file has it."""

    line: int
    """As `Problem.line`."""
    start: int | None
    """Milliseconds; None where the time cannot be read."""
    end: int | None
    lines: tuple[Line, ...]
    written: str
    """Its times as they stand in the file, for people."""


@dataclass(frozen=True)
class TimedCue:
    """A cue whose times are settled, in milliseconds."""

    line: int
    start: int
    end: int
    lines: tuple[Line, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Its lines without those that have no words."""
        return tuple(text for line in self.lines if (text := text_of(line)))

    @property
    def text(self) -> str:
        """All its words on one line."""
        return " ".join(self.texts)


def text_of(line: Line) -> str:
    """The words of a line, one space between two."""
    return " ".join("".join(word.text for word in line).split())
