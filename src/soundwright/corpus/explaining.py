"""The story of one clip: its source, what each stage found, why it was kept or left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from soundwright.core.errors import UserError
from soundwright.core.records import Clip
from soundwright.corpus.explained_rows import describe_clip, describe_media, summarise_clip
from soundwright.corpus.failures import Failure
from soundwright.corpus.layout import Corpus, Place
from soundwright.corpus.records import Media
from soundwright.corpus.stages.exporting import Export
from soundwright.corpus.stages.selecting import is_selected


@dataclass(frozen=True)
class Chapter:
    """What happened to a clip, or to the recording that it comes from, in one stage."""

    stage: str
    lines: tuple[str, ...]


def explain(corpus: Corpus, name: str) -> list[Chapter]:
    """What is known of a clip and of what it was made from, or of a recording and its clips.

    Args:
        corpus: In which.
        name: Id of a clip or a recording, or the item's name in its data set, such as a file name
            or a video id.

    Raises:
        UserError: Nothing in the corpus has this name.
        CheckpointError: Rows are damaged.
    """
    found: dict[str, list[str]] = {}
    for shard in range(corpus.shards):
        if _is_named(corpus, shard, name):
            story = _Story(corpus, shard, name)
            for before, place in zip((None, *corpus.places), corpus.places, strict=False):
                found.setdefault(place.name, []).extend(story.tell(place, before))
    if not any(found.values()):
        raise UserError(
            f"Nothing in this corpus is called {name!r}.",
            expected="the id of a clip or recording, a file's name, or a video's id",
            change="Clips are listed in export/manifest.jsonl and credits.csv, what failed by: "
            "soundwright corpus errors.",
        )
    return [Chapter(stage, tuple(lines)) for stage, lines in found.items() if lines]


def _is_named(corpus: Corpus, shard: int, name: str) -> bool:
    """Whether a shard's rows or errors hold a name at all, in whatever stage."""
    written = json.dumps(name, ensure_ascii=False)[1:-1].encode()
    for place in corpus.places:
        if place.folder.receipt(shard) is None:
            continue
        if any(written in line for line in place.folder.lines(shard)):
            return True
        if any(_tells_of(failure, name) for failure in place.folder.failures(shard)):
            return True
    return False


def _tells_of(failure: Failure, name: str) -> bool:
    """Whether a failure is an item's, or names its file, as that of a second one of one id does."""
    if failure.item == name or failure.item.partition("@")[0] == name:
        return True
    return re.search(rf"(?<![^\s/]){re.escape(name)}(?![^\s:,])", failure.detail) is not None


class _Story:
    """What the rows of one shard tell of a name.

    Wanted are the clips that it means, what they were made from, and what became of them; other
    clips of the same recording are not, unless the name is the recording's.
    """

    def __init__(self, corpus: Corpus, shard: int, name: str) -> None:
        self._shard, self._name = shard, name
        self._media: set[str] = set()
        self._clips: set[str] = set()
        places = [place for place in corpus.places if place.folder.receipt(shard) is not None]
        listed = [place for place in places if place.writes is Clip]
        self._find_origins(listed)
        self._whole = not self._clips
        """Whether it is a recording that is asked for."""
        if self._whole:
            self._find_recording(places)
        else:
            self._find_fate(listed)

    def _find_origins(self, places: Sequence[Place]) -> None:
        """A clip of that name, what it was made from, and its recording."""
        for place in reversed(places):
            for clip in self._clips_of(place):
                if clip.id == self._name or clip.id in self._clips:
                    self._clips |= {clip.id, *clip.parents}
                    self._media.add(_media_of(clip))

    def _find_fate(self, places: Sequence[Place]) -> None:
        """What the clip became."""
        became = {self._name}
        for place in places:
            became |= {
                clip.id for clip in self._clips_of(place) if not became.isdisjoint(clip.parents)
            }
        self._clips |= became

    def _find_recording(self, places: Sequence[Place]) -> None:
        """A recording of that name, and all its clips."""
        for place in places:
            if place.writes is Media:
                rows = place.folder.rows(self._shard, Media)
                self._media |= {row.id for row in rows if self._name in _names(row)}
            else:
                self._clips |= {
                    clip.id for clip in self._clips_of(place) if _media_of(clip) in self._media
                }

    def tell(self, place: Place, before: Place | None) -> Iterator[str]:
        """Lines about what is wanted in one stage."""
        if place.folder.receipt(self._shard) is None:
            return
        shown: set[str] = set()
        if place.writes is Media:
            for media in place.folder.rows(self._shard, Media):
                if media.id in self._media:
                    yield from describe_media(media, place.name)
        else:
            for clip in self._clips_of(place):
                if clip.id in self._clips:
                    shown.add(clip.id)
                    told = summarise_clip if self._whole else describe_clip
                    yield from told(clip, place.name)
        if isinstance(place.stage, Export) and before is not None:
            yield from self._left_out(place.stage, before, shown)
        for failure in place.folder.failures(self._shard):
            if self._is_wanted(failure):
                yield _failed(failure)

    def _left_out(self, export: Export, before: Place, shown: set[str]) -> Iterator[str]:
        """What the export did not take, of which no row of it tells."""
        if before.folder.receipt(self._shard) is None:
            return
        for clip in self._clips_of(before):
            if clip.id in self._clips - shown and is_selected(clip):
                reason = export.why_not(clip)
                if reason:
                    yield f"clip {clip.id}"
                    yield f"  export leaves it out, {reason}"

    def _is_wanted(self, failure: Failure) -> bool:
        item = failure.item.partition("@")[0]
        if self._whole and item in self._media:
            return True
        if failure.item != item and item in self._media and failure.reason == "duplicate-id":
            return any(clip in failure.detail for clip in self._clips)
        return item in self._clips or _tells_of(failure, self._name)

    def _clips_of(self, place: Place) -> Sequence[Clip]:
        return list(place.folder.rows(self._shard, Clip))


def _names(row: Media) -> set[str]:
    return {row.id, row.source.item, row.source.item.rpartition("/")[2]} - {""}


def _media_of(clip: Clip) -> str:
    return str(clip.metadata.get("media", clip.id))


def _failed(failure: Failure) -> str:
    tried = f", {failure.attempts} attempts" if failure.attempts > 1 else ""
    return f"  failed ({failure.kind}): {failure.reason}{tried}: {failure.detail}"
