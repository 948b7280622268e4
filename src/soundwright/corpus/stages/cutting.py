"""`gaps`: the stretches without words, cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.corpus.failures import failure_of
from soundwright.corpus.gaps import GapConfig, account_seconds, find_pieces
from soundwright.corpus.media_files import open_media
from soundwright.corpus.records import Media
from soundwright.corpus.stage import Output, Stage


class Gaps(Stage):
    """Decides on the pieces of each recording; no sound is decoded for it."""

    name = "gaps"
    reads = Media
    writes = Media

    def __init__(self, config: GapConfig, root: Path) -> None:
        self.config, self._root = config, root

    def process(self, rows: Iterator[Media], out: Output) -> None:
        """Set `pieces`; see `Stage`."""
        for media in rows:
            if media.pieces is not None:
                out.keep(media)
                continue
            try:
                duration = self._measure(media)
            except UserError as error:
                out.fail(failure_of(error, media.id, self.name))
                continue
            cues = media.cues or ()
            update = {
                "pieces": find_pieces(cues, duration, self.config),
                "duration": duration,
                "seconds": asdict(account_seconds(cues, duration, self.config)),
            }
            out.keep(media.model_copy(update=update))

    def _measure(self, media: Media) -> float | None:
        """A file's own length is believed more than what was told of it."""
        location = media.location
        if location is None or location.offset is not None:
            return media.duration
        whole = open_media(self._root / location.path).duration
        rest = None if whole is None else max(whole - location.start, 0.0)
        told = media.duration
        if rest is None or told is None:
            return told if rest is None else rest
        return min(rest, told)
