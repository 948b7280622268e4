"""Tables: CSV, TSV and JSON lines, read into named cells."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from soundwright.core.errors import UserError, nearest
from soundwright.data.clips import Skip

T = TypeVar("T")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Row:
    """One row; `table` is the file's name and `number` its line there, for messages."""

    table: str
    number: int
    cells: dict[str, Any]

    @property
    def where(self) -> str:
        """The row as a person would look for it."""
        return f"{self.table}, line {self.number}"

    def text(self, column: str | None) -> str:
        """A cell as stripped text; empty where there is no such column or cell."""
        value = self.cells.get(column) if column else None
        return "" if value is None else str(value).strip()

    def seconds(self, column: str) -> float:
        """A cell as a number.

        Raises:
            ValueError: It is none.
        """
        try:
            return float(self.text(column))
        except ValueError as error:
            raise ValueError(f"{column} is {self.text(column)!r}, not a number") from error

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

    def require(self, *columns: str) -> None:
        """Check that this is the table of a data set.

        Raises:
            UserError: A column is missing; names what was expected and what is there.
        """
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise UserError(
                f"{self.path} has no column {missing[0]!r}; it has {', '.join(self.columns)}.",
                expected="the columns " + ", ".join(columns),
                change="Give the table as the data set's authors publish it.",
            )

    def read(self, read_row: Callable[[Row], T]) -> Iterator[T | Skip]:
        """Read row after row.

        Rows that do not fit the header, and those of which `read_row` says with a ValueError that
        they cannot be used, come as a `Skip` with the reason `bad-row`.
        """
        yield from self.bad
        for row in self.rows:
            try:
                found: T | Skip = read_row(row)
            except ValueError as error:
                found = Skip(row.where, "bad-row", str(error))
            yield found

    def no_column(self, role: str, wanted: str) -> UserError:
        """The error for a column that is not there: names those that are."""
        return UserError(
            f"{self.path} has no {role} column {wanted!r}; {nearest(wanted, self.columns)}",
            expected="a column of this table: " + ", ".join(self.columns),
            change=f"Name the {role} column.",
        )


def read_table(path: Path, *, fallback: str | None = None) -> Table:
    """Read a table with a header by its suffix: .csv, .tsv, .jsonl or .ndjson.

    A .csv whose header holds more semicolons or tabs than commas is split at those.

    Args:
        path: The file, in UTF-8.
        fallback: Encoding of a file that is not UTF-8; None refuses it.

    Raises:
        UserError: The file is missing, is not text, has no rows or another suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise UserError(f"{path} is no table.", expected="a file in " + ", ".join(TABLE_SUFFIXES))
    text = _read_text(path, fallback)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        columns, rows, bad = _read_json_lines(path, text)
    else:
        header = text.partition("\n")[0]
        delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
        lines = _read_csv(path, text, delimiter=delimiter)
        columns = [name.strip() for name in next(lines, (0, []))[1]]
        rows, bad = _name_cells(path, lines, columns, delimiter)
    if not rows and not bad:
        raise UserError(f"The table {path} has no rows.", expected="a header and rows below it")
    return Table(path, tuple(columns), tuple(rows), tuple(bad))


def read_headless(path: Path, columns: Sequence[str], *, comment: str = "") -> Table:
    """Read a CSV that does not name its columns; spaces after its commas are left out.

    Args:
        path: The file, in UTF-8.
        columns: What its columns are.
        comment: Lines at its beginning that start with this are passed over.

    Raises:
        UserError: The file is missing, is not text, or no row has as many cells.
    """
    path = Path(path)
    text, passed = _read_text(path), 0
    while comment and text.startswith(comment):
        text, passed = text.partition("\n")[2], passed + 1
    lines = _read_csv(path, text, delimiter=",", passed=passed, skip_spaces=True)
    rows, bad = _name_cells(path, lines, columns, ",", header="the table")
    if not rows:
        found = bad[0].detail if bad else "no rows"
        raise UserError(
            f"{path} is another table than expected: {found}.",
            expected="rows of " + ", ".join(columns) + ", without a header",
        )
    return Table(path, tuple(columns), tuple(rows), tuple(bad))


def read_python_list(cell: str) -> tuple[str, ...]:
    """The items of a cell that holds a list as Python writes it; none of an empty cell.

    Raises:
        ValueError: It holds something else.
    """
    try:
        items = ast.literal_eval(cell or "[]")
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{cell!r} is not a list") from error
    if not isinstance(items, list):
        raise ValueError(f"{cell!r} is not a list")
    return tuple(str(item).strip() for item in items if str(item).strip())


def _read_text(path: Path, fallback: str | None = None) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"The table {path} cannot be read: {error.strerror or error}.") from error
    try:
        # Excel writes a byte-order mark, which "utf-8-sig" takes off.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if fallback is not None:
            return content.decode(fallback)
        raise UserError(f"{path} is not UTF-8 text.", change="Save it as UTF-8.") from error


def _read_csv(
    path: Path, text: str, *, delimiter: str, passed: int = 0, skip_spaces: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that is not empty, after `passed` lines of a comment."""
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=skip_spaces)
    try:
        for cells in reader:
            if any(cells):
                yield passed + reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"{path}, line {passed + reader.line_num}: {error}.") from error


def _name_cells(
    path: Path,
    lines: Iterable[tuple[int, list[str]]],
    columns: Sequence[str],
    delimiter: str,
    header: str = "the header",
) -> tuple[list[Row], list[Skip]]:
    rows: list[Row] = []
    bad: list[Skip] = []
    for number, cells in lines:
        if len(cells) == len(columns):
            rows.append(Row(path.name, number, dict(zip(columns, cells, strict=True))))
            continue
        detail = f"{len(cells)} cells, but {header} has {len(columns)}"
        if len(cells) > len(columns):
            detail += f'; a text that holds "{delimiter}" needs quotes around it'
        bad.append(Skip(_where(path, number), "bad-row", detail))
    return rows, bad


def _where(path: Path, number: int) -> str:
    return f"{path.name}, line {number}"


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
            bad.append(Skip(_where(path, number), "bad-row", f"not JSON: {error}"))
            continue
        if not isinstance(cells, dict):
            bad.append(Skip(_where(path, number), "bad-row", "not a JSON object"))
            continue
        columns.update(dict.fromkeys(cells))
        rows.append(Row(path.name, number, cells))
    return list(columns), rows, bad
