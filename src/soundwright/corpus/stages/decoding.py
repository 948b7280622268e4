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
from soundwright.corpus.failures import Failure, PermanentError, failure_of
from soundwright.corpus.media_files import decoder_identity, read_pieces
from soundwright.corpus.records import Media, Piece
from soundwright.corpus.repeats import Distinct, repeat_failure
from soundwright.corpus.sounds import decode_sound
from soundwright.corpus.stage import Output, Stage
from soundwright.data.clips import hash_samples

SHORTEST_S = 0.1
"""What a recording's end leaves of a piece, if it is less than this, is no clip."""
EXACT_S = 1e-3
"""Times count to the millisecond: a clip that is shorter by more than that ends elsewhere."""


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
    version = 2
    reads = Media

    def __init__(self, config: DecodeConfig, root: Path) -> None:
        self.config, self._root = config, root

    def identity(self) -> str:
        """Of the decoders that are here."""
        return decoder_identity()

    def process(self, rows: Iterator[Media], out: Output) -> None:
        """Make clips of pieces; see `Stage`."""
        distinct = Distinct(out, self.name)
        for media in rows:
            found = _Found(media, distinct, out)
            try:
                self._cut(media, found, out)
            except UserError as error:
                found.fail(failure_of(error, media.id, self.name))
            found.close()

    def _cut(self, media: Media, found: _Found, out: Output) -> None:
        if media.pieces is None:
            raise PermanentError(
                f"{media.source.item} has no file, and nobody knows how long it is.",
                reason="no-duration",
                change="Give its duration in the table, or fetch: {} in the configuration.",
            )
        if self.config.sound == "flac":
            self._decode(media, found, out)
            return
        for piece in media.pieces:
            found.keep(self._mention(media, piece), piece)

    def _decode(self, media: Media, found: _Found, out: Output) -> None:
        grouped = itertools.groupby(media.pieces or (), key=lambda piece: piece.segment)
        segments = [tuple(pieces) for _, pieces in grouped]
        spans = [(pieces[0].start, pieces[-1].end) for pieces in segments]
        if not spans:
            return
        with self._opened(media) as (path, start):
            moved = [(start + begin, start + end) for begin, end in spans]
            sounds = read_pieces(
                path,
                moved,
                sample_rate=self.config.sample_rate,
                channels=self.config.channels,
            )
            for pieces, sound in zip(segments, sounds, strict=True):
                if isinstance(sound, AudioError):
                    found.miss(pieces[0], sound.reason, sound.problem)
                else:
                    self._store(media, pieces, sound, found, out)

    def _store(
        self, media: Media, pieces: tuple[Piece, ...], sound: Sound, found: _Found, out: Output
    ) -> None:
        content = encode(sound, ".flac", bits=self.config.bits)
        stored = decode_sound(content)
        path, offset = out.store_sound(f"{media.id}-{round(pieces[0].start * 1000)}.flac", content)
        for piece in pieces:
            begin = piece.start - pieces[0].start
            first = round(begin * stored.sample_rate)
            last = min(stored.frames, first + round(piece.duration * stored.sample_rate))
            if last - first < SHORTEST_S * stored.sample_rate:
                end = pieces[0].start + stored.duration
                told = f"the piece from {piece.start:g} s has no sound: all ends at {end:.3f} s"
                found.miss(piece, "no-samples", f"{media.source.item}: {told}")
                continue
            samples = stored.samples[:, first:last].contiguous()
            heard = (last - first) / stored.sample_rate
            if piece.duration - heard > EXACT_S:
                piece = piece.model_copy(update={"end": piece.start + heard})
            found.keep(
                _describe(
                    media,
                    piece,
                    location=Location(path=path, offset=offset, length=len(content), start=begin),
                    pcm_hash=hash_samples(Sound(samples, stored.sample_rate)),
                    duration=heard,
                    sample_rate=stored.sample_rate,
                    channels=stored.channels,
                ),
                piece,
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


class _Found:
    """What comes of one recording. However many of its pieces fail, it counts once."""

    def __init__(self, media: Media, distinct: Distinct, out: Output) -> None:
        self._media, self._distinct, self._out = media, distinct, out
        self._failed = False

    def keep(self, clip: Clip, piece: Piece) -> None:
        if self._distinct.claim(clip):
            self._out.keep(clip)
        else:
            self.fail(repeat_failure(clip, self._item(piece), Decode.name))

    def miss(self, piece: Piece, reason: str, detail: str) -> None:
        self.fail(
            Failure(
                item=self._item(piece),
                stage=Decode.name,
                kind="permanent",
                reason=reason,
                detail=detail,
            )
        )

    def fail(self, failure: Failure) -> None:
        self._out.fail(failure, counted=not self._failed)
        self._failed = True

    def close(self) -> None:
        if not self._failed:
            self._out.absorb()

    def _item(self, piece: Piece) -> str:
        return f"{self._media.id}@{piece.start:g}"


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
