"""What has been computed from sounds, kept by their content: a second look costs no decoding.

Two things are remembered. Embeddings lie in packs (`core.packs`), one folder for each encoder; the
key is the hash of the sound's samples. And an index tells, of a file whose size and times are what
they were, which samples it holds, so that it need not be decoded to find its key. Moving or
renaming a file makes it decoded once more; nothing else is computed again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import soundfile
import soxr
from pydantic import ValidationError
from torch import Tensor

from soundwright.audio.resampling import QUALITY
from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes, read_json, write_json
from soundwright.core.packs import Packs
from soundwright.core.protocols import AudioEncoder, Encoded
from soundwright.evaluation.hearing import Heard, Readable

CHANNEL_RULE = "mean of all channels"
RESAMPLER = f"soxr {QUALITY}"
PREPARATION = f"{CHANNEL_RULE}; {RESAMPLER} {soxr.__libsoxr_version__}"
"""How a decoded sound becomes what encoders are given; part of the key of embeddings."""
DECODER = f"1 {soundfile.__libsndfile_version__}"
"""What decodes lossy files, and the version of `Heard`; part of the key of the index."""
HELD_BYTES = 64 << 20
"""Of an encoder's embeddings, so much stays in memory; the rest is read anew when it is needed."""

TENSOR_BYTES = 512
"""What a tensor takes besides its numbers, about."""


class Recalled(Mapping[str, Encoded]):
    """Embeddings by key, read from their files when they are asked for.

    All are read and checked once, when this is made; what is not in memory later is read again.

    Args:
        places: Where they are looked for, one after the other.
        keys: Those that are wanted; only those that are there, undamaged, are taken.
    """

    def __init__(self, places: Sequence[Packs], keys: set[str]) -> None:
        self._places: dict[str, Packs] = {}
        self._windows: dict[str, int] = {}
        self._held: OrderedDict[str, Encoded] = OrderedDict()
        self._bytes = 0
        for packs in places:
            for key, entry in packs.walk(keys - self._places.keys()):
                encoded = Encoded(**entry)
                self._places[key] = packs
                self._windows[key] = len(encoded.embeddings)
                self._hold(key, encoded)

    def __getitem__(self, key: str) -> Encoded:
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        entry = self._places[key].read([key]).get(key)
        if entry is None:
            raise UserError(
                "Embeddings were removed from the cache, or damaged, while they were in use.",
                change="Run the same command again: it computes what is missing.",
            )
        encoded = Encoded(**entry)
        self._hold(key, encoded)
        return encoded

    def __iter__(self) -> Iterator[str]:
        return iter(self._windows)

    def __len__(self) -> int:
        return len(self._windows)

    def has_windows(self, key: str) -> bool:
        """Whether the encoder says anything of the sound; nothing is read to know it."""
        return self._windows[key] > 0

    def _hold(self, key: str, encoded: Encoded) -> None:
        self._held[key] = encoded
        self._bytes += _size(encoded)
        while self._bytes > HELD_BYTES and len(self._held) > 1:
            _, left = self._held.popitem(last=False)
            self._bytes -= _size(left)


class EmbeddingCache:
    """Embeddings of one encoder, by the hash of the sound.

    Args:
        folder: Of all caches.
        encoder: Whose.
    """

    def __init__(self, folder: Path, encoder: AudioEncoder) -> None:
        identity = hash_bytes(f"{encoder.identity}\n{PREPARATION}".encode())[:16]
        safe = "".join(
            letter if letter.isalnum() or letter in "-." else "-" for letter in encoder.name
        )
        self._packs = Packs(
            Path(folder) / "embeddings" / f"{safe}-{identity}", ("embeddings", "vector", "logits")
        )

    def __contains__(self, key: object) -> bool:
        return key in self._packs

    def read(self, keys: set[str], *, first: EmbeddingCache | None = None) -> Recalled:
        """Those that are there, undamaged; they are looked for in `first` before."""
        return Recalled([cache._packs for cache in (first, self) if cache is not None], keys)

    def write(self, made: Mapping[str, Encoded]) -> None:
        """Keep new ones, as one file.

        Raises:
            UserError: The cache cannot be written.
        """
        self._packs.write({key: _tensors(encoded) for key, encoded in made.items()})


class Index:
    """What is known of the files under one root.

    Args:
        folder: Of all caches.
        root: The collection's folder or manifest, or another name for what belongs together.
    """

    def __init__(self, folder: Path, root: str) -> None:
        name = hash_bytes(f"{DECODER}\n{root}".encode())[:32]
        self._path = Path(folder) / "sounds" / f"{name}.json"
        self._known = self._load()
        self._changed = False

    def find(self, item: Readable) -> Heard | None:
        """What was heard in it, if it is as it was then."""
        fingerprint, heard = self._known.get(item.name, ("", None))
        return heard if fingerprint and fingerprint == item.fingerprint() else None

    def add(self, item: Readable, fingerprint: str, heard: Heard) -> None:
        """Remember what was heard; `fingerprint` was taken before it was decoded."""
        if fingerprint:
            self._known[item.name] = (fingerprint, heard)
            self._changed = True

    def save(self) -> None:
        """Write it, if there is anything new."""
        if self._changed:
            values = {
                name: [mark, heard.model_dump()] for name, (mark, heard) in self._known.items()
            }
            write_json(self._path, values)
            self._changed = False

    def _load(self) -> dict[str, tuple[str, Heard]]:
        if not self._path.is_file():
            return {}
        try:
            values = read_json(self._path)
            return {
                name: (mark, Heard.model_validate(heard)) for name, (mark, heard) in values.items()
            }
        except (UserError, ValidationError, ValueError, TypeError, AttributeError):
            # A damaged index is worth nothing more than the time to decode again.
            return {}


def _tensors(encoded: Encoded) -> dict[str, Tensor]:
    # Of one window, the vector may be a view of the embeddings; a file has no views.
    return {name: tensor.float().cpu().clone() for name, tensor in _named(encoded).items()}


def _named(encoded: Encoded) -> dict[str, Tensor]:
    named = {
        "embeddings": encoded.embeddings,
        "vector": encoded.vector,
        "logits": encoded.logits,
    }
    return {name: tensor for name, tensor in named.items() if tensor is not None}


def _size(encoded: Encoded) -> int:
    """Bytes, about."""
    return sum(tensor.nbytes + TENSOR_BYTES for tensor in _named(encoded).values())
