"""Whether two fingerprints are of the same sound: landmarks that agree on one offset in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from soundwright.core.config import Config
from soundwright.corpus.fingerprints import (
    DEFAULT_FINGERPRINT,
    Fingerprint,
    FingerprintConfig,
)

JITTER_FRAMES = 1
"""A cut between two frames moves peaks by at most this."""


class MatchConfig(Config):
    """When two fingerprints are of the same sound; chosen by benchmarks/fingerprints.py."""

    fingerprint: FingerprintConfig = DEFAULT_FINGERPRINT
    least_landmarks: Annotated[int, Field(ge=2)] = 4
    """Fewer agreeing ones are chance."""
    least_score: Annotated[float, Field(ge=0, le=1)] = 0.03


DEFAULT_MATCH = MatchConfig()


@dataclass(frozen=True)
class Match:
    """How two sounds, a and b, agree."""

    landmarks: int
    """Different hashes that agree on the offset."""
    score: float
    """Share of the landmarks that agree where the sounds overlap, of the one that has fewer there;
    0 is what chance brings, 1 is all of them."""
    offset: float
    """Where b begins, in seconds from the beginning of a; may be negative."""
    overlap: float
    """Seconds that both sounds last when laid over each other so."""


def match(a: Fingerprint, b: Fingerprint, config: MatchConfig = DEFAULT_MATCH) -> Match | None:
    """Compare two sounds; None where they do not match.

    The score is (n - e) / (m - e): n landmarks agree on the best offset, m could, and e would by
    chance, as read from how many agree on any other offset.
    """
    found = agreement(a, b, config.fingerprint)
    if found is None or found.landmarks < config.least_landmarks:
        return None
    return found if found.score >= config.least_score else None


def agreement(a: Fingerprint, b: Fingerprint, config: FingerprintConfig) -> Match | None:
    """How two sounds agree on their best offset, good or bad; None where they share no landmark."""
    hashes, offsets = _coincide(a, b)
    if not len(hashes):
        return None
    best = _most_frequent(offsets)
    there = np.abs(offsets - best) <= JITTER_FRAMES
    agreeing = len(np.unique(hashes[there]))
    offset = best * config.frame_s
    overlap = min(a.duration, offset + b.duration) - max(0.0, offset)
    possible = min(_count_within(a, best, b, config), _count_within(b, -best, a, config))
    places = (a.duration + b.duration) / config.frame_s / (2 * JITTER_FRAMES + 1)
    chance = min(float((~there).sum()) / places, agreeing)
    score = (agreeing - chance) / max(possible - chance, 1.0)
    return Match(agreeing, min(1.0, score), round(offset, 6), round(max(0.0, overlap), 6))


def _coincide(a: Fingerprint, b: Fingerprint) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Hash and offset in frames [X] of each pair of landmarks with one hash."""
    begin = np.searchsorted(a.hashes, b.hashes, side="left")
    counts = np.searchsorted(a.hashes, b.hashes, side="right") - begin
    in_b = np.repeat(np.arange(len(b)), counts)
    nth = np.arange(len(in_b)) - np.repeat(np.cumsum(counts) - counts, counts)
    in_a = np.repeat(begin, counts) + nth
    return b.hashes[in_b], a.times[in_a].astype(np.int64) - b.times[in_b]


def _most_frequent(offsets: NDArray[np.int64]) -> int:
    """The offset with the most others around it, the middle of them; the least of several."""
    lowest = offsets.min()
    counts = np.bincount(np.concatenate([offsets - lowest, [offsets.max() - lowest + 2]]))
    counts[-1] = 0
    around = np.convolve(counts, np.ones(2 * JITTER_FRAMES + 1, np.int64), mode="same")
    # Of offsets with equally many around, the one that has most itself is the middle.
    return int(lowest + np.argmax(around * (counts.max() + 1) + counts))


def _count_within(
    sound: Fingerprint, offset: int, other: Fingerprint, config: FingerprintConfig
) -> int:
    """Different hashes of a sound while another one lasts that begins `offset` frames later."""
    end = offset + other.duration / config.frame_s
    times = sound.times.astype(np.int64)
    return len(np.unique(sound.hashes[(times >= offset) & (times <= end)]))
