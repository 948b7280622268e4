"""The manifest as a text file: a header, then one clip a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from soundwright.core.errors import UserError, nearest
from soundwright.core.files import open_atomic
from soundwright.core.records import Clip, Record

VERSION = 1
MANIFEST_NAME = "manifest.jsonl"


class Header(Record):
    """First line of a manifest."""

    format: Literal["soundwright-manifest"] = "soundwright-manifest"
    version: int = VERSION
    created_by: str = f"soundwright {package_version('soundwright')}"
    facts: dict[str, Any] = Field(default_factory=dict)
    """Free JSON values about the corpus as a whole: its source, how it was made, counts."""


def stream_clips(path: Path) -> tuple[Header, Iterator[Clip]]:
    """Read a manifest clip by clip: memory does not grow with their number.

    The file is open until the clips are read to their end or are no longer referred to. Ids are not
    compared: to notice a repeated one, all would have to be kept.

    Args:
        path: The manifest, or its folder.

    Returns:
        The header, which is read at once, and the clips in the file's order.

    Raises:
        UserError: As `read_manifest`, but for repeated ids; of a clip that does not hold, when it
            is its turn.
    """
    header, clips = open_manifest(manifest_file(path))
    return header, (clip for _, clip in clips)


def open_manifest(path: Path) -> tuple[Header, Iterator[tuple[int, Clip]]]:
    """The header, and the clips below it, read one by one, with the numbers of their lines.

    Raises:
        UserError: The file is missing, is no manifest or is newer than this version; of a record
            that does not hold, when it is its turn. The message names line and key.
    """
    lines = _read_lines(path)
    return _read_header(path, next(lines, (1, ""))[1]), _read_clips(path, lines)


def write_clips(path: Path, header: Header, clips: Iterable[Clip]) -> None:
    """Write a manifest clip by clip, atomically: memory does not grow with their number.

    Ids are not compared, and locations are written as they are.

    Raises:
        UserError: The disk is full or cannot be written.
    """
    with open_atomic(path) as file:
        file.write(write_line(header))
        for clip in clips:
            file.write(write_line(clip))


def manifest_file(path: Path) -> Path:
    """The manifest itself, where its folder may be given."""
    path = Path(path)
    return path / MANIFEST_NAME if (path / MANIFEST_NAME).is_file() else path


def write_line(record: Record) -> bytes:
    """A record as its line, with the line's end."""
    values = record.model_dump(mode="json", exclude_none=True)
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from enumerate(file, start=1)
    except FileNotFoundError as error:
        raise UserError(f"The manifest {path} does not exist.") from error
    except IsADirectoryError as error:
        raise UserError(
            f"{path} is a folder without {MANIFEST_NAME}.", expected="a manifest, or its folder"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file: {error}.", expected="a manifest") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


def _read_header(path: Path, line: str) -> Header:
    expected = 'a first line with {"format": "soundwright-manifest", "version": 1, ...}'
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is no manifest.", expected=expected) from error
    if not isinstance(values, Mapping) or values.get("format") != "soundwright-manifest":
        raise UserError(f"{path} is no manifest.", expected=expected)
    version = values.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UserError(
            f"{path} has manifest version {version}; this Soundwright reads up to {VERSION}.",
            change="Install a newer Soundwright, or write the manifest with this one.",
        )
    try:
        return Header.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(path, 1, Header, error)) from error


def _read_clips(path: Path, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, Clip]]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            clip = Clip.model_validate_json(line)
        except ValidationError as error:
            raise UserError(
                _explain(path, number, Clip, error),
                change="Mend the line, or import the data again.",
            ) from error
        yield number, clip


def _explain(path: Path, number: int, record: type[Record], error: ValidationError) -> str:
    fault = error.errors()[0]
    if fault["type"] == "json_invalid":
        return f"{path}, line {number}: not valid JSON: {fault['msg']}."
    key = ".".join(str(part) for part in fault["loc"])
    where = f"{path}, line {number}, key {key!r}"
    if fault["type"] == "extra_forbidden":
        hint = nearest(key, record.model_fields) if len(fault["loc"]) == 1 else ""
        return f"{where}: unknown. {hint}".rstrip()
    if fault["type"] == "missing":
        return f"{where}: missing."
    return f"{where} is {fault['input']!r}: {fault['msg'].removeprefix('Value error, ')}."
