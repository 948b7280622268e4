"""`probe`: what can be measured of a clip's signal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from soundwright.core.config import Config
from soundwright.core.errors import AudioError
from soundwright.core.records import Clip
from soundwright.corpus.failures import failure_of
from soundwright.corpus.probing import SCORES, probe_sound
from soundwright.corpus.sounds import ClipSounds
from soundwright.corpus.stage import Output, Stage


class ProbeConfig(Config):
    """Nothing can be chosen: what is measured is stated in `soundwright.corpus.probing`."""


class Probe(Stage):
    """Adds silence, clipping, offset, bandwidth and loudness to the scores."""

    name = "probe"

    def __init__(self, config: ProbeConfig, root: Path) -> None:
        self.config, self._root = config, root

    def scores(self) -> tuple[str, ...]:
        """Those of `probe_sound`."""
        return SCORES

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Annotate; see `Stage`."""
        sounds = ClipSounds(self._root)
        for clip in rows:
            try:
                found = probe_sound(sounds.read(clip))
            except AudioError as error:
                out.fail(failure_of(error, clip.id, self.name))
                continue
            scores = {name: round(value, 6) for name, value in found.items()}
            out.keep(clip.model_copy(update={"scores": {**clip.scores, **scores}}))
