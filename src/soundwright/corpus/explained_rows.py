"""Recordings and clips in words, as one stage hands them on."""

from __future__ import annotations

from collections.abc import Iterator

from soundwright.core.records import Clip, Drop
from soundwright.corpus.records import Media


def describe_media(row: Media, stage: str) -> Iterator[str]:
    """All that a stage found out about a recording."""
    where = row.location.path if row.location else row.source.url or "no file"
    yield f"recording {row.id}: {row.source.dataset}/{row.source.item} ({where})"
    if stage == "transcripts" and row.cues is not None:
        yield f"  {len(row.cues)} cues, {row.metadata.get('transcript_problems', 'no problems')}"
    if stage in ("gaps", "fetch") and row.pieces is not None:
        told = ", ".join(f"{name} {value:g}" for name, value in row.seconds.items() if value)
        yield f"  {len(row.pieces)} pieces; seconds: {told or 'none'}"
    elif stage == "gaps":
        yield "  its file will tell how long it is"
    for drop in row.drops:
        yield f"  {drop.stage} would leave it out, {drop.reason}"


def describe_clip(row: Clip, stage: str) -> Iterator[str]:
    """All that is known of a clip after a stage."""
    yield f"clip {row.id}: {row.source.dataset}/{row.source.item}, {_span(row)}"
    if row.parents:
        yield f"  made of {', '.join(row.parents)}"
    for caption in row.captions:
        sure = "" if caption.confidence is None else f", confidence {caption.confidence:.2f}"
        yield f"  {caption.model or caption.kind}: {caption.text!r}{sure}"
    if row.scores:
        yield "  " + ", ".join(f"{name} {value:g}" for name, value in row.scores.items())
    for drop in row.drops:
        yield f"  {_dropped(drop)}"
    if stage == "export":
        yield f"  kept: {row.location.path}, licence {row.licence.name}"
    elif stage == "select" and not any(drop.stage == stage for drop in row.drops):
        yield "  select keeps it"


def summarise_clip(row: Clip, stage: str) -> Iterator[str]:
    """A line about a clip of a recording, and what this stage has against it."""
    made = f", made of {len(row.parents)}" if row.parents else ""
    yield f"clip {row.id}: {_span(row)}{made}"
    for drop in row.drops:
        if drop.stage == stage:
            yield f"  {_dropped(drop)}"
    if stage == "export":
        yield f"  kept: {row.location.path}"


def _span(row: Clip) -> str:
    span = f"{row.source.start:g} to {row.source.end:g} s" if row.source.end else "whole"
    return f"{span}, {row.duration:.2f} s"


def _dropped(drop: Drop) -> str:
    told = "" if drop.value is None else f": {drop.value}"
    limit = "" if drop.threshold is None else f" (threshold {drop.threshold})"
    return f"{drop.stage} would leave it out, {drop.reason}{told}{limit}"
