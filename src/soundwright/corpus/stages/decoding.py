"""`decode`: from recordings to clips: the pieces, each in one sound with its neighbours."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from soundwright.audio.encoding import encode
from soundwright.audio.sound import Sound
from soundwright.core.config import Config
from soundwright.core.errors import AudioError, UserError
from soundwright.core.records import Clip, Location, Source
from soundwright.corpus.failures import Failure, failure_of
from soundwright.corpus.media_files import decoder_identity, read_pieces
from soundwright.corpus.records import Media, Piece
from soundwright.corpus.sounds import decode_sound
from soundwright.corpus.stage import Output, Stage
from soundwright.data.clips import hash_samples

SHORTEST_S = 0.1
"""What a recording's end leaves of a piece, if it is less than this, is no clip."""


class DecodeConfig(Config):
    """How sound is stored."""

    sound: Literal["flac", "none"] = "flac"
    """`flac`: in the shards' tars. `none`: nothing is decoded, and clips name the file or address
    that they are part of; for choosing among published intervals before anything is fetched."""
    sample_rate: Annotated[int, Field(ge=8000, le=192_000)] = 32_000
    """AutoCap's; a model's own codec resamples."""
    channels: Annotated[int, Field(ge=1, le=2)] = 1
    bits: Literal[16, 24] = 16


class Decode(Stage):
    """Decodes each recording once, from its first piece to its last."""

    name = "decode"
    reads = Media

    def __init__(self, config: DecodeConfig, root: Path) -> None:
        self.config, self._root = config, root

    def identity(self) -> str:
        """Of the decoders that are here."""
        return decoder_identity()

    def process(self, rows: Iterator[Media], out: Output) -> None:
        """Make clips of pieces; see `Stage`."""
        for media in rows:
            if not media.pieces:
                out.absorb()
                continue
            if self.config.sound == "none":
                for piece in media.pieces:
                    out.keep(self._mention(media, piece))
                out.absorb()
                continue
            try:
                self._decode(media, out)
            except UserError as error:
                if not isinstance(error, AudioError):
                    raise
                out.fail(failure_of(error, media.id, self.name))
            else:
                out.absorb()

    def _decode(self, media: Media, out: Output) -> None:
        grouped = itertools.groupby(media.pieces or (), key=lambda piece: piece.segment)
        segments = [tuple(pieces) for _, pieces in grouped]
        spans = [(pieces[0].start, pieces[-1].end) for pieces in segments]
        with self._opened(media) as (path, start):
            moved = [(start + begin, start + end) for begin, end in spans]
            found = read_pieces(
                path,
                moved,
                sample_rate=self.config.sample_rate,
                channels=self.config.channels,
            )
            for pieces, sound in zip(segments, found, strict=True):
                if isinstance(sound, AudioError):
                    out.fail(
                        Failure(
                            item=f"{media.id}@{pieces[0].start:g}",
                            stage=self.name,
                            kind="permanent",
                            reason=sound.reason,
                            detail=sound.problem,
                        )
                    )
                else:
                    self._store(media, pieces, sound, out)

    def _store(self, media: Media, pieces: tuple[Piece, ...], sound: Sound, out: Output) -> None:
        content = encode(sound, ".flac", bits=self.config.bits)
        stored = decode_sound(content)
        path, offset = out.store_sound(f"{media.id}-{round(pieces[0].start * 1000)}.flac", content)
        for piece in pieces:
            begin = piece.start - pieces[0].start
            first = round(begin * stored.sample_rate)
            last = min(stored.frames, first + round(piece.duration * stored.sample_rate))
            if last - first < SHORTEST_S * stored.sample_rate:
                continue
            samples = stored.samples[:, first:last].contiguous()
            out.keep(
                _describe(
                    media,
                    piece,
                    location=Location(path=path, offset=offset, length=len(content), start=begin),
                    pcm_hash=hash_samples(Sound(samples, stored.sample_rate)),
                    duration=(last - first) / stored.sample_rate,
                    sample_rate=stored.sample_rate,
                    channels=stored.channels,
                )
            )

    def _mention(self, media: Media, piece: Piece) -> Clip:
        """A clip of which nothing is known but where it is."""
        location = media.location or Location(path=media.source.url, start=media.source.start)
        return _describe(
            media,
            piece,
            location=location.model_copy(update={"start": location.start + piece.start}),
            pcm_hash="",
            duration=piece.duration,
            sample_rate=self.config.sample_rate,
            channels=self.config.channels,
        )

    @contextmanager
    def _opened(self, media: Media) -> Iterator[tuple[Path, float]]:
        """The file, and where in it the recording begins."""
        location = media.location
        if location is None:
            raise AudioError(f"{media.source.item} has no file.", reason="missing")
        path = self._root / location.path
        if location.offset is None:
            yield path, location.start
            return
        with tempfile.TemporaryDirectory(prefix="soundwright-") as folder:
            with path.open("rb") as shard:
                shard.seek(location.offset)
                content = shard.read(location.length or -1)
            whole = Path(folder) / "member"
            whole.write_bytes(content)
            yield whole, location.start


def _describe(media: Media, piece: Piece, **sound: Any) -> Clip:
    """The record of a piece; `sound` says what its samples are."""
    source = _cut_source(media, piece)
    return Clip(
        id=source.clip_id,
        source=source,
        captions=media.captions,
        tags=media.tags,
        licence=media.licence,
        split=media.split,
        scores=media.scores,
        drops=media.drops,
        metadata={**media.metadata, "media": media.id, "segment": piece.segment},
        **sound,
    )


def _cut_source(media: Media, piece: Piece) -> Source:
    """The span of a piece within the original; the whole of a recording stays the whole."""
    source = media.source
    if source.end is None and (piece.start, piece.end) == (0.0, media.duration):
        return source
    start = round(source.start + piece.start, 6)
    return source.model_copy(update={"start": start, "end": round(start + piece.duration, 6)})
