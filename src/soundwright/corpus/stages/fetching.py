"""`fetch`: the files of recordings that are only known by their address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.core.records import Location
from soundwright.corpus.failures import Failure, failure_of
from soundwright.corpus.fetching import FetchPolicy, fetch
from soundwright.corpus.gaps import GapConfig
from soundwright.corpus.inputs.files import show_path
from soundwright.corpus.records import Media
from soundwright.corpus.stage import Output, Stage
from soundwright.corpus.stages.cutting import cut_media

FOLDER = "media"


class Fetch(Stage):
    """Brings files into the corpus's folder; one that is there already is not fetched again.

    A recording of which only its file tells how long it is gets its pieces here.
    """

    name = "fetch"
    version = 2
    reads = Media
    writes = Media

    def __init__(self, config: FetchPolicy, root: Path, gaps: GapConfig) -> None:
        self.config, self._root, self._gaps = config, root, gaps

    def process(self, rows: Iterator[Media], out: Output) -> None:
        """Set `location`; see `Stage`."""
        for media in rows:
            if media.location is not None or media.pieces == ():
                out.keep(media)
                continue
            if not media.source.url:
                out.fail(
                    Failure(
                        item=media.id,
                        stage=self.name,
                        kind="permanent",
                        reason="no-address",
                        detail=f"{media.source.item} has neither a file nor an address",
                    )
                )
                continue
            try:
                out.keep(self._fetch(media))
            except UserError as error:
                out.fail(failure_of(error, media.id, self.name))

    def _fetch(self, media: Media) -> Media:
        path = fetch(media.source.url, self._root / FOLDER, self.config)
        location = Location(path=show_path(path, self._root), start=media.source.start)
        there = media.model_copy(update={"location": location})
        if media.pieces is not None:
            return there
        return cut_media(there, self._gaps, self._root, self.name)
