"""All clips of a corpus in order of preference, and their sketches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundwright.core.errors import UserError
from soundwright.corpus.fingerprints import Fingerprint, FingerprintConfig
from soundwright.corpus.sketches import DIGEST_BYTES, SketchFile
from soundwright.corpus.sorting import Rows, pack

OPEN_FILES = 8
"""Files of sketches that are open at once: what is read of them counts as memory while they are."""


class Roster:
    """All clips of all shards, numbered in order of preference: 0 is kept in any case.

    Args:
        paths: The files of sketches.
        config: With which their fingerprints were made.

    Raises:
        UserError: Sketches that cannot be read or differ in their configuration, or one clip in
            two places.
    """

    ids: NDArray[np.bytes_]
    """By number."""
    places: NDArray[np.int32]
    """By number: where each clip stands among all, file after file."""
    numbers: NDArray[np.int32]
    """By place."""

    def __init__(self, paths: Sequence[Path], config: FingerprintConfig) -> None:
        self.open = lru_cache(maxsize=OPEN_FILES)(lambda number: SketchFile(paths[number], config))
        self.files = len(paths)
        ids, durations, preferences = [], [], []
        begins = [0]
        for number in range(self.files):
            file = self.open(number)
            ids.append(np.array([one.encode() for one in file.ids()], np.bytes_))
            durations.append(file.durations)
            preferences.append(file.preferences)
            begins.append(begins[-1] + len(file))
        self.begins = np.array(begins)
        given = np.concatenate([np.zeros(0, "S1"), *ids])
        del ids
        _refuse_twins(given)
        seconds = np.concatenate([np.zeros(0), *durations])
        preference = np.concatenate([np.zeros(0, np.int64), *preferences])
        order = np.lexsort((given, preference, -np.round(seconds, 1)))
        self.places = order.astype(np.int32)
        self.numbers = np.empty_like(self.places)
        self.numbers[self.places] = np.arange(len(order), dtype=np.int32)
        self.ids = given[self.places]

    def __len__(self) -> int:
        return len(self.ids)

    def digests(self) -> NDArray[np.uint64]:
        """Of the samples of each clip [N, 2], by number; they are not kept."""
        given = [self.open(number).digests for number in range(self.files)]
        whole = np.concatenate([np.zeros((0, DIGEST_BYTES), np.uint8), *given])
        return whole[self.places].view(np.uint64)

    def id_of(self, number: int) -> str:
        """The id of the clip of a number."""
        return bytes(self.ids[number]).decode()

    def numbers_of(self, file: int) -> NDArray[np.int32]:
        """The numbers of a file's clips, in its order."""
        return self.numbers[self.begins[file] : self.begins[file + 1]]

    def fingerprint(self, number: int) -> Fingerprint:
        """That of the clip of a number."""
        place = self.places[number]
        file = int(np.searchsorted(self.begins, place, side="right")) - 1
        return self.open(file).fingerprint(int(place - self.begins[file]))

    def landmarks(self, chosen: NDArray[np.bool_]) -> Iterator[Rows]:
        """Rows of hash and clip, each once, of the clips that are chosen."""
        for number in range(self.files):
            file = self.open(number)
            clips = np.repeat(self.numbers_of(number), np.diff(file.begins))
            wanted = chosen[clips]
            yield np.unique(pack(file.hashes()[wanted], clips[wanted]))


def _refuse_twins(ids: NDArray[np.bytes_]) -> None:
    ordered = np.sort(ids)
    twins = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twins):
        raise UserError(
            f"The clip {twins[0].decode()} stands in the sketches twice.",
            expected="each clip in one shard, once",
        )
