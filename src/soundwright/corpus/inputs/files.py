"""The files below a folder, and how a corpus names them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from soundwright.audio.files import READABLE
from soundwright.core.errors import UserError

VIDEO = (".mp4", ".m4a", ".mkv", ".webm", ".mov", ".avi", ".aac", ".wma", ".ts", ".3gp", ".mka")
MEDIA = (*READABLE, *VIDEO)
OWN = ("stages", "export")
"""Folders of a corpus that hold what it has made itself."""


def walk(folder: Path, root: Path) -> Iterator[Path]:
    """Files below a folder in sorted order, folder by folder.

    Hidden ones are left out, and so are the corpus's own folders. A folder that links lead to
    again is walked once.

    Args:
        folder: Where to begin.
        root: The corpus's folder.

    Raises:
        UserError: There is no such folder, or one below it cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.", expected="a folder with recordings or videos")
    seen = {os.path.realpath(root / name) for name in OWN}
    # An input may be the corpus's own export.
    seen.discard(os.path.realpath(folder))
    yield from _walk(folder, seen)


def _walk(folder: Path, seen: set[str]) -> Iterator[Path]:
    seen.add(os.path.realpath(folder))
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                (one for one in entries if not one.name.startswith(".")), key=lambda e: e.name
            )
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}.") from error
    for entry in found:
        path = Path(entry.path)
        # Of a link to itself an entry raises, where a path says that nothing is there.
        looked: Path | os.DirEntry[str] = path if entry.is_symlink() else entry
        if looked.is_dir():
            if os.path.realpath(path) not in seen:
                yield from _walk(path, seen)
        elif looked.is_file():
            yield path


def find_by_stem(folder: Path, root: Path) -> dict[str, Path]:
    """Files of sound or video below a folder, by their names without the suffix.

    Raises:
        UserError: As `walk`.
    """
    return {path.stem: path for path in walk(folder, root) if path.suffix.lower() in MEDIA}


def show_path(path: Path, root: Path) -> str:
    """Below the corpus's folder as a relative path, elsewhere as an absolute one."""
    whole, here = path.resolve(), root.resolve()
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()


def sign_file(path: Path) -> str:
    """Size and time of change; empty where there is no such file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"


def sign_files(media: Path | None, transcripts: Iterable[Path]) -> str:
    """What changes when a recording's file or one of its transcripts does."""
    signed = (sign_file(media) if media else "", *map(sign_file, transcripts))
    return "+".join(signed)
