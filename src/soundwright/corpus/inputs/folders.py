"""Folders of media, with transcripts and descriptions beside them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soundwright.core.errors import UserError
from soundwright.core.records import Licence, Location, Source
from soundwright.corpus.failures import Failure
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.files import MEDIA, show_path, sign_file, walk
from soundwright.corpus.records import Media

TRANSCRIPTS = (".vtt", ".srt", ".json3")
AUTOMATIC = frozenset(("auto", "asr"))
"""In names of transcripts that a machine has made."""
INFO = ".info.json"
"""What yt-dlp writes beside a video."""


def read_folder(given: Input, root: Path) -> Iterator[Media | Failure]:
    """Each file of sound or video is a recording.

    Raises:
        UserError: There is no such folder, or nothing in it.
    """
    assert given.folder is not None
    folder = root / given.folder
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.", expected="a folder with recordings or videos")
    found = False
    for path in walk(folder):
        if path.suffix.lower() in MEDIA:
            found = True
            item = path.relative_to(folder).as_posix()
            yield _describe_file(given, root, path, item, _read_info(path))
    if not found:
        raise UserError(
            f"{folder} holds no recordings.",
            expected="files in " + ", ".join(MEDIA),
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
    metadata = {
        key: str(info[key]) for key in ("title", "uploader", "upload_date") if info.get(key)
    }
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
        location=Location(path=show_path(path, root)),
        signature=sign_file(path),
        transcripts=tuple(show_path(one, root) for one in _find_transcripts(path, given.languages)),
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
        *parts, suffix = name[len(path.stem) + 1 :].split(".")
        if f".{suffix.lower()}" not in TRANSCRIPTS:
            continue
        automatic = not AUTOMATIC.isdisjoint(parts) or any(one.endswith("-orig") for one in parts)
        tongue = next((part for part in parts if part not in AUTOMATIC), "")
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
