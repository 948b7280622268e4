"""Tables with a header: CSV, TSV and JSON lines, read into named cells."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundwright.core.errors import UserError, nearest
from soundwright.data.clips import Skip

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Row:
    """One row; `number` is its line in the file, for messages."""

    number: int
    cells: dict[str, Any]

    def text(self, column: str | None) -> str:
        """A cell as stripped text; empty where there is no such column or cell."""
        value = self.cells.get(column) if column else None
        return "" if value is None else str(value).strip()

    def items(self, column: str | None) -> tuple[str, ...]:
        """A cell that holds a list: of JSON, or separated by ";" or "|", or else by ","."""
        value = self.cells.get(column) if column else None
        if isinstance(value, list):
            parts = [str(part) for part in value]
        else:
            text = "" if value is None else str(value)
            parts = re.split(r"[;|]", text) if re.search(r"[;|]", text) else text.split(",")
        return tuple(part.strip() for part in parts if part.strip())


@dataclass(frozen=True)
class Table:
    """A table as read from `path`."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    bad: tuple[Skip, ...]
    """Rows that do not fit the header."""

    def column(self, role: str, wanted: str | None, defaults: Sequence[str]) -> str | None:
        """The column that plays `role`.

        Args:
            role: For messages, such as "caption".
            wanted: A name chosen by the user, or None.
            defaults: Names tried in this order, without regard to case, where none is chosen.

        Returns:
            The name as it is written in the file; None where no default is there.

        Raises:
            UserError: The chosen column is not there.
        """
        if wanted is not None:
            if wanted not in self.columns:
                raise self.no_column(role, wanted)
            return wanted
        lowered = {column.lower(): column for column in reversed(self.columns)}
        return next((lowered[name] for name in defaults if name in lowered), None)

    def no_column(self, role: str, wanted: str) -> UserError:
        """The error for a column that is not there: names those that are."""
        return UserError(
            f"{self.path} has no {role} column {wanted!r}; {nearest(wanted, self.columns)}",
            expected="a column of this table: " + ", ".join(self.columns),
            change=f"Name the {role} column.",
        )


def read_table(path: Path) -> Table:
    """Read a table by its suffix: .csv, .tsv, .jsonl or .ndjson.

    A .csv whose header holds more semicolons or tabs than commas is split at those.

    Raises:
        UserError: The file is missing, is not text, has no rows or another suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise UserError(f"{path} is no table.", expected="a file in " + ", ".join(TABLE_SUFFIXES))
    try:
        # Excel writes a byte-order mark, which "utf-8-sig" takes off.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text.", change="Save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"The table {path} cannot be read: {error.strerror or error}.") from error
    is_json = path.suffix.lower() in (".jsonl", ".ndjson")
    columns, rows, bad = _read_json_lines(path, text) if is_json else _read_csv(path, text)
    if not rows and not bad:
        raise UserError(f"The table {path} has no rows.", expected="a header and rows below it")
    return Table(path, tuple(columns), tuple(rows), tuple(bad))


def _read_csv(path: Path, text: str) -> tuple[list[str], list[Row], list[Skip]]:
    header = text.partition("\n")[0]
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[Row] = []
    bad: list[Skip] = []
    try:
        columns = [name.strip() for name in next(reader, [])]
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) == len(columns):
                rows.append(Row(reader.line_num, dict(zip(columns, cells, strict=True))))
                continue
            detail = f"{len(cells)} cells, but the header has {len(columns)}"
            if len(cells) > len(columns):
                detail += f'; a text that holds "{delimiter}" needs quotes around it'
            bad.append(Skip(f"{path.name}, line {reader.line_num}", "bad-row", detail))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}.") from error
    return columns, rows, bad


def _read_json_lines(path: Path, text: str) -> tuple[list[str], list[Row], list[Skip]]:
    columns: dict[str, None] = {}
    rows: list[Row] = []
    bad: list[Skip] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except json.JSONDecodeError as error:
            bad.append(Skip(f"{path.name}, line {number}", "bad-row", f"not JSON: {error}"))
            continue
        if not isinstance(cells, dict):
            bad.append(Skip(f"{path.name}, line {number}", "bad-row", "not a JSON object"))
            continue
        columns.update(dict.fromkeys(cells))
        rows.append(Row(number, cells))
    return list(columns), rows, bad
