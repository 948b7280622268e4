"""`export`: what was kept, packed for training: one shard of sound or one table for each shard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from soundwright.audio.encoding import Bits, encode
from soundwright.audio.sound import Sound
from soundwright.core.config import Config
from soundwright.core.errors import AudioError
from soundwright.core.records import Clip, Location
from soundwright.corpus.clip_values import clip_values
from soundwright.corpus.expressions import parse_expression
from soundwright.corpus.failures import failure_of
from soundwright.corpus.sounds import ClipSounds
from soundwright.corpus.stage import Output, Stage
from soundwright.corpus.stages.selecting import is_selected
from soundwright.data.shards import clip_record

WHOLE_S = 1e-4
NO_CAPTION, NOT_WHERE = "no-caption", "export-where"
"""Why a clip is left out here."""


class ExportConfig(Config):
    """How the corpus leaves the house."""

    format: Literal["webdataset", "parquet", "manifest"] = "webdataset"
    """`webdataset`: tars with `<id>.json` and `<id>.flac`; `parquet`: tables that the package
    datasets reads, sound inside; `manifest`: the records alone, without sound."""
    where: str | None = None
    """Of what `select` kept, only clips of which this holds."""
    captioned: bool = True
    """Only clips with a caption."""
    bits: Annotated[Literal[16, 24], Field()] = 16


class Export(Stage):
    """Writes the kept clips of a shard; the folder `export` is put together of these."""

    name = "export"
    version = 2

    def __init__(self, config: ExportConfig, root: Path) -> None:
        self.config, self._root = config, root
        self._where = parse_expression(config.where) if config.where else None

    def expressions(self) -> tuple[str, ...]:
        """That of what is exported, if there is one."""
        return (self.config.where,) if self.config.where else ()

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Pack; see `Stage`."""
        sounds = ClipSounds(self._root)
        packed: list[tuple[Clip, bytes]] = []
        for clip in rows:
            if not is_selected(clip):
                out.absorb()  # `select` has counted it.
                continue
            reason = self.why_not(clip)
            if reason:
                out.leave_out(reason)
                continue
            if self.config.format == "manifest":
                out.keep(clip)
                continue
            try:
                content = _cut(clip, sounds, self.config.bits)
            except AudioError as error:
                out.fail(failure_of(error, clip.id, self.name))
                continue
            if self.config.format == "parquet":
                packed.append((clip, content))
                location = Location(path=f"{clip.id}.flac")
            else:
                out.store_sound(f"{clip.id}.json", clip_record(clip))
                path, offset = out.store_sound(f"{clip.id}.flac", content)
                location = Location(path=path, offset=offset, length=len(content))
            out.keep(clip.model_copy(update={"location": location}))
        if packed:
            from soundwright.corpus.parquet import write_table

            out.store_beside(write_table(packed))

    def why_not(self, clip: Clip) -> str:
        """The reason for which a clip that `select` kept stays here; empty where it goes."""
        if self.config.captioned and not clip.captions:
            return NO_CAPTION
        if self._where is not None and not self._where.evaluate(clip_values(clip)):
            return NOT_WHERE
        return ""


def _cut(clip: Clip, sounds: ClipSounds, bits: Bits) -> bytes:
    """A FLAC file of this clip alone."""
    sound = sounds.read(clip)
    whole = sounds.held_duration
    if clip.location.start == 0 and abs(whole - clip.duration) < WHOLE_S:
        return sounds.read_bytes(clip)
    return encode(Sound(sound.samples.contiguous(), sound.sample_rate), ".flac", bits=bits)
