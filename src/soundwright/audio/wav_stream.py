"""WAV files that grow: a whole sound file at every moment, and a WAV for a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import torch
from torch import Tensor

from soundwright.audio.encoding import WAV_MAX_BYTES, encode
from soundwright.audio.sound import Sound
from soundwright.audio.tags import append_info, check_tags
from soundwright.core.errors import AudioError
from soundwright.core.files import disk_error

BYTES_PER_SAMPLE = 2
ROOM_BYTES = 1 << 20
"""Left for the texts behind the samples."""


class WavStream:
    """Writes 16-bit samples as they come; used as a context.

    After every call the file is a whole WAV of what was written so far, even if the process is
    killed then. After `finish` its bytes are those that `files.write` gives for the whole sound.
    Unlike there, a file that stood under the name before is gone from the beginning.

    Args:
        path: Where to; folders are made.
        sample_rate: Samples a second.
        channels: C.

    Raises:
        UserError: A disk that is full or cannot be written.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        self._path, self._rate = path, sample_rate
        self._header = _header(sample_rate, channels)
        self._bytes = 0
        self.frames = 0
        """Samples of each channel in the file."""

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb", buffering=0)
            self._file.write(_sized(self._header, 0))
        except OSError as error:
            raise disk_error(self._path, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, samples: Tensor) -> None:
        """Append [C, n].

        Raises:
            AudioError: Samples that are not finite.
            UserError: A disk that is full or cannot be written.
        """
        content = _samples(samples, self._rate)
        try:
            self._put(len(self._header) + self._bytes, content)
            self._put(0, _sized(self._header, self._bytes + len(content)))
        except OSError as error:
            raise disk_error(self._path, error) from error
        self._bytes += len(content)
        self.frames += samples.shape[-1]

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Put texts behind the samples, also where a call of `write` was interrupted.

        Raises:
            UserError: An unknown tag, or a disk that is full or cannot be written.
        """
        end = len(self._header) + self._bytes
        header, info = _with_info(self._header, self._bytes, metadata)
        try:
            self._file.truncate(end)
            self._put(end, info)
            self._put(0, header)
        except OSError as error:
            raise disk_error(self._path, error) from error

    def _put(self, position: int, content: bytes) -> None:
        self._file.seek(position)
        # A file without a buffer may take less than it is given.
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]


def pour_wav(
    file: BinaryIO,
    pieces: Iterable[Tensor],
    frames: int,
    sample_rate: int,
    channels: int,
    metadata: Mapping[str, str],
) -> None:
    """Write a WAV to a pipe, which cannot go back: its header tells the length beforehand.

    Args:
        file: Open for writing.
        pieces: Samples [C, n], `frames` of them together.
        frames: N.
        sample_rate: Samples a second.
        channels: C.
        metadata: As in `files.write`.
    """
    header, info = _with_info(
        _header(sample_rate, channels), frames * channels * BYTES_PER_SAMPLE, metadata
    )
    file.write(header)
    for piece in pieces:
        file.write(_samples(piece, sample_rate))
        file.flush()
    file.write(info)
    file.flush()


def check_wav_length(frames: int, channels: int) -> None:
    """Refuse a sound that no WAV can hold.

    Raises:
        AudioError: too-long.
    """
    longest = (WAV_MAX_BYTES - ROOM_BYTES) // (channels * BYTES_PER_SAMPLE)
    if frames > longest:
        raise AudioError(
            f"{frames} samples do not fit into a WAV file.",
            reason="too-long",
            expected=f"at most {longest}",
            change="Ask for a shorter duration.",
        )


def _samples(samples: Tensor, sample_rate: int) -> bytes:
    """The bytes of [C, n], as `encode` writes them."""
    if samples.shape[-1] == 0:
        return b""
    content = encode(Sound(samples, sample_rate), ".wav")
    return content[content.index(b"data") + 8 :]


def _header(sample_rate: int, channels: int) -> bytes:
    """All that stands before the samples, as `encode` writes it."""
    content = encode(Sound(torch.zeros(channels, 1), sample_rate), ".wav")
    return content[: content.index(b"data") + 8]


def _sized(header: bytes, data: int) -> bytes:
    whole = (len(header) - 8 + data).to_bytes(4, "little")
    return header[:4] + whole + header[8:-4] + data.to_bytes(4, "little")


def _with_info(header: bytes, data: int, metadata: Mapping[str, str]) -> tuple[bytes, bytes]:
    """The header of a file with texts behind its samples, and these texts."""
    content = bytearray(_sized(header, data))
    append_info(content, check_tags(metadata))
    info = bytes(content[len(header) :])
    whole = (len(header) - 8 + data + len(info)).to_bytes(4, "little")
    return header[:4] + whole + _sized(header, data)[8:], info
