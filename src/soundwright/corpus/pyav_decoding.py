"""Sound of videos and other media through PyAV (the package `av`), with FFmpeg inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from soundwright.core.errors import AudioError
from soundwright.core.hub import first_line
from soundwright.corpus.media_streams import (
    FORMATS,
    HEAD_BYTES,
    Block,
    Samples,
    StreamInfo,
    describe_stream,
    drop_padding,
    known_container,
    place_blocks,
)

MICROSECOND = Fraction(1, 1_000_000)


def pyav_version() -> str | None:
    """Versions of PyAV and of the libraries that decode; None where it is not installed."""
    try:
        import av
        from av import library_versions
    except ImportError:
        return None
    libraries = [
        f"{name} {'.'.join(map(str, library_versions[name]))}"
        for name in ("libavformat", "libavcodec")
    ]
    return " ".join([f"pyav {av.__version__}", *libraries])


def probe_stream(path: Path) -> StreamInfo:
    """Describe the first sound stream of a file.

    Raises:
        AudioError: not-audio, truncated, unsupported, no-audio-stream.
    """
    with _open(path) as (container, stream):
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        if rate < 1 or channels < 1:
            raise AudioError(f"{path} does not describe its sound.", reason="unsupported")
        end, end_of_all = None, None
        if stream.duration is not None and stream.start_time is not None:
            end = (stream.start_time + stream.duration) * stream.time_base - _origin(container)
        if container.duration is not None:
            end_of_all = container.duration * MICROSECOND
        kind = container.format.name
        return describe_stream(kind, rate, channels, end=end, end_of_all=end_of_all)


def decode_stream(path: Path, info: StreamInfo) -> Iterator[Block]:
    """Decode the first sound stream of a file from time 0 on.

    Raises:
        AudioError: As in `probe_stream`; truncated where decoding stops; unsupported where the
            rate or the channels change or timestamps jump back.
    """
    with _open(path) as (container, stream):
        timed = _decode(path, container, stream, info)
        tick = float(stream.time_base)
        yield from drop_padding(place_blocks(path, timed, info.sample_rate, tick), info)


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first sound stream; other streams are not read."""
    import av
    from av.error import FFmpegError
    from av.stream import Discard

    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        container = av.open(f"file:{path}", container_options=options, metadata_errors="replace")
    except (FFmpegError, ValueError) as error:
        raise _refused(path, error) from error
    with container:
        streams = container.streams.audio
        if not streams:
            raise AudioError(f"{path} has no sound.", reason="no-audio-stream")
        stream = streams[0]
        if stream.codec_context is None:
            raise AudioError(f"{path}: nothing here decodes its sound.", reason="unsupported")
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        yield container, stream


def _decode(
    path: Path, container: Any, stream: Any, info: StreamInfo
) -> Iterator[tuple[float | None, Samples]]:
    from av.error import FFmpegError

    origin = _origin(container)
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise AudioError(
                    f"{path} is cut off in the middle of a packet.", reason="truncated"
                )
            for frame in packet.decode():
                if (frame.sample_rate, frame.layout.nb_channels) != (
                    info.sample_rate,
                    info.channels,
                ):
                    raise AudioError(
                        f"{path} changes its rate or its channels while it plays.",
                        reason="unsupported",
                    )
                time = None
                if frame.pts is not None:
                    time = float(frame.pts * frame.time_base - origin)
                yield time, _samples_of(frame)
    except (FFmpegError, ValueError) as error:
        raise AudioError(
            f"{path} is damaged: decoding stops: {_words_of(error)}.", reason="truncated"
        ) from error


def _origin(container: Any) -> Fraction:
    """When the medium begins to play, by its own clock."""
    return max(container.start_time or 0, 0) * MICROSECOND


def _samples_of(frame: Any) -> Samples:
    """A decoded frame as [C, n] float32; integers are divided by their full scale, exactly."""
    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(-1, frame.layout.nb_channels).T
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    offset = 128 if array.dtype.kind == "u" else 0
    full_scale = 1 << (8 * array.dtype.itemsize - 1)
    return ((array.astype(np.float64) - offset) / full_scale).astype(np.float32)


def _refused(path: Path, error: Exception) -> AudioError:
    from av.error import DecoderNotFoundError, PatchWelcomeError

    with path.open("rb") as file:
        known = known_container(file.read(HEAD_BYTES))
    unsupported = (NotImplementedError, DecoderNotFoundError, PatchWelcomeError)
    reason = "unsupported" if isinstance(error, unsupported) else "truncated" if known else ""
    return AudioError(
        f"{path} cannot be decoded: {_words_of(error)}.",
        reason=reason or "not-audio",
        expected="a whole file with sound (mp4, mkv, webm, mp3 ...)",
    )


def _words_of(error: Exception) -> str:
    """What FFmpeg says, without the number and the path around it."""
    return getattr(error, "strerror", None) or first_line(error)
