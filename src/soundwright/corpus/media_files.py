"""The sound of any media file: of sound files, videos and what else can be decoded here.

Sound files go through `audio.files`, and everything else through PyAV or, where it is not
installed, through the programs ffmpeg and ffprobe. Pieces are cut to the sample: a piece equals
the same part of the whole, resampled or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import soundfile
import soxr

from soundwright.audio.files import open_sound
from soundwright.audio.resampling import QUALITY
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError, UserError
from soundwright.corpus import ffmpeg_decoding, pyav_decoding
from soundwright.corpus.media_pieces import Span, cut_pieces
from soundwright.corpus.media_streams import HEAD_BYTES, StreamInfo, known_container

Decoder = Literal["soundfile", "pyav", "ffmpeg"]
DECODERS: tuple[Decoder, ...] = ("soundfile", "pyav", "ffmpeg")
"""In the order in which they are tried. What a sound file holds is read by soundfile alone, which
reaches any place in it; PyAV keeps the timestamps of all frames, of which ffmpeg hides the holes:
it fills them with silence."""
NEXT_DECODER = ("not-audio", "unsupported")
"""Reasons for which another decoder is tried; every other is a fault of the file."""


@dataclass(frozen=True)
class MediaReader:
    """A media file that can be decoded here; made by `open_media`."""

    path: Path
    decoder: Decoder
    info: StreamInfo

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.info.sample_rate

    @property
    def channels(self) -> int:
        """C, of the first sound stream."""
        return self.info.channels

    @property
    def duration(self) -> float | None:
        """Seconds as the file states them, None where it does not."""
        return self.info.duration

    def read(
        self,
        start: float = 0.0,
        duration: float | None = None,
        *,
        sample_rate: int | None = None,
        channels: int | None = None,
    ) -> Sound:
        """Read the sound or a segment of it, as `audio.files.read` does.

        A file that soundfile does not know is decoded from its beginning, since only counting
        tells the place to the sample: several pieces are `read_pieces`.

        Args:
            start: Where to begin, in seconds from where the medium begins to play.
            duration: Length in seconds; None is the rest. Less comes back where the sound ends
                earlier.
            sample_rate: Wanted rate; None is the file's.
            channels: Wanted number of channels; None is the file's.

        Raises:
            AudioError: no-samples, not-finite, too-long, truncated or unsupported.
        """
        end = None if duration is None else start + duration
        (sound,) = self.read_pieces([(start, end)], sample_rate=sample_rate, channels=channels)
        if isinstance(sound, AudioError):
            raise sound
        return sound

    def read_pieces(
        self,
        spans: Iterable[Span],
        *,
        sample_rate: int | None = None,
        channels: int | None = None,
    ) -> Iterator[Sound | AudioError]:
        """Read many pieces in one pass, holding one of them in memory.

        Args:
            spans: Starts and ends in seconds, in order of the starts; they may overlap.
            sample_rate: Wanted rate; None is the file's.
            channels: Wanted number of channels; None is the file's.

        Yields:
            For each span its sound, shorter where the file ends within it, or the error that
            `read` would raise.
        """
        if self.decoder == "soundfile":
            yield from self._read_by_seeking(spans, sample_rate, channels)
            return
        decoding = pyav_decoding if self.decoder == "pyav" else ffmpeg_decoding
        blocks = decoding.decode_stream(self.path, self.info)
        yield from cut_pieces(self.path, self.info, blocks, spans, sample_rate, channels)

    def _read_by_seeking(
        self, spans: Iterable[Span], sample_rate: int | None, channels: int | None
    ) -> Iterator[Sound | AudioError]:
        with open_sound(self.path) as file:
            for start, end in spans:
                duration = None if end is None else end - start
                try:
                    yield file.read(
                        start=start, duration=duration, sample_rate=sample_rate, channels=channels
                    )
                except AudioError as error:
                    yield error


def open_media(path: Path | str, *, decoders: Sequence[Decoder] = DECODERS) -> MediaReader:
    """Find out who decodes a file, and what it says of its sound.

    Args:
        path: The file; its content decides, not its name.
        decoders: Those that may be used, in the order in which they are tried.

    Raises:
        AudioError: missing, empty, not-audio, truncated, no-samples, no-audio-stream or
            unsupported.
        UserError: It is of a kind that soundfile does not know, and nothing else is installed.
    """
    path = Path(path).absolute()
    foreign = known_container(_read_head(path))
    refused: AudioError | None = None
    for decoder in decoders:
        if (foreign and decoder == "soundfile") or decoder_version(decoder) is None:
            continue
        try:
            return MediaReader(path, decoder, _probe(path, decoder))
        except AudioError as error:
            if error.reason not in NEXT_DECODER:
                raise
            refused = error
    if refused is not None:
        raise refused
    raise UserError(
        f"{path} is a video, or sound of a kind that needs a further decoder.",
        expected=f"one of the decoders {', '.join(decoders)} that reads it",
        change='Install PyAV with pip install "soundwright[corpus]", or put the programs ffmpeg '
        "and ffprobe on the PATH.",
    )


def read_pieces(
    path: Path | str,
    spans: Iterable[Span],
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    decoders: Sequence[Decoder] = DECODERS,
) -> Iterator[Sound | AudioError]:
    """`MediaReader.read_pieces` of a file; what `open_media` raises is raised at once."""
    reader = open_media(path, decoders=decoders)
    return reader.read_pieces(spans, sample_rate=sample_rate, channels=channels)


def decoder_identity(decoders: Sequence[Decoder] = DECODERS) -> str:
    """What decodes and resamples here, with versions: samples of lossy media depend on it."""
    found = [version for name in decoders if (version := decoder_version(name))]
    return "; ".join([*found, f"soxr {soxr.__version__} {QUALITY}"])


def decoder_version(decoder: Decoder) -> str | None:
    """Name and version of a decoder, None where it is not here."""
    if decoder == "pyav":
        return pyav_decoding.pyav_version()
    if decoder == "ffmpeg":
        return ffmpeg_decoding.ffmpeg_version()
    return f"soundfile {soundfile.__version__} {soundfile.__libsndfile_version__}"


def _probe(path: Path, decoder: Decoder) -> StreamInfo:
    if decoder == "pyav":
        return pyav_decoding.probe_stream(path)
    if decoder == "ffmpeg":
        return ffmpeg_decoding.probe_stream(path)
    with open_sound(path) as file:
        info = file.info
        return StreamInfo(info.sample_rate, info.channels, info.duration, "exact")


def _read_head(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        AudioError: missing, empty, or not-audio for a folder.
    """
    if path.is_dir():
        raise AudioError(f"{path} is a folder, not a media file.", reason="not-audio")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror}.", reason="missing") from error
    if not head:
        raise AudioError(f"{path} is empty.", reason="empty")
    return head
