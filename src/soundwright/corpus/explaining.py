"""The story of one clip: its source, what each stage found, why it was kept or left out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass

from soundwright.core.errors import UserError
from soundwright.core.records import Clip
from soundwright.corpus.failures import Failure
from soundwright.corpus.layout import Corpus, Place
from soundwright.corpus.parts import ROWS
from soundwright.corpus.records import Media


@dataclass(frozen=True)
class Chapter:
    """What happened to a clip, or to the recording that it comes from, in one stage."""

    stage: str
    lines: tuple[str, ...]


def explain(corpus: Corpus, name: str) -> list[Chapter]:
    """Everything that is known of a clip or recording.

    Args:
        corpus: In which.
        name: Id of a clip or a recording, or the item's name in its data set, such as a file name
            or a video id.

    Raises:
        UserError: Nothing in the corpus has this name.
    """
    wanted = {name}
    found: dict[str, list[str]] = {}
    shards = [shard for shard in range(corpus.shards) if _is_named(corpus, shard, name)]
    # Backwards: a clip leads to its parents, and all of them to their recording. And forwards
    # again: a recording leads to its clips, a part to what it was merged into.
    for place in (*reversed(corpus.places), *corpus.places):
        lines = [line for shard in shards for line in _look(place, shard, wanted)]
        if lines:
            found[place.name] = lines
    if not found:
        raise UserError(
            f"Nothing in this corpus is called {name!r}.",
            expected="the id of a clip or recording, a file's name, or a video's id",
            change="List some: soundwright corpus status, or look into export/manifest.jsonl.",
        )
    return [
        Chapter(place.name, tuple(found[place.name]))
        for place in corpus.places
        if place.name in found
    ]


def _is_named(corpus: Corpus, shard: int, name: str) -> bool:
    """Whether a shard's rows or errors hold a name at all, in whatever stage."""
    written = json.dumps(name, ensure_ascii=False)[1:-1].encode()
    for place in corpus.places:
        if place.folder.receipt(shard) is None:
            continue
        with gzip.open(place.folder.file(shard, ROWS)) as file:
            if any(written in line for line in file):
                return True
        if any(failure.item.startswith(name) for failure in place.folder.failures(shard)):
            return True
    return False


def _look(place: Place, shard: int, wanted: set[str]) -> Iterator[str]:
    """Lines about what is wanted in one stage; what leads to or from it is wanted too."""
    if place.folder.receipt(shard) is None:
        return
    for row in place.folder.rows(shard, place.writes):
        if not _names(row).isdisjoint(wanted):
            wanted |= _leads(row)
            yield from _describe(row, place.name)
    for failure in place.folder.failures(shard):
        if failure.item.partition("@")[0] in wanted:
            yield _failed(failure)


def _names(row: Media | Clip) -> set[str]:
    names = {row.id, row.source.item, row.source.item.rpartition("/")[2]}
    if isinstance(row, Clip):
        names |= {*row.parents, str(row.metadata.get("media", ""))}
    return names - {""}


def _leads(row: Media | Clip) -> set[str]:
    if isinstance(row, Media):
        return {row.id}
    return {row.id, *row.parents, str(row.metadata.get("media", row.id))}


def _describe(row: Media | Clip, stage: str) -> Iterator[str]:
    if isinstance(row, Media):
        yield from _describe_media(row, stage)
        return
    span = f"{row.source.start:g} to {row.source.end:g} s" if row.source.end else "whole"
    yield f"clip {row.id}: {row.source.dataset}/{row.source.item}, {span}, {row.duration:.2f} s"
    if row.parents:
        yield f"  made of {', '.join(row.parents)}"
    for caption in row.captions:
        sure = "" if caption.confidence is None else f", confidence {caption.confidence:.2f}"
        yield f"  {caption.model or caption.kind}: {caption.text!r}{sure}"
    if row.scores:
        yield "  " + ", ".join(f"{name} {value:g}" for name, value in row.scores.items())
    for drop in row.drops:
        told = "" if drop.value is None else f": {drop.value}"
        limit = "" if drop.threshold is None else f" (threshold {drop.threshold})"
        yield f"  {drop.stage} would leave it out, {drop.reason}{told}{limit}"
    if stage == "export":
        yield f"  kept: {row.location.path}, licence {row.licence.name}"
    elif stage == "select" and not any(drop.stage == stage for drop in row.drops):
        yield "  select keeps it"


def _describe_media(row: Media, stage: str) -> Iterator[str]:
    where = row.location.path if row.location else row.source.url or "no file"
    yield f"recording {row.id}: {row.source.dataset}/{row.source.item} ({where})"
    if stage == "transcripts" and row.cues is not None:
        yield f"  {len(row.cues)} cues, {row.metadata.get('transcript_problems', 'no problems')}"
    if stage == "gaps" and row.pieces is not None:
        told = ", ".join(f"{name} {value:g}" for name, value in row.seconds.items() if value)
        yield f"  {len(row.pieces)} pieces; seconds: {told or 'none'}"
    for drop in row.drops:
        yield f"  {drop.stage} would leave it out, {drop.reason}"


def _failed(failure: Failure) -> str:
    tried = f", {failure.attempts} attempts" if failure.attempts > 1 else ""
    return f"  failed ({failure.kind}): {failure.reason}{tried}: {failure.detail}"
