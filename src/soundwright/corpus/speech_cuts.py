"""Cutting a clip where somebody talks, so that the rest of it need not be left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """A stretch of a clip."""

    start: float
    """Seconds from the clip's own start."""
    end: float
    is_speech: bool


def divide(spans: Sequence[Span], duration: float, shortest: float) -> tuple[Part, ...]:
    """The parts of a clip, in order and without gaps.

    Args:
        spans: Where somebody talks: in order, apart from each other, within the clip.
        duration: Of the clip, in seconds.
        shortest: What lies between spans and is shorter than this goes with the speech.

    Returns:
        Speech and other parts in turn; one part, where there is no speech or nothing else that is
        long enough.
    """
    quiet: list[Span] = []
    reached = 0.0
    for begin, end in (*spans, (duration, duration)):
        if begin - reached >= shortest or (not spans and begin > reached):
            quiet.append((reached, begin))
        reached = max(reached, end)
    parts: list[Part] = []
    reached = 0.0
    for begin, end in quiet:
        if begin > reached:
            parts.append(Part(reached, begin, True))
        parts.append(Part(begin, end, False))
        reached = end
    if reached < duration:
        parts.append(Part(reached, duration, True))
    return tuple(parts)
