"""What a codec makes of whole clips, stored once, so that training crops frames and runs no codec.

A store is a folder: `tokens.npy` or `latents.npy` holds the frames of all clips one after another,
a row each; `index.json` says which codec made them and where each clip lies; `manifest.jsonl` has
the clips with their captions.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from soundwright.core.errors import UserError
from soundwright.core.files import read_json, write_json
from soundwright.core.records import Record
from soundwright.data.manifest import MANIFEST_NAME, Manifest, read_manifest

VERSION = 1
INDEX_NAME = "index.json"


class FrameInfo(Record):
    """What made the frames of a store."""

    kind: ClassVar[str]
    """What a frame is made of, for a person: token, latent."""

    format: str
    version: int = VERSION
    codec: str
    """Identity of the codec, usually a hash of its weights and configuration."""
    sample_rate: int
    channels: int
    hop_length: int
    """Samples a frame."""

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length

    @property
    def file_name(self) -> str:
        """Name of the file with the frames."""
        return f"{self.kind}s.npy"

    @property
    @abstractmethod
    def width(self) -> int:
        """Numbers in a row, which is one frame."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers, little-endian."""


class TokenInfo(FrameInfo):
    """What made the tokens of a store; a row is [K]."""

    kind = "token"

    format: str = "soundwright-tokens"
    codebooks: int
    """K."""
    codebook_size: int

    @property
    def width(self) -> int:
        """K."""
        return self.codebooks

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type that holds every token."""
        return np.dtype("u1" if self.codebook_size <= 1 << 8 else "<u2")


class LatentInfo(FrameInfo):
    """What made the latents of a store; a row is [2, C, ...], the mean before the deviation."""

    kind = "latent"

    format: str = "soundwright-latents"
    latent_shape: tuple[int, ...]
    """Of one frame: (C, F) or (C,)."""
    peak: float | None = None
    """To which sounds were brought before the codec heard them, their means taken away."""

    @property
    def width(self) -> int:
        """A mean and a deviation for each element of a frame."""
        return 2 * math.prod(self.latent_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Half precision: rounded to 2^-11 of each number."""
        return np.dtype("<f2")

    def part_rows(self, rows: NDArray[Any]) -> tuple[Tensor, Tensor]:
        """Rows [T, width] as means and deviations, [C, T, ...] float32 each."""
        frames = rows.astype(np.float32).reshape(len(rows), 2, *self.latent_shape)
        mean, deviation = torch.from_numpy(frames).movedim(0, 2)
        return mean.contiguous(), deviation.contiguous()


Info = TypeVar("Info", bound=FrameInfo)


@dataclass(frozen=True)
class Skipped:
    """A clip that has no frames, and why."""

    clip_id: str
    reason: str
    problem: str


class FrameStore(Generic[Info]):
    """Random access to stored frames, memory-mapped: a slice reads only its own frames.

    Args:
        folder: As `tokenize` or `encode_latents` left it.
        manifest: Records to use in place of those in the folder, such as ones with new
            captions; clips without frames are left out.

    Raises:
        UserError: The store is missing, unfinished, damaged, of another kind or newer than this
            version.
    """

    info_type: type[Info]

    def __init__(self, folder: Path, manifest: Manifest | None = None) -> None:
        self.folder = Path(folder)
        if not (self.folder / INDEX_NAME).is_file():
            raise UserError(
                f"{self.folder} holds no finished {self.info_type.kind} store.",
                change="Run `soundwright data tokenize` with this folder; it continues.",
            )
        self._take_index(read_json(self.folder / INDEX_NAME))
        self._rows = self._map()
        given = read_manifest(self.folder / MANIFEST_NAME) if manifest is None else manifest
        self.manifest = given.with_clips(clip for clip in given.clips if clip.id in self)
        """The clips that have frames."""

    def __len__(self) -> int:
        """Number of clips with frames."""
        return len(self._spans)

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._spans

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_rows"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Another process maps the file itself; pickling the array would copy all of it.
        self.__dict__.update(state)
        self._rows = self._map()

    def frames(self, clip_id: str) -> int:
        """T, the number of frames of a clip."""
        start, stop = self._spans[clip_id]
        return stop - start

    def _take_index(self, index: Mapping[str, Any]) -> None:
        self.info = self._read_info(index.get("info"))
        self.fingerprint: str = index["fingerprint"]
        self.skipped = tuple(Skipped(**item) for item in index["skipped"])
        frames = [int(count) for count in index["frames"]]
        offsets = itertools.accumulate(frames, initial=0)
        self._spans = {
            clip_id: (offset, offset + count)
            for clip_id, offset, count in zip(index["clips"], offsets, frames, strict=False)
        }

    def _read_info(self, values: Any) -> Info:
        kind = self.info_type.kind
        there = values if isinstance(values, dict) else {}
        wanted = self.info_type.model_fields["format"].default
        if there.get("format", wanted) != wanted:
            raise UserError(
                f"{self.folder} holds {there['format']}.", expected=f"a store of {kind}s: {wanted}"
            )
        version = there.get("version")
        if isinstance(version, int) and version > VERSION:
            raise UserError(
                f"The {kind} store {self.folder} has version {version}; this Soundwright reads "
                f"up to {VERSION}.",
                change="Install a newer Soundwright, or tokenize again with this one.",
            )
        try:
            return self.info_type.model_validate(values)
        except ValidationError as error:
            raise no_index(self.folder, kind) from error

    def _read_rows(self, clip_id: str, start: int, stop: int | None) -> NDArray[Any]:
        """The frames `start` to `stop` of a clip, clipped to its end: [T, width]."""
        assert start >= 0, f"a start of {start} frames"
        first, last = self._spans[clip_id]
        until = last if stop is None else min(first + stop, last)
        return self._rows[min(first + start, last) : until]

    def _map(self) -> NDArray[Any]:
        path = self.folder / self.info.file_name
        expected = (max((stop for _, stop in self._spans.values()), default=0), self.info.width)
        try:
            rows = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} cannot be opened: {error}", change="Tokenize again into a new folder."
            ) from error
        if rows.shape != expected or rows.dtype != self.info.dtype:
            raise UserError(
                f"{path} holds {rows.dtype} {rows.shape}.",
                expected=f"{self.info.dtype} {expected}, as {INDEX_NAME} says",
                change="Tokenize again into a new folder.",
            )
        return rows


class TokenStore(FrameStore[TokenInfo]):
    """The tokens of a corpus, as `tokenize` stores them."""

    info_type = TokenInfo

    def read(self, clip_id: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Tokens [K, T] int64 of the frames `start` to `stop` of a clip, clipped to its end."""
        rows = self._read_rows(clip_id, start, stop)
        return torch.from_numpy(rows.T.astype(np.int64, order="C"))

    def code_usage(self) -> NDArray[np.int64]:
        """How often each code occurs, [K, codebook_size]: shows dead codes."""
        size = self.info.codebook_size
        return np.stack(
            [np.bincount(self._rows[:, k], minlength=size) for k in range(self.info.codebooks)]
        )


class LatentStore(FrameStore[LatentInfo]):
    """The posteriors of a corpus' latents, as `encode_latents` stores them."""

    info_type = LatentInfo

    silence: tuple[Tensor, Tensor]
    """Mean and deviation of one frame amid silence, [C, 1, ...] float32 each."""

    def read(self, clip_id: str, start: int = 0, stop: int | None = None) -> tuple[Tensor, Tensor]:
        """Means and deviations of the frames `start` to `stop` of a clip, clipped to its end.

        Returns:
            [C, T, ...] float32 each.
        """
        return self.info.part_rows(self._read_rows(clip_id, start, stop))

    def _take_index(self, index: Mapping[str, Any]) -> None:
        super()._take_index(index)
        try:
            row = np.asarray(index["silence"], dtype=self.info.dtype)
            self.silence = self.info.part_rows(row.reshape(1, self.info.width))
        except (KeyError, ValueError) as error:
            raise no_index(self.folder, self.info.kind) from error


def write_index(
    folder: Path,
    info: FrameInfo,
    fingerprint: str,
    frames: Mapping[str, int],
    skipped: Sequence[Skipped],
    more: Mapping[str, Any],
) -> None:
    """Write a store's index, which marks it as finished.

    Args:
        folder: The store.
        info: What made the frames.
        fingerprint: Of everything that decides on the frames.
        frames: Number of frames by clip id, in the order in which they lie in the file.
        skipped: Clips without frames.
        more: What stores of this kind say besides.
    """
    write_json(
        folder / INDEX_NAME,
        {
            "info": info.model_dump(),
            "fingerprint": fingerprint,
            "clips": list(frames),
            "frames": list(frames.values()),
            "skipped": [asdict(item) for item in skipped],
            **more,
        },
    )


def no_index(folder: Path, kind: str) -> UserError:
    """The error for an index that does not hold."""
    return UserError(f"{folder / INDEX_NAME} is no index of a {kind} store.")
