"""`gaps`: the stretches without words, cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.core.records import Drop
from soundwright.corpus.failures import PermanentError, failure_of
from soundwright.corpus.gaps import GapConfig, account_seconds, find_pieces
from soundwright.corpus.media_files import open_media
from soundwright.corpus.records import Media
from soundwright.corpus.stage import Output, Stage


class Gaps(Stage):
    """Decides on the pieces of each recording; no sound is decoded for it."""

    name = "gaps"
    version = 2
    reads = Media
    writes = Media

    def __init__(self, config: GapConfig, root: Path) -> None:
        self.config, self._root = config, root

    def process(self, rows: Iterator[Media], out: Output) -> None:
        """Set `pieces`; see `Stage`."""
        for media in rows:
            if media.pieces is not None or awaits_its_file(media):
                out.keep(media)
                continue
            try:
                out.keep(cut_media(media, self.config, self._root, self.name))
            except UserError as error:
                out.fail(failure_of(error, media.id, self.name))


def awaits_its_file(media: Media) -> bool:
    """Whether only the file, which is not there yet, can tell how long a recording is."""
    return media.location is None and media.duration is None


def cut_media(media: Media, config: GapConfig, root: Path, stage: str) -> Media:
    """A recording with its pieces; one that has none gets the drop `no-gaps`.

    Args:
        media: Which.
        config: What is wanted.
        root: The corpus's folder.
        stage: Name of the stage that asks.

    Raises:
        PermanentError: no-duration.
        AudioError: Its file cannot be read.
    """
    duration = _measure(media, root)
    cues = media.cues or ()
    pieces = find_pieces(cues, duration, config)
    if duration is None and not cues:
        raise PermanentError(
            f"{media.source.item} does not say how long it is, and nothing else tells.",
            reason="no-duration",
            change="Give its duration in the table, or convert it to another form, such as FLAC.",
        )
    update = {
        "pieces": pieces,
        "duration": duration,
        "seconds": asdict(account_seconds(cues, duration, config)),
    }
    if not pieces:
        update["drops"] = (*media.drops, Drop(stage=stage, reason="no-gaps"))
    return media.model_copy(update=update)


def _measure(media: Media, root: Path) -> float | None:
    """A file's own length is believed more than what was told of it."""
    location = media.location
    if location is None or location.offset is not None:
        return media.duration
    whole = open_media(root / location.path).duration
    rest = None if whole is None else max(whole - location.start, 0.0)
    told = media.duration
    if rest is None or told is None:
        return told if rest is None else rest
    return min(rest, told)
