"""Codec tokens of whole clips, stored once, so that training crops tokens and runs no codec.

A store is a folder: `tokens.npy` holds the frames of all clips one after another, [F, K] in the
smallest unsigned type; `index.json` says which codec made them and where each clip lies;
`manifest.jsonl` has the clips with their captions.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from soundwright.core.errors import UserError
from soundwright.core.files import read_json, write_json
from soundwright.core.records import Record
from soundwright.data.manifest import Manifest, read_manifest

VERSION = 1
TOKENS_NAME = "tokens.npy"
INDEX_NAME = "index.json"
MANIFEST_NAME = "manifest.jsonl"


class StoreInfo(Record):
    """What made the tokens of a store."""

    format: Literal["soundwright-tokens"] = "soundwright-tokens"
    version: int = VERSION
    codec: str
    """Identity of the codec, usually a hash of its weights and configuration."""
    sample_rate: int
    channels: int
    hop_length: int
    """Samples a frame."""
    codebooks: int
    """K."""
    codebook_size: int

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest little-endian type that holds every token."""
        return np.dtype("u1" if self.codebook_size <= 1 << 8 else "<u2")


@dataclass(frozen=True)
class Skipped:
    """A clip that has no tokens, and why."""

    clip_id: str
    reason: str
    problem: str


class TokenStore:
    """Random access to stored tokens, memory-mapped: a slice reads only its own frames.

    Args:
        folder: As `tokenize` left it.
        manifest: Records to use in place of those in the folder, such as ones with new
            captions; clips without tokens are left out.

    Raises:
        UserError: The store is missing, unfinished, damaged or newer than this version.
    """

    def __init__(self, folder: Path, manifest: Manifest | None = None) -> None:
        self.folder = Path(folder)
        if not (self.folder / INDEX_NAME).is_file():
            raise UserError(
                f"{self.folder} holds no finished token store.",
                change="Run `soundwright data tokenize` with this folder; it continues.",
            )
        index = read_json(self.folder / INDEX_NAME)
        self.info = _read_info(self.folder, index.get("info"))
        self.fingerprint: str = index["fingerprint"]
        self.skipped = tuple(Skipped(**item) for item in index["skipped"])
        frames = [int(count) for count in index["frames"]]
        offsets = itertools.accumulate(frames, initial=0)
        self._spans = {
            clip_id: (offset, offset + count)
            for clip_id, offset, count in zip(index["clips"], offsets, frames, strict=False)
        }
        self._tokens = self._map(sum(frames))
        given = read_manifest(self.folder / MANIFEST_NAME) if manifest is None else manifest
        self.manifest = given.with_clips(clip for clip in given.clips if clip.id in self)
        """The clips that have tokens."""

    def __len__(self) -> int:
        """Number of clips with tokens."""
        return len(self._spans)

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._spans

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_tokens"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Another process maps the file itself; pickling the array would copy all of it.
        self.__dict__.update(state)
        self._tokens = self._map(max((stop for _, stop in self._spans.values()), default=0))

    def frames(self, clip_id: str) -> int:
        """T, the number of frames of a clip."""
        start, stop = self._spans[clip_id]
        return stop - start

    def read(self, clip_id: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Tokens [K, T] int64 of the frames `start` to `stop` of a clip, clipped to its end."""
        assert start >= 0, f"a start of {start} frames"
        first, last = self._spans[clip_id]
        until = last if stop is None else min(first + stop, last)
        rows = self._tokens[min(first + start, last) : until]
        return torch.from_numpy(rows.T.astype(np.int64, order="C"))

    def code_usage(self) -> NDArray[np.int64]:
        """How often each code occurs, [K, codebook_size]: shows dead codes."""
        size = self.info.codebook_size
        return np.stack(
            [np.bincount(self._tokens[:, k], minlength=size) for k in range(self.info.codebooks)]
        )

    def _map(self, frames: int) -> NDArray[Any]:
        path = self.folder / TOKENS_NAME
        expected = (frames, self.info.codebooks)
        try:
            tokens = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} cannot be opened: {error}", change="Tokenize again into a new folder."
            ) from error
        if tokens.shape != expected or tokens.dtype != self.info.dtype:
            raise UserError(
                f"{path} holds {tokens.dtype} {tokens.shape}.",
                expected=f"{self.info.dtype} {expected}, as {INDEX_NAME} says",
                change="Tokenize again into a new folder.",
            )
        return tokens


def write_index(
    folder: Path,
    info: StoreInfo,
    fingerprint: str,
    frames: Mapping[str, int],
    skipped: Sequence[Skipped],
) -> None:
    """Write a store's index, which marks it as finished.

    Args:
        folder: The store.
        info: What made the tokens.
        fingerprint: Of everything that decides on the tokens.
        frames: Number of frames by clip id, in the order in which they lie in the file.
        skipped: Clips without tokens.
    """
    write_json(
        folder / INDEX_NAME,
        {
            "info": info.model_dump(),
            "fingerprint": fingerprint,
            "clips": list(frames),
            "frames": list(frames.values()),
            "skipped": [asdict(item) for item in skipped],
        },
    )


def _read_info(folder: Path, values: Any) -> StoreInfo:
    version = values.get("version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise UserError(
            f"The token store {folder} has version {version}; this Soundwright reads up to "
            f"{VERSION}.",
            change="Install a newer Soundwright, or tokenize again with this one.",
        )
    try:
        return StoreInfo.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{folder / INDEX_NAME} is no index of a token store.") from error
