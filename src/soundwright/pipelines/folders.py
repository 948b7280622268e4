"""Folders with a record of their files: written whole, read with their format, verified by hash."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from soundwright.core.errors import CheckpointError
from soundwright.core.files import folder_atomic, hash_file, read_json
from soundwright.core.records import Record

_FETCH_AGAIN = "Copy or fetch it again, or take it from its training run."

Described = TypeVar("Described", bound=Record)


@contextmanager
def folder_replaced(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `folder` when the block ends well."""
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    with folder_atomic(fresh) as inside:
        yield inside
    if folder.exists():
        shutil.rmtree(folder)
    fresh.rename(folder)


def hash_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, by its path within."""
    return {
        file.relative_to(folder).as_posix(): hash_file(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def read_described(path: Path, record: type[Described], newest: int) -> Described:
    """Read the record of a folder.

    Args:
        path: Its file.
        record: What it should be.
        newest: The newest format version that is known.

    Raises:
        UserError: The file is missing or is not JSON.
        CheckpointError: It is of a newer format, or damaged.
    """
    values = read_json(path)
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > newest:
        raise CheckpointError(
            f"{path.parent} has {path.stem} format {version}; this Soundwright reads up to "
            f"{newest}.",
            change="Install a newer Soundwright.",
        )
    try:
        return record.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise CheckpointError(f"{path} is damaged: {key}: {fault['msg']}.") from error


def verify_files(folder: Path, files: Mapping[str, str]) -> None:
    """Compare files with their recorded hashes.

    Raises:
        CheckpointError: Names the first file that is missing or differs.
    """
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing from {folder}.", change=_FETCH_AGAIN)
        found = hash_file(path)
        if found != expected:
            raise CheckpointError(
                f"{path} is damaged: its SHA-256 begins with {found[:12]}.",
                expected=expected[:12],
                change=_FETCH_AGAIN,
            )
