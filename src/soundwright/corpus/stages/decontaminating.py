"""`decontaminate`: clips that an evaluation set holds: no model may be trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from soundwright.core.config import Config
from soundwright.core.errors import AudioError, UserError
from soundwright.core.files import hash_file
from soundwright.core.records import Clip, Drop
from soundwright.corpus.decontamination import find_leak
from soundwright.corpus.evaluation_sets import (
    EvaluationSet,
    read_evaluation_manifest,
    read_evaluation_table,
)
from soundwright.corpus.failures import failure_of
from soundwright.corpus.fingerprints import FingerprintConfig, fingerprint
from soundwright.corpus.sounds import ClipSounds
from soundwright.corpus.stage import Output, Stage
from soundwright.data.manifest import read_manifest
from soundwright.data.manifest_lines import manifest_file


class HeldOut(Config):
    """One evaluation set; exactly one of `table` and `manifest`."""

    name: str
    table: Path | None = None
    """As published: AudioCaps' test.csv, MusicCaps, AudioSet's segments. Known by its videos."""
    manifest: Path | None = None
    """With its sound at hand: known by samples and fingerprints too."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.table is None) == (self.manifest is None):
            raise ValueError("an evaluation set is one of: table, manifest")
        return self


class DecontaminateConfig(Config):
    """What must not be in the corpus."""

    sets: Annotated[tuple[HeldOut, ...], Field(min_length=1)]
    margin: Annotated[float, Field(ge=0)] = 0.0
    """Seconds around an item in which its recording counts as the item as well."""


class Decontaminate(Stage):
    """Annotates what is found in an evaluation set, with the set and the item."""

    name = "decontaminate"

    def __init__(self, config: DecontaminateConfig, root: Path) -> None:
        self.config, self._root = config, root

    def identity(self) -> str:
        """Of the sets' files."""
        return " ".join(hash_file(self._file(one)) for one in self.config.sets)

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Annotate; see `Stage`."""
        sounds = ClipSounds(self._root)
        listens = any(held_out.fingerprints is not None for held_out in self._sets)
        for clip in rows:
            heard = None
            if listens:
                try:
                    sound = sounds.read(clip)
                    heard = fingerprint(sound.samples, sound.sample_rate, FingerprintConfig())
                except AudioError as error:
                    out.fail(failure_of(error, clip.id, self.name))
                    continue
            leak = find_leak(clip, heard, self._sets, margin=self.config.margin)
            if leak is None:
                out.keep(clip)
                continue
            drop = Drop(
                stage=self.name,
                reason=leak.how,
                value=f"{leak.set}: {leak.item}",
            )
            out.keep(clip.model_copy(update={"drops": (*clip.drops, drop)}))

    @cached_property
    def _sets(self) -> list[EvaluationSet]:
        return [self._read(one) for one in self.config.sets]

    def _read(self, one: HeldOut) -> EvaluationSet:
        if one.table is not None:
            return read_evaluation_table(self._root / one.table, one.name)
        found = read_evaluation_manifest(read_manifest(self._file(one)), one.name)
        if found.unheard:
            first = found.unheard[0]
            raise UserError(
                f"The sound of {len(found.unheard)} items of {one.name} cannot be read, such as "
                f"{first.item}: {first.detail}",
                change="Mend its manifest: what cannot be heard could leak.",
            )
        return found

    def _file(self, one: HeldOut) -> Path:
        path = self._root / (one.table or one.manifest or Path())
        if not path.exists():
            raise UserError(f"The evaluation set {one.name} is not at {path}.")
        return path if one.table is not None else manifest_file(path)
