"""Rolling captions: each cue shows the line before once more, and words have times of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from soundwright.corpus.transcripts.records import Problem, TimedCue, text_of
from soundwright.corpus.transcripts.sound_cues import is_sound_cue

_TOUCHING = 100
"""Milliseconds between cues that belong to one showing of a line."""
_ROLLING_SHARE = 1 / 3
"""Captions roll if so many of their cues begin with a line of the cue before."""


def has_word_times(cues: Sequence[TimedCue]) -> bool:
    """Whether any word has a time of its own."""
    return any(word.onset is not None for cue in cues for line in cue.lines for word in line)


def rolls(cues: Sequence[TimedCue]) -> bool:
    """Whether cues repeat the lines before them: about every second does in rolling captions."""
    repeating = sum(_carried(before.texts, cue.texts) > 0 for before, cue in pairwise(cues))
    return repeating > _ROLLING_SHARE * len(cues)


def unroll(cues: Sequence[TimedCue]) -> list[TimedCue]:
    """Leave each cue the lines that are new in it.

    Cues that only hold a line on the screen lengthen the cue that they follow.
    """
    unrolled: list[TimedCue] = []
    shown: tuple[str, ...] = ()
    for cue in cues:
        lines = tuple(line for line in cue.lines if text_of(line))
        new = lines[_carried(shown, cue.texts) :]
        shown = cue.texts or shown
        last = unrolled[-1] if lines and not new else None
        if last is not None and last.start <= cue.start <= last.end + _TOUCHING:
            unrolled[-1] = replace(last, end=max(last.end, cue.end))
        else:
            unrolled.append(replace(cue, lines=new or lines))
    return unrolled


def spoken_spans(
    cue: TimedCue, longest_word: int, problems: list[Problem]
) -> list[tuple[int, int, str]]:
    """When the words of a cue are spoken: from their onsets, for `longest_word` at most each.

    A word ends where the next one or the cue does, whichever is earliest. Sounds, such as [Music],
    last that long however long it is. Where words lie outside of their cue or run backward, the
    whole span of cue and words stands.

    Args:
        cue: A cue, some words of which have times.
        longest_word: Milliseconds.
        problems: Where cues with impossible words are noted.

    Returns:
        Start, end and text of each stretch without a pause, in order.
    """
    words = [word for line in cue.lines for word in line]
    onsets = [cue.start if word.onset is None else word.onset for word in words]
    if not words:
        return [(cue.start, cue.end, "")]
    if sorted(onsets) != onsets or onsets[0] < cue.start or onsets[-1] >= cue.end:
        detail = "words run backward or lie outside of their cue"
        problems.append(Problem("word-times", detail, cue.line))
        last_word = max(onsets) + longest_word
        return [(min(cue.start, *onsets), max(cue.end, last_word), cue.text)]
    spans: list[tuple[int, int, str]] = []
    sounding = False
    for onset, bound, word in zip(onsets, [*onsets[1:], cue.end], words, strict=True):
        text = " ".join(word.text.split())
        sound = is_sound_cue(text)
        end = bound if sound else min(bound, onset + longest_word * len(text.split()))
        if spans and spans[-1][1] == onset and not sound and not sounding:
            start, _, before = spans[-1]
            spans[-1] = (start, end, f"{before} {text}")
        else:
            spans.append((onset, end, text))
        sounding = sound
    return spans


def _carried(before: Sequence[str], texts: Sequence[str]) -> int:
    """How many lines at the end of one cue stand at the beginning of the next."""
    for count in range(min(len(before), len(texts)), 0, -1):
        if before[-count:] == texts[:count]:
            return count
    return 0
