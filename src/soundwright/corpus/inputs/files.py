"""The files below a folder, and how a corpus names them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from soundwright.audio.files import READABLE

VIDEO = (".mp4", ".m4a", ".mkv", ".webm", ".mov", ".avi", ".aac", ".wma", ".ts", ".3gp", ".mka")
MEDIA = (*READABLE, *VIDEO)


def walk(folder: Path) -> Iterator[Path]:
    """Files below a folder in sorted order, folder by folder; hidden ones are left out."""
    with os.scandir(folder) as entries:
        found = sorted(
            (one for one in entries if not one.name.startswith(".")), key=lambda e: e.name
        )
    for entry in found:
        if entry.is_dir():
            yield from walk(Path(entry.path))
        elif entry.is_file():
            yield Path(entry.path)


def show_path(path: Path, root: Path) -> str:
    """Below the corpus's folder as a relative path, elsewhere as an absolute one."""
    whole, here = path.resolve(), root.resolve()
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()


def sign_file(path: Path) -> str:
    """Size and time of change; empty where there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"
