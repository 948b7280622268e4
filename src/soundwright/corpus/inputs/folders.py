"""Folders of media, with transcripts and descriptions beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.core.records import Location, Source
from soundwright.corpus.failures import Failure
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.descriptions import (
    INFO,
    Description,
    info_file,
    read_description,
)
from soundwright.corpus.inputs.files import MEDIA, show_path, sign_file, sign_files, walk
from soundwright.corpus.inputs.licences import closer_licence
from soundwright.corpus.inputs.refusing import refuse
from soundwright.corpus.records import Media

TRANSCRIPTS = (".vtt", ".srt", ".json3")
AUTOMATIC = frozenset(("auto", "asr"))
"""In names of transcripts that a machine has made."""


def read_folder(given: Input, root: Path) -> Iterator[Media | Failure]:
    """Each file of sound or video is a recording.

    Raises:
        UserError: There is no such folder, or nothing in it.
    """
    assert given.folder is not None
    folder = root / given.folder
    found = False
    for path in walk(folder, root):
        if path.suffix.lower() in MEDIA:
            found = True
            item = path.relative_to(folder).as_posix()
            transcripts = _find_transcripts(path, given.languages)
            strange = next((one for one in (path, *transcripts) if not _is_text(one)), None)
            if strange is not None:
                name = ascii(strange.name)
                detail = f"the name of the file {name} is not UTF-8; rename it"
                yield refuse(ascii(item), "bad-name", detail)
                continue
            try:
                about = read_description(path)
            except ValueError as error:
                yield refuse(item, "bad-info", str(error))
                continue
            yield _describe_file(given, root, path, item, about, transcripts)
    if not found:
        raise UserError(
            f"{folder} holds no recordings.",
            expected="files in " + ", ".join(MEDIA),
        )


def list_folder(given: Input, root: Path) -> Iterator[tuple[str, str]]:
    """The files that `read_folder` looks at, with their sizes and times of change."""
    assert given.folder is not None
    folder = root / given.folder
    for path in walk(folder, root):
        if path.suffix.lower() in (*MEDIA, *TRANSCRIPTS) or path.name.endswith(INFO):
            yield path.relative_to(folder).as_posix(), sign_file(path)


def _describe_file(
    given: Input, root: Path, path: Path, item: str, about: Description, transcripts: list[Path]
) -> Media:
    source = Source(dataset=given.name(root), item=about.item or item, url=about.page)
    facts = {
        "title": about.title or path.stem,
        "uploader": about.uploader,
        "upload_date": about.upload_date,
    }
    return Media(
        id=source.clip_id,
        source=source,
        location=Location(path=show_path(path, root)),
        signature=sign_files(path, transcripts),
        transcripts=tuple(show_path(one, root) for one in transcripts),
        duration=about.duration,
        tags=about.tags,
        licence=closer_licence(
            given.licence,
            evidence=info_file(path).name,
            name=about.licence,
            author=about.uploader,
            title=about.title,
        ),
        metadata={key: value for key, value in facts.items() if value},
    )


def _is_text(path: Path) -> bool:
    """Whether a path is UTF-8; Python reads other bytes as halves of pairs of UTF-16."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


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
