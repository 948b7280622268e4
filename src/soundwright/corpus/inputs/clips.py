"""Corpora and lists of intervals: recordings of which the clips are known already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from soundwright.core.records import Caption, Clip, Location, Mixture, Source
from soundwright.corpus.failures import Failure
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.files import MEDIA, find_by_stem, show_path, sign_file, walk
from soundwright.corpus.inputs.licences import clip_licence
from soundwright.corpus.inputs.refusing import refuse
from soundwright.corpus.records import Media, Piece
from soundwright.data.clips import Skip
from soundwright.data.importers.autorecap import scan_intervals
from soundwright.data.manifest_lines import manifest_file, stream_clips

YOUTUBE = "https://www.youtube.com/watch?v="


def read_corpus(given: Input, root: Path) -> Iterator[Media | Failure]:
    """Each clip of a manifest is a recording, free of words.

    Raises:
        UserError: The manifest is missing or does not hold.
    """
    assert given.manifest is not None
    path = root / given.manifest
    _, clips = stream_clips(path)
    folder = path if path.is_dir() else path.parent
    for clip in clips:
        if isinstance(clip.location, Mixture):
            yield refuse(
                clip.id, "mixture", f"{clip.source.item} is a mixture of two sounds, no recording"
            )
        else:
            yield _describe_clip(given, clip, clip.location, folder, root)


def list_corpus(given: Input, root: Path) -> Iterator[tuple[str, str]]:
    """The manifest and its clips' files, with their sizes and times of change.

    Of the lines only the paths are looked at, since there may be many; those that do not hold are
    for `read_corpus` to tell.
    """
    assert given.manifest is not None
    path = manifest_file(root / given.manifest)
    yield str(given.manifest), sign_file(path)
    before = ""
    with suppress(OSError), path.open("rb") as file:
        for line in file:
            name = _read_path(line)
            # Clips of one tar stand together.
            if name and name != before:
                yield name, sign_file(path.parent / name)
                before = name


def _read_path(line: bytes) -> str:
    """Where the clip of a line is, if it is on this machine; empty for any other line."""
    try:
        name = json.loads(line)["location"]["path"]
    except (ValueError, TypeError, KeyError):
        return ""
    return name if isinstance(name, str) and not _is_address(name) else ""


def _is_address(path: str) -> bool:
    return "://" in path


def _describe_clip(given: Input, clip: Clip, location: Location, folder: Path, root: Path) -> Media:
    source = clip.source
    found: Location | None = None
    pieces: tuple[Piece, ...] | None = None
    signature = ""
    if _is_address(location.path):
        # Chosen with `decode.sound: none`, before anything was fetched: it stays one piece.
        source = source.model_copy(update={"url": source.url or location.path})
        pieces = (Piece(start=0.0, end=clip.duration, segment=0.0),)
    else:
        place = folder / location.path
        found = location.model_copy(update={"path": show_path(place, root)})
        signature = sign_file(place)
    return Media(
        id=source.clip_id,
        source=source,
        location=found,
        signature=f"{signature}-{clip.pcm_hash[:16]}",
        duration=clip.duration,
        cues=(),
        pieces=pieces,
        captions=clip.captions,
        tags=clip.tags,
        licence=clip_licence(given.licence, clip.licence),
        split=clip.split,
        metadata=clip.metadata,
    )


def read_published(given: Input, root: Path) -> Iterator[Media | Failure]:
    """Each interval is a recording, with its caption and score."""
    assert given.intervals is not None
    files = find_by_stem(root / given.folder, root) if given.folder is not None else {}
    for one in scan_intervals(root / given.intervals):
        if isinstance(one, Skip):
            yield refuse(one.item, one.reason, one.detail)
            continue
        source = Source(
            dataset=given.name(root),
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


def list_published(given: Input, root: Path) -> Iterator[tuple[str, str]]:
    """The list of intervals and the files that it may be about."""
    assert given.intervals is not None
    yield str(given.intervals), sign_file(root / given.intervals)
    if given.folder is not None:
        folder = root / given.folder
        for path in walk(folder, root):
            if path.suffix.lower() in MEDIA:
                yield path.relative_to(folder).as_posix(), sign_file(path)
