"""An index in memory over the fingerprints of some thousand sounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from soundwright.corpus.fingerprints import Fingerprint
from soundwright.corpus.matching import DEFAULT_MATCH, Match, MatchConfig, match


@dataclass(frozen=True)
class Found:
    """The best match in an index."""

    item: str
    match: Match


class FingerprintIndex:
    """Finds which of its sounds another one holds, or is part of.

    Args:
        fingerprints: By the names of the sounds. 1,000 of ten seconds take about 12 MB.
        config: What counts as a match.
    """

    def __init__(
        self, fingerprints: Mapping[str, Fingerprint], config: MatchConfig = DEFAULT_MATCH
    ) -> None:
        self.config = config
        # In the order of names, so that of equally good ones the same is always found.
        self._names = sorted(fingerprints)
        self._fingerprints = [fingerprints[name] for name in self._names]
        distinct = [np.unique(one.hashes) for one in self._fingerprints]
        hashes = np.concatenate([np.zeros(0, np.uint32), *distinct])
        owners = np.repeat(np.arange(len(distinct)), [len(one) for one in distinct])
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._owners = hashes[order], owners[order].astype(np.int32)

    def __len__(self) -> int:
        return len(self._names)

    def find(self, sound: Fingerprint) -> Found | None:
        """The sound that matches best; None where none does."""
        hashes = np.unique(sound.hashes)
        begins = np.searchsorted(self._hashes, hashes, side="left")
        ends = np.searchsorted(self._hashes, hashes, side="right")
        there = [self._owners[a:b] for a, b in zip(begins, ends, strict=True) if b > a]
        if not there:
            return None
        shared = np.bincount(np.concatenate(there))
        best: Found | None = None
        for number in np.flatnonzero(shared >= self.config.least_landmarks).tolist():
            found = match(self._fingerprints[number], sound, self.config)
            if found is not None and (best is None or found.score > best.match.score):
                best = Found(self._names[number], found)
        return best
