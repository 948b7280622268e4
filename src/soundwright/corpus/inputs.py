"""Where a corpus's recordings come from: folders of media, tables, manifests, lists of intervals."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from soundwright.audio.files import READABLE
from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.records import Caption, Clip, Licence, Location, Source
from soundwright.corpus.failures import Failure
from soundwright.corpus.records import Media, Piece
from soundwright.data.importers.autorecap import read_intervals
from soundwright.data.importers.tables import Row, read_table
from soundwright.data.manifest import stream_clips

VIDEO = (".mp4", ".m4a", ".mkv", ".webm", ".mov", ".avi", ".aac", ".wma", ".ts", ".3gp", ".mka")
TRANSCRIPTS = (".vtt", ".srt", ".json3")
INFO = ".info.json"
"""What yt-dlp writes beside a video."""
YOUTUBE = "https://www.youtube.com/watch?v="


class Input(Config):
    """One source of recordings; exactly one of `folder`, `table`, `manifest`, `intervals`."""

    folder: Path | None = None
    """Media with transcripts beside them (`talk.mp4`, `talk.en.vtt`, `talk.info.json`); or, with
    `table` or `intervals`, where their files are."""
    table: Path | None = None
    """CSV, TSV or JSON lines; columns as in `COLUMNS`."""
    manifest: Path | None = None
    """A corpus of Soundwright's, such as an importer writes: each clip is one recording."""
    intervals: Path | None = None
    """AutoReCap's manifest: video ids with intervals and their captions."""
    dataset: str = ""
    """Name in the ids of clips; empty takes that of the folder or file."""
    licence: Licence = Licence(name="unknown")
    """Where nothing closer to a recording says otherwise."""
    languages: tuple[str, ...] = ("en",)
    """Of transcripts that name one (`talk.en.vtt`, `talk.en-GB.vtt`), in order of preference."""
    url: str = ""
    """Address of what has no file, with {item} for its name."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        listed = [self.table, self.manifest, self.intervals]
        if sum(kind is not None for kind in listed) > 1 or not (any(listed) or self.folder):
            raise ValueError("an input is one of: folder, table, manifest, intervals")
        return self

    @property
    def name(self) -> str:
        """Of the data set."""
        given = self.table or self.manifest or self.intervals or self.folder
        assert given is not None, "an input has a source"
        return self.dataset or given.stem


COLUMNS = ("id", "path", "url", "transcript", "title", "caption", "tags", "licence", "licence_url",
           "author", "duration", "start", "end", "split")  # fmt: skip
"""Of a table; all may be missing but one of id and path."""


def read_inputs(inputs: tuple[Input, ...], root: Path) -> Iterator[Media | Failure]:
    """All recordings, one after another, with flat memory; what cannot be one, as a failure.

    Args:
        inputs: As configured.
        root: The corpus's folder: relative paths start there.

    Raises:
        UserError: A folder or file is missing or has another layout.
    """
    for given in inputs:
        if given.manifest is not None:
            yield from _read_manifest(given, root)
        elif given.table is not None:
            yield from _read_table(given, root)
        elif given.intervals is not None:
            yield from _read_intervals(given, root)
        else:
            yield from _read_folder(given, root)


def list_inputs(inputs: tuple[Input, ...], root: Path) -> Iterator[tuple[str, str]]:
    """Every input file, with its size and time of change; what has not changed need not be read."""
    for given in inputs:
        for path in (given.table, given.manifest, given.intervals):
            if path is not None:
                yield str(path), sign_file(root / path)
        if given.folder is not None:
            for path in _walk(root / given.folder):
                yield path.relative_to(root / given.folder).as_posix(), sign_file(path)


def sign_file(path: Path) -> str:
    """Size and time of change; empty where there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"


def _read_folder(given: Input, root: Path) -> Iterator[Media | Failure]:
    assert given.folder is not None
    folder = root / given.folder
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.", expected="a folder with recordings or videos")
    found = False
    for path in _walk(folder):
        if path.suffix.lower() in (*READABLE, *VIDEO):
            found = True
            item = path.relative_to(folder).as_posix()
            yield _describe_file(given, root, path, item, _read_info(path))
    if not found:
        raise UserError(
            f"{folder} holds no recordings.",
            expected="files in " + ", ".join((*READABLE, *VIDEO)),
        )


def _describe_file(
    given: Input, root: Path, path: Path, item: str, info: dict[str, Any]
) -> Media | Failure:
    if isinstance(info.get("problem"), str):
        return Failure(
            item=item, stage="ingest", kind="permanent", reason="bad-info", detail=info["problem"]
        )
    source = Source(
        dataset=given.name,
        item=str(info.get("id") or item),
        url=str(info.get("webpage_url") or ""),
    )
    metadata = {key: str(info[key]) for key in ("title", "uploader", "upload_date") if info.get(key)}
    licence = given.licence
    if info.get("license"):
        licence = Licence(
            name=str(info["license"]),
            author=str(info.get("uploader") or ""),
            url=source.url,
            evidence=f"{path.stem}{INFO}",
        )
    return Media(
        id=source.clip_id,
        source=source,
        location=Location(path=_shown(path, root)),
        signature=sign_file(path),
        transcripts=tuple(_shown(one, root) for one in _find_transcripts(path, given.languages)),
        duration=float(info["duration"]) if info.get("duration") else None,
        tags=tuple(str(tag) for tag in info.get("tags") or ()),
        licence=licence,
        metadata={"title": path.stem, **metadata},
    )


def _read_info(path: Path) -> dict[str, Any]:
    info = path.with_name(path.stem + INFO)
    if not info.is_file():
        return {}
    try:
        values = json.loads(info.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        return {"problem": f"{info.name}: {error}"}
    return values if isinstance(values, dict) else {"problem": f"{info.name} is no JSON object"}


def _find_transcripts(path: Path, languages: tuple[str, ...]) -> list[Path]:
    """Files beside `path` named after it, in the order of preference."""
    ranked: list[tuple[int, bool, str]] = []
    with os.scandir(path.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(path.stem + ".")]
    for name in names:
        middle, suffix = os.path.splitext(name[len(path.stem) :])
        if suffix.lower() not in TRANSCRIPTS:
            continue
        parts = [part for part in middle.split(".") if part]
        automatic = "auto" in parts or "asr" in parts or middle.endswith("-orig")
        tongue = next((part for part in parts if part not in ("auto", "asr")), "")
        rank = _rank(tongue, languages)
        if rank is not None:
            ranked.append((rank, automatic, name))
    return [path.with_name(name) for _, _, name in sorted(ranked)]


def _rank(tongue: str, languages: tuple[str, ...]) -> int | None:
    if not tongue:
        return 0
    for place, language in enumerate(languages):
        if tongue == language or tongue.startswith(language + "-"):
            return place
    return None


def _read_table(given: Input, root: Path) -> Iterator[Media | Failure]:
    assert given.table is not None
    table = read_table(root / given.table)
    if "id" not in table.columns and "path" not in table.columns:
        raise table.no_column("id", "id")
    for bad in table.bad:
        yield Failure(
            item=bad.item, stage="ingest", kind="permanent", reason=bad.reason, detail=bad.detail
        )
    for row in table.rows:
        try:
            yield _describe_row(given, root, row)
        except ValueError as error:
            yield Failure(
                item=f"{table.path.name}, line {row.number}",
                stage="ingest",
                kind="permanent",
                reason="bad-row",
                detail=str(error).splitlines()[0],
            )


def _describe_row(given: Input, root: Path, row: Row) -> Media:
    item = row.text("id") or row.text("path")
    if not item:
        raise ValueError("neither id nor path is given")
    source = Source(
        dataset=given.name,
        item=item,
        url=row.text("url") or given.url.format(item=item),
        start=float(row.text("start") or 0),
        end=float(row.text("end")) if row.text("end") else None,
    )
    location = None
    if row.text("path"):
        path = root / (given.folder or Path()) / row.text("path")
        location = Location(path=_shown(path, root), start=source.start)
    licence = given.licence
    if row.text("licence"):
        licence = Licence(
            name=row.text("licence"),
            url=row.text("licence_url"),
            author=row.text("author"),
            title=row.text("title"),
            evidence=f"{given.table}, line {row.number}",
        )
    duration = float(row.text("duration")) if row.text("duration") else None
    if source.end is not None:
        duration = source.end - source.start
    return Media(
        id=source.clip_id,
        source=source,
        location=location,
        signature=sign_file(root / location.path) if location else "",
        transcripts=tuple(
            _shown(root / (given.folder or Path()) / one, root) for one in row.items("transcript")
        ),
        duration=duration,
        captions=(Caption(text=row.text("caption")),) if row.text("caption") else (),
        tags=row.items("tags"),
        licence=licence,
        split=row.text("split"),
        metadata={"title": row.text("title")} if row.text("title") else {},
    )


def _read_manifest(given: Input, root: Path) -> Iterator[Media | Failure]:
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
        location=clip.location.model_copy(update={"path": _shown(place, root)}),
        signature=f"{sign_file(place)}-{clip.pcm_hash[:16]}",
        duration=clip.duration,
        cues=(),
        captions=clip.captions,
        tags=clip.tags,
        licence=clip.licence,
        split=clip.split,
        metadata=clip.metadata,
    )


def _read_intervals(given: Input, root: Path) -> Iterator[Media | Failure]:
    """One recording an interval: its caption and score come along."""
    assert given.intervals is not None
    files = _by_stem(root / given.folder) if given.folder is not None else {}
    for one in read_intervals(root / given.intervals):
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
            location=Location(path=_shown(path, root), start=one.start) if path else None,
            signature=sign_file(path) if path else "",
            duration=duration,
            cues=(),
            pieces=(Piece(start=0.0, end=duration, segment=0.0),),
            captions=(Caption(text=one.text, kind="model", model="autocap"),),
            licence=given.licence,
            scores={} if one.clap is None else {"published_clap": one.clap},
        )


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in _walk(folder) if path.suffix.lower() in (*READABLE, *VIDEO)}


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder in sorted order, folder by folder; hidden ones are left out."""
    with os.scandir(folder) as entries:
        found = sorted((one for one in entries if not one.name.startswith(".")), key=lambda e: e.name)
    for entry in found:
        if entry.is_dir():
            yield from _walk(Path(entry.path))
        elif entry.is_file():
            yield Path(entry.path)


def _shown(path: Path, root: Path) -> str:
    """Below the corpus's folder as a relative path, elsewhere as an absolute one."""
    whole, here = path.resolve(), root.resolve()
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()
