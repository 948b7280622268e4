"""Files of records: a header, then one record a line; whole or absent, equal input, equal bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from soundwright.core.errors import UserError
from soundwright.core.files import open_atomic
from soundwright.core.records import Record
from soundwright.preference.records import Pair, Side

VERSION = 1
PAIRS_NAME = "pairs.jsonl"
REJECTED_NAME = "rejected.jsonl"
ROLLOUTS_NAME = "rollouts.jsonl"
Item = TypeVar("Item", bound=Record)


@dataclass(frozen=True)
class RecordFile(Generic[Item]):
    """What stands in a file of records.

    Args:
        fingerprint: Changes with whatever the records follow from.
        facts: Free JSON values about how they came about.
        items: The records.
        folder: Where their relative paths start.
    """

    fingerprint: str
    facts: Mapping[str, Any]
    items: tuple[Item, ...]
    folder: Path


def write_records(
    path: Path, kind: str, fingerprint: str, facts: Mapping[str, Any], items: Iterable[Record]
) -> None:
    """Write a file of records atomically.

    Args:
        path: The file.
        kind: What the records are, in the plural: captions, pairs ...
        fingerprint: As in `RecordFile`.
        facts: As in `RecordFile`.
        items: The records.

    Raises:
        UserError: The disk is full or cannot be written.
    """
    header = {
        "format": f"soundwright-{kind}",
        "version": VERSION,
        "fingerprint": fingerprint,
        "facts": dict(facts),
    }
    with open_atomic(path) as file:
        file.write(_line(header))
        for item in items:
            file.write(_line(item.model_dump(mode="json", exclude_none=True)))


def read_records(path: Path, kind: str, record: type[Item]) -> RecordFile[Item]:
    """Read a file of records.

    Raises:
        UserError: The file is missing, holds something else or is of a newer version; the message
            names the line.
    """
    lines = _read_lines(path)
    header = _read_header(path, kind, lines[0] if lines else "")
    items = tuple(
        _read_item(path, number, record, line)
        for number, line in enumerate(lines[1:], start=2)
        if line.strip()
    )
    return RecordFile(header["fingerprint"], header["facts"], items, path.parent)


def is_written(path: Path, kind: str, fingerprint: str) -> bool:
    """Whether the file is there already, from the same input.

    Raises:
        UserError: Something else stands under its name.
    """
    if not path.exists():
        return False
    lines = _read_lines(path)
    if _read_header(path, kind, lines[0] if lines else "")["fingerprint"] != fingerprint:
        raise UserError(
            f"{path} was made of something else, or with other settings.",
            change="Choose another --out, or remove the file.",
        )
    return True


def read_pairs(path: Path) -> RecordFile[Pair]:
    """Read pairs: the file, or a folder with `pairs.jsonl`.

    Raises:
        UserError: As `read_records`; or there is no pair, or one stands there twice.
    """
    path = path / PAIRS_NAME if path.is_dir() else path
    found = read_records(path, "pairs", Pair)
    if not found.items:
        raise UserError(f"{path} holds no pair.", change="Make pairs: soundwright prefer pair")
    ids = [pair.id for pair in found.items]
    twice = [one for one, count in Counter(ids).items() if count > 1]
    if twice:
        raise UserError(f"The pair {twice[0]} stands in {path} twice.", expected="one line a pair")
    return found


def sound_path(folder: Path, side: Side) -> Path:
    """The file of a sound of a pair; `folder` is that of the pairs."""
    return folder / side.path


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _read_lines(path: Path) -> list[str]:
    try:
        # A line separator within a string of JSON is no end of line.
        return path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise UserError(f"{path} cannot be read: {reason}.") from error


def _read_header(path: Path, kind: str, line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError:
        values = None
    if not isinstance(values, dict) or values.get("format") != f"soundwright-{kind}":
        raise UserError(
            f"{path} is no file of {kind}.",
            expected=f'a first line with {{"format": "soundwright-{kind}", "version": 1, ...}}',
        )
    version = values.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise UserError(
            f"{path} has version {version}; this Soundwright reads up to {VERSION}.",
            change="Install a newer Soundwright, or make the file with this one.",
        )
    return {"fingerprint": str(values.get("fingerprint", "")), "facts": values.get("facts") or {}}


def _read_item(path: Path, number: int, record: type[Item], line: str) -> Item:
    try:
        return record.model_validate_json(line)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        where = f"{path}, line {number}" + (f", key {key!r}" if key else "")
        raise UserError(
            f"{where}: {fault['msg'].removeprefix('Value error, ')}.",
            change="Mend the line, or make the file again.",
        ) from error
