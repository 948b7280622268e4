"""Stretches without speech: what lies between the cues of a transcript, cut into pieces.

A stretch longer than `max_duration` is divided evenly: 23 s make three pieces of 7.667 s, not two
of 10 s and one of 3 s. So there are no remainders that are too short, nothing is lost, and every
piece of a divided stretch is longer than half of `max_duration`: with the defaults none of them
falls below the 5 s that AutoReCap's subset MQ-L asks for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from soundwright.core.config import Config
from soundwright.corpus.records import Cue, Piece
from soundwright.corpus.transcripts.sound_cues import is_music_cue, is_sound_cue

_Span = tuple[int, int]
"""Start and end in milliseconds."""


class GapConfig(Config):
    """Which stretches become pieces. Times are seconds, and count to the millisecond."""

    min_duration: float = Field(default=1.0, ge=0.001)
    max_duration: float = Field(default=10.0, ge=0.002)
    margin: float = Field(default=0.25, ge=0)
    """Kept away from each cue, before and after it: cues are placed by eye."""
    head: Literal["keep", "drop"] = "keep"
    """What lies before the first cue of any kind."""
    tail: Literal["keep", "drop"] = "keep"
    """What lies after the last cue of any kind. A recording without cues is head and tail: both
    must be kept."""
    max_segment: float = Field(default=60.0, ge=0.002)
    """Longest sound that is stored as one; pieces of several segments are never merged."""
    sounds: Literal["block", "music", "pass"] = "music"
    """Which cues of sounds ("[Applause]", see `is_sound_cue`) keep pieces away like speech: all,
    those of music, or none. Sounds that people found worth a cue are what a corpus of sounds wants;
    songs have words in them. The paper blocks all."""

    @model_validator(mode="after")
    def _leaves_no_remainders(self) -> Self:
        if self.max_duration < 2 * self.min_duration:
            raise ValueError(
                f"max_duration {self.max_duration} is less than twice min_duration"
                f" {self.min_duration}, so that stretches between them could not be divided"
            )
        if self.max_segment < self.max_duration:
            raise ValueError(
                f"max_segment {self.max_segment} is less than max_duration {self.max_duration}"
            )
        return self


@dataclass(frozen=True)
class Account:
    """Where the seconds of a recording went; all but `duration` add up to it."""

    duration: float
    """Of the recording; where that is unknown, the end of the last cue."""
    cues: float
    """Under cues that keep pieces away, each moment counted once."""
    margins: float
    ends: float
    """Head and tail, where they are dropped."""
    short: float
    """In stretches shorter than `GapConfig.min_duration`."""
    kept: float


def find_pieces(
    cues: Iterable[Cue], duration: float | None, config: GapConfig
) -> tuple[Piece, ...]:
    """Find the stretches without speech.

    Args:
        cues: In any order.
        duration: Of the recording, in seconds; None where it is unknown: then nothing after the
            last cue is taken.
        config: What is wanted.

    Returns:
        Pieces in order of time, each of `min_duration` to `max_duration`.
    """
    return tuple(
        piece
        for stretch in _Stretches(tuple(cues), duration, config).kept
        for piece in _divide(stretch, config)
    )


def account_seconds(cues: Iterable[Cue], duration: float | None, config: GapConfig) -> Account:
    """Account for every second of a recording, as `find_pieces` treats it."""
    found = _Stretches(tuple(cues), duration, config)
    return Account(
        duration=found.end / 1000,
        cues=_total(found.covered) / 1000,
        margins=(_total(found.blocked) - _total(found.covered)) / 1000,
        ends=(_total(found.free) - _total(found.inside)) / 1000,
        short=(_total(found.inside) - _total(found.kept)) / 1000,
        kept=_total(found.kept) / 1000,
    )


class _Stretches:
    """The stretches of a recording in milliseconds: disjoint, in order."""

    def __init__(self, cues: tuple[Cue, ...], duration: float | None, config: GapConfig) -> None:
        spans = [_outward(cue) for cue in cues]
        first = min((start for start, _ in spans), default=None)
        last = max((_ceil(cue.end) for cue in cues), default=0)
        self.end = last if duration is None else _floor(duration)
        blocking = [span for cue, span in zip(cues, spans, strict=True) if _blocks(cue, config)]
        margin = _ceil(config.margin)
        self.covered = _unite(blocking, self.end)
        self.blocked = _unite(((a - margin, b + margin) for a, b in blocking), self.end)
        self.free = list(_between(self.blocked, self.end))
        low = 0 if config.head == "keep" else self.end if first is None else first
        high = self.end if config.tail == "keep" else last
        cut = ((max(start, low), min(end, high)) for start, end in self.free)
        self.inside = [(start, end) for start, end in cut if start < end]
        shortest = _ceil(config.min_duration)
        self.kept = [(start, end) for start, end in self.inside if end - start >= shortest]


def _blocks(cue: Cue, config: GapConfig) -> bool:
    if config.sounds == "block" or not is_sound_cue(cue.text):
        return True
    return config.sounds == "music" and is_music_cue(cue.text)


def _divide(stretch: _Span, config: GapConfig) -> Iterator[Piece]:
    start, end = stretch
    count = -(-(end - start) // _floor(config.max_duration))
    edges = [start + (end - start) * number // count for number in range(count + 1)]
    segment = start
    for left, right in pairwise(edges):
        if right - segment > _floor(config.max_segment):
            segment = left
        yield Piece(start=left / 1000, end=right / 1000, segment=segment / 1000)


def _unite(spans: Iterable[_Span], end: int) -> list[_Span]:
    """What any of the spans covers between 0 and `end`."""
    united: list[_Span] = []
    for start, stop in sorted(spans):
        start, stop = max(start, 0), min(stop, end)
        if start >= stop:
            continue
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(united[-1][1], stop))
        else:
            united.append((start, stop))
    return united


def _between(spans: Iterable[_Span], end: int) -> Iterator[_Span]:
    """What lies between disjoint spans that are in order, from 0 to `end`."""
    reached = 0
    for start, stop in spans:
        if reached < start:
            yield reached, start
        reached = stop
    if reached < end:
        yield reached, end


def _total(spans: Iterable[_Span]) -> int:
    return sum(end - start for start, end in spans)


_NOISE = 1e-6
"""Milliseconds that binary fractions lose: 1.001 s times 1000 is 1000.9999999999999."""


def _outward(cue: Cue) -> _Span:
    """What a cue covers, a millisecond at least: no piece may hold one that has no length."""
    start = _floor(cue.start)
    return start, max(_ceil(cue.end), start + 1)


def _floor(seconds: float) -> int:
    """The only two places where times become milliseconds; every other time is computed of these.

    Outward for cues, and never past the end of a recording.
    """
    return math.floor(seconds * 1000 + _NOISE)


def _ceil(seconds: float) -> int:
    return math.ceil(seconds * 1000 - _NOISE)
