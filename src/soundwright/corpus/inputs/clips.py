"""Corpora and lists of intervals: recordings of which the clips are known already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from soundwright.core.records import Caption, Clip, Location, Source
from soundwright.corpus.failures import Failure
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.files import MEDIA, show_path, sign_file, walk
from soundwright.corpus.records import Media, Piece
from soundwright.data.clips import Skip
from soundwright.data.importers.autorecap import scan_intervals
from soundwright.data.manifest_lines import stream_clips

YOUTUBE = "https://www.youtube.com/watch?v="


def read_corpus(given: Input, root: Path) -> Iterator[Media]:
    """Each clip of a manifest is a recording, free of words.

    Raises:
        UserError: The manifest is missing or does not hold.
    """
    assert given.manifest is not None
    path = root / given.manifest
    _, clips = stream_clips(path)
    folder = path if path.is_dir() else path.parent
    for clip in clips:
        yield _describe_clip(clip, folder, root)


def _describe_clip(clip: Clip, folder: Path, root: Path) -> Media:
    place = folder / clip.location.path
    return Media(
        id=clip.source.clip_id,
        source=clip.source,
        location=clip.location.model_copy(update={"path": show_path(place, root)}),
        signature=f"{sign_file(place)}-{clip.pcm_hash[:16]}",
        duration=clip.duration,
        cues=(),
        captions=clip.captions,
        tags=clip.tags,
        licence=clip.licence,
        split=clip.split,
        metadata=clip.metadata,
    )


def read_published(given: Input, root: Path) -> Iterator[Media | Failure]:
    """Each interval is a recording, with its caption and score."""
    assert given.intervals is not None
    files = _by_stem(root / given.folder) if given.folder is not None else {}
    for one in scan_intervals(root / given.intervals):
        if isinstance(one, Skip):
            yield Failure(
                item=one.item,
                stage="ingest",
                kind="permanent",
                reason=one.reason,
                detail=one.detail,
            )
            continue
        source = Source(
            dataset=given.name,
            item=one.video,
            url=(given.url or YOUTUBE + "{item}").format(item=one.video),
            start=one.start,
            end=one.end,
        )
        path = files.get(one.video)
        duration = round(one.end - one.start, 6)
        yield Media(
            id=source.clip_id,
            source=source,
            location=Location(path=show_path(path, root), start=one.start) if path else None,
            signature=sign_file(path) if path else "",
            duration=duration,
            cues=(),
            pieces=(Piece(start=0.0, end=duration, segment=0.0),),
            captions=(Caption(text=one.text, kind="model", model="autocap"),) if one.text else (),
            licence=given.licence,
            scores={} if one.clap is None else {"published_clap": one.clap},
        )


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in walk(folder) if path.suffix.lower() in MEDIA}
