"""What has been computed from sounds, kept by their content: a second look costs no decoding.

Two things are remembered. Embeddings lie in packs (`core.packs`), one folder for each encoder; the
key is the hash of the sound's samples. And an index tells, of a file whose size and times are what
they were, which samples it holds, so that it need not be decoded to find its key. Moving or
renaming a file makes it decoded once more; nothing else is computed again.
"""

from __future__ import annotations

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

    def read(self, keys: set[str]) -> dict[str, Encoded]:
        """Those that are there, undamaged."""
        return {key: Encoded(**entry) for key, entry in self._packs.read(keys).items()}

    def write(self, made: dict[str, Encoded]) -> None:
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
    named = {
        "embeddings": encoded.embeddings,
        "vector": encoded.vector,
        "logits": encoded.logits,
    }
    # Of one window, the vector may be a view of the embeddings; a file has no views.
    return {
        name: tensor.float().cpu().clone() for name, tensor in named.items() if tensor is not None
    }
