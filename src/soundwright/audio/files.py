"""Sound files: probe, read, write, and the texts inside them.

Reading never trusts a header: samples are decoded block by block, and what is promised must be
there. Every fault is an `AudioError` with a stable `reason`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from soundwright.audio.channels import to_channels
from soundwright.audio.containers import known_magic, missing_part
from soundwright.audio.encoding import Bits, encode
from soundwright.audio.resampling import frames_around, resample_part, resampled_length
from soundwright.audio.sound import Sound
from soundwright.audio.tags import TAGS, read_info
from soundwright.core.errors import AudioError
from soundwright.core.files import write_bytes

READABLE = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".oga", ".aif", ".aiff", ".au", ".caf")
"""Suffixes of files that `read` understands; it looks at the content, not at these."""
MAX_DURATION_S = 3600.0
BLOCK_FRAMES = 1 << 18
MP3_SLACK_FRAMES = 2 * 1152
"""An mp3 without a gapless tag states its length in whole frames only."""
UNSUPPORTED_ENCODING, NO_SUCH_FILE = 4, 7
"""libsndfile's error codes."""
MP3_RUNWAY_FRAMES = 16 * 1152
MP3_FRAMES_PER_BYTE = 24
"""At the lowest bit rate of the format: more than that a file cannot hold."""


@dataclass(frozen=True)
class SoundInfo:
    """What the header of a sound file says."""

    frames: int
    """Samples in each channel."""
    sample_rate: int
    channels: int
    format: str
    """Container: WAV, FLAC, OGG, MP3 ..."""
    encoding: str
    """PCM_16, FLOAT, VORBIS ..."""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def probe(path: Path | str) -> SoundInfo:
    """Read the header of a sound file and check it against the size of the file.

    Raises:
        AudioError: missing, empty, not-audio, truncated, no-samples or unsupported. A FLAC that
            was cut, and a fault in the middle of a file, show only in `read`.
    """
    with _open(Path(path)) as file:
        return _info(file)


def read(
    path: Path | str,
    *,
    start: float = 0.0,
    duration: float | None = None,
    sample_rate: int | None = None,
    channels: int | None = None,
    max_duration: float | None = MAX_DURATION_S,
) -> Sound:
    """Read a sound file or a segment of it.

    A segment is reached by seeking, sample by sample in every format. Resampled, it equals the
    same part of the whole file resampled.

    Args:
        path: The file; its content decides on the format.
        start: Where to begin, in seconds.
        duration: Length in seconds; None is the rest. Less comes back where the file ends
            earlier: nothing is padded.
        sample_rate: Wanted rate; None is the file's.
        channels: Wanted number of channels; None is the file's.
        max_duration: Longest sound in seconds to be decoded; None is any.

    Raises:
        AudioError: As in `probe`, and not-finite (NaN or infinite samples) or too-long. `start`
            at or beyond the end gives no-samples.
    """
    with open_sound(path) as file:
        return file.read(
            start=start,
            duration=duration,
            sample_rate=sample_rate,
            channels=channels,
            max_duration=max_duration,
        )


@contextmanager
def open_sound(path: Path | str) -> Iterator[OpenSound]:
    """Open a sound file of which several segments shall be read.

    Raises:
        AudioError: As in `probe`.
    """
    path = Path(path)
    with _open(path) as file:
        yield OpenSound(path, file)


class OpenSound:
    """A sound file that is open; made by `open_sound`."""

    def __init__(self, path: Path, file: soundfile.SoundFile) -> None:
        self._path = path
        self._file = file
        self.info = _info(file)
        """What its header says."""

    def read(
        self,
        *,
        start: float = 0.0,
        duration: float | None = None,
        sample_rate: int | None = None,
        channels: int | None = None,
        max_duration: float | None = MAX_DURATION_S,
    ) -> Sound:
        """Read the file or a segment of it, as `read` describes it."""
        assert start >= 0, f"a start of {start} s"
        assert duration is None or duration > 0, f"a duration of {duration} s"
        path, info = self._path, self.info
        rate = sample_rate or info.sample_rate
        first = round(start * rate)
        whole = resampled_length(info.frames, info.sample_rate, rate)
        last = whole if duration is None else min(whole, first + max(1, round(duration * rate)))
        if first >= last:
            raise AudioError(
                f"{path} ends at {info.duration:.3f} s, before the start at {start:.3f} s.",
                reason="no-samples",
            )
        if max_duration is not None and last - first > max_duration * rate:
            raise too_long(path, (last - first) / rate, max_duration)
        begin, end = frames_around(first, last, info.sample_rate, rate)
        decoded = _decode(self._file, path, begin, min(end, info.frames))
        samples = resample_part(decoded, first, last, info.sample_rate, rate)
        return finite_sound(path, samples, rate, channels)


def too_long(path: Path, duration: float, max_duration: float) -> AudioError:
    """The error for `duration` seconds where at most `max_duration` are wanted."""
    return AudioError(
        f"{path} is to give {duration:.1f} s of sound.",
        reason="too-long",
        expected=f"at most {max_duration:g} s",
        change="Ask for a segment, or raise the limit.",
    )


def finite_sound(path: Path, samples: torch.Tensor, rate: int, channels: int | None) -> Sound:
    """Samples [C, N] of `path` as a sound with `channels`, or with those that it has.

    Raises:
        AudioError: not-finite.
    """
    if not bool(torch.isfinite(samples).all()):
        raise AudioError(f"{path} holds samples that are not finite.", reason="not-finite")
    return Sound(samples if channels is None else to_channels(samples, channels), rate)


def write(
    path: Path | str,
    sound: Sound,
    *,
    metadata: Mapping[str, str] | None = None,
    bits: Bits = 16,
) -> None:
    """Write a sound file, whole or not at all; the same input gives the same bytes.

    Args:
        path: Its suffix chooses the format: .wav, .flac, .ogg (Vorbis) or .mp3.
        sound: Samples beyond [-1, 1] are clipped, except in a WAV of 32 bits.
        metadata: Texts by name, the names from `tags.TAGS`: title, comment ...
        bits: Of a sample: 16, 24 (WAV and FLAC) or 32 (WAV, floating point).

    Raises:
        AudioError: no-samples, not-finite, unsupported or too-long for the format.
        UserError: An unknown tag, or a disk that is full or cannot be written.
    """
    path = Path(path)
    write_bytes(path, encode(sound, path.suffix, metadata=metadata, bits=bits))


def read_metadata(path: Path | str) -> dict[str, str]:
    """The texts in a sound file by name, those of `tags.TAGS` that it has.

    Raises:
        AudioError: As in `probe`.
    """
    path = Path(path)
    with _open(path) as file:
        if file.format not in ("WAV", "WAVEX", "RF64"):
            found = file.copy_metadata()
            return {name: found[name] for name in TAGS if name in found}
    with path.open("rb") as stream:
        return read_info(stream)


@contextmanager
def _open(path: Path) -> Iterator[soundfile.SoundFile]:
    _check_container(path)
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        with path.open("rb") as stream:
            cut = known_magic(stream.read(12))
        # libsndfile says of an mp3 without frames that there is no such file; there is one here.
        what = "nothing in it is sound." if error.code == NO_SUCH_FILE else error.error_string
        reason = "truncated" if cut else "not-audio"
        raise AudioError(
            f"{path} cannot be decoded: {what}",
            reason="unsupported" if error.code == UNSUPPORTED_ENCODING else reason,
            expected="a whole sound file (wav, flac, ogg, mp3 ...)",
        ) from error
    with file:
        if file.frames >= 1 << 62:
            raise AudioError(
                f"{path} does not say how long it is.",
                reason="unsupported",
                change="Encode it again with a program that writes the length into the header.",
            )
        if file.frames == 0:
            raise AudioError(f"{path} holds no samples.", reason="no-samples")
        yield file


def _check_container(path: Path) -> None:
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a folder, not a sound file.", reason="not-audio")
        size = path.stat().st_size
        if size == 0:
            raise AudioError(f"{path} is empty.", reason="empty")
        with path.open("rb") as stream:
            missing = missing_part(stream, size)
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror}.", reason="missing") from error
    if missing:
        raise _truncated(path, missing)


def _truncated(path: Path, missing: str) -> AudioError:
    return AudioError(f"{path} is cut off: {missing}.", reason="truncated")


def _info(file: soundfile.SoundFile) -> SoundInfo:
    return SoundInfo(file.frames, file.samplerate, file.channels, file.format, file.subtype)


def _decode(file: soundfile.SoundFile, path: Path, first: int, last: int) -> torch.Tensor:
    """Frames `first` to `last` as [C, last - first]; memory grows with what is there.

    soundfile seeks after every call, and an mp3 decodes differently for some frames after a
    seek, since they borrow bits from frames before them. Thus an mp3 is decoded in one call,
    from some frames ahead.
    """
    mp3 = file.format == "MP3"
    limit = path.stat().st_size * MP3_FRAMES_PER_BYTE if mp3 else BLOCK_FRAMES
    runway = min(first, MP3_RUNWAY_FRAMES) if mp3 else 0
    wanted = runway + last - first
    blocks: list[NDArray[np.float32]] = []
    decoded = 0
    try:
        file.seek(first - runway)
        while decoded < wanted:
            step = min(limit, wanted - decoded)
            block = np.asarray(file.read(step, dtype="float32", always_2d=True), np.float32)
            blocks.append(block)
            decoded += len(block)
            if len(block) < step:
                break
    except soundfile.LibsndfileError as error:
        raise _truncated(path, f"decoding stops: {error.error_string}") from error
    if decoded <= runway or decoded < wanted - (MP3_SLACK_FRAMES if mp3 else 0):
        raise _truncated(
            path,
            f"its header promises {last - first} samples from {first} on, "
            f"not {max(0, decoded - runway)}",
        )
    return torch.from_numpy(np.concatenate(blocks)[runway:].T.copy())
