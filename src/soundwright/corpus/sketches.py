"""Sketches: of each clip of a shard what finding duplicates needs, in one file.

The file is safetensors: its bytes follow from the clips alone, and single fingerprints are read
from it without the rest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes, write_bytes
from soundwright.corpus.fingerprints import Fingerprint, FingerprintConfig

DIGEST_BYTES = 16


@dataclass(frozen=True)
class Sketch:
    """What is compared of one clip."""

    id: str
    pcm_hash: str
    """As in the clip's record; empty where it is unknown."""
    fingerprint: Fingerprint
    preference: int = 0
    """Of equally long duplicates, the one with the least is kept: the rank of a licence, say."""


def write_sketches(path: Path, sketches: Sequence[Sketch], config: FingerprintConfig) -> None:
    """Write the sketches of one shard atomically; equal sketches give equal bytes."""
    write_bytes(path, pack_sketches(sketches, config))


def pack_sketches(sketches: Sequence[Sketch], config: FingerprintConfig) -> bytes:
    """The content of a file of sketches; equal sketches give equal bytes."""
    prints = [one.fingerprint for one in sketches]
    texts = json.dumps([one.id for one in sketches], ensure_ascii=False)
    digests = b"".join(_digest(one.pcm_hash) for one in sketches)
    tensors: dict[str, NDArray[Any]] = {
        "config": _text(_fingerprint_name(config)),
        "ids": _text(texts),
        "digests": np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES),
        "preferences": np.array([one.preference for one in sketches], np.int64),
        "durations": np.array([one.duration for one in prints], np.float64),
        "begins": np.cumsum([0, *map(len, prints)], dtype=np.int64),
        "hashes": np.concatenate([np.zeros(0, np.uint32), *(one.hashes for one in prints)]),
        "times": np.concatenate([np.zeros(0, np.uint32), *(one.times for one in prints)]),
    }
    return save(tensors)


class SketchFile:
    """The sketches of one shard, read where they are needed.

    Raises:
        UserError: The file is missing, is none of sketches, or was made with another
            configuration of fingerprints.
    """

    digests: NDArray[np.uint8]
    """[S, 16], of the hashes of samples; 0 where that is unknown."""
    preferences: NDArray[np.int64]
    durations: NDArray[np.float64]
    begins: NDArray[np.int64]
    """[S + 1], where the landmarks of each clip begin."""

    def __init__(self, path: Path, config: FingerprintConfig) -> None:
        try:
            self._file = safe_open(path, framework="numpy")
            made_with = self._file.get_tensor("config").tobytes().decode()
            self.digests = self._file.get_tensor("digests")
            self.preferences = self._file.get_tensor("preferences")
            self.durations = self._file.get_tensor("durations")
            self.begins = self._file.get_tensor("begins")
        except (OSError, SafetensorError, ValueError) as error:
            raise UserError(
                f"The sketches {path} cannot be read: {error}.",
                change="Make them again: the shard's sketches are whole or absent.",
            ) from error
        if made_with != _fingerprint_name(config):
            raise UserError(
                f"The fingerprints in {path} were made with another configuration.",
                expected="one configuration of fingerprints for the whole corpus",
                change="Make the sketches of all shards again.",
            )

    def __len__(self) -> int:
        return len(self.durations)

    def ids(self) -> list[str]:
        """Those of all clips."""
        return json.loads(self._file.get_tensor("ids").tobytes())

    def hashes(self) -> NDArray[np.uint32]:
        """Those of all clips, one after the other."""
        return self._file.get_tensor("hashes")

    def fingerprint(self, number: int) -> Fingerprint:
        """The fingerprint of one clip of the file."""
        begin, end = self.begins[number : number + 2].tolist()
        duration = float(self.durations[number])
        if begin == end:  # safetensors refuses to slice nothing off the end.
            return Fingerprint(np.zeros(0, np.uint32), np.zeros(0, np.uint32), duration)
        hashes, times = (self._file.get_slice(name)[begin:end] for name in ("hashes", "times"))
        return Fingerprint(hashes, times, duration)


def _digest(pcm_hash: str) -> bytes:
    if not pcm_hash:
        return bytes(DIGEST_BYTES)
    return bytes.fromhex(hash_bytes(pcm_hash.encode()))[:DIGEST_BYTES]


def _fingerprint_name(config: FingerprintConfig) -> str:
    return hash_bytes(json.dumps(config.plain(), sort_keys=True).encode())


def _text(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)
