"""`fingerprint`: what copies of a clip are known by, put aside for `dedup`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from soundwright.core.errors import AudioError
from soundwright.core.records import Clip
from soundwright.corpus.failures import failure_of
from soundwright.corpus.fingerprints import FingerprintConfig, fingerprint
from soundwright.corpus.sketches import Sketch, pack_sketches
from soundwright.corpus.sounds import ClipSounds
from soundwright.corpus.stage import Output, Stage

OPEN_TERMS = ("CC0", "CC-BY", "CC-BY-SA")
"""Of two copies of one length, the one under the earlier of these is kept; others come after."""


class Fingerprints(Stage):
    """Hands rows on as they are, with a file of fingerprints beside them."""

    name = "fingerprint"

    def __init__(self, config: FingerprintConfig, root: Path) -> None:
        self.config, self._root = config, root

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Put fingerprints aside; see `Stage`."""
        sounds = ClipSounds(self._root)
        sketches: list[Sketch] = []
        for clip in rows:
            try:
                sound = sounds.read(clip)
                heard = fingerprint(sound.samples, sound.sample_rate, self.config)
            except AudioError as error:
                out.fail(failure_of(error, clip.id, self.name))
                continue
            sketches.append(Sketch(clip.id, clip.pcm_hash, heard, _rank(clip.licence.name)))
            out.keep(clip)
        out.store_beside(pack_sketches(sketches, self.config))


def _rank(licence: str) -> int:
    return OPEN_TERMS.index(licence) if licence in OPEN_TERMS else len(OPEN_TERMS)
