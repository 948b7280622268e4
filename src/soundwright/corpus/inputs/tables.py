"""Tables of recordings: one row each, with a file, an address, or both."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soundwright.core.errors import UserError, nearest
from soundwright.core.records import Caption, Location, Source
from soundwright.corpus.failures import Failure
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.files import find_by_stem, show_path, sign_file, sign_files
from soundwright.corpus.inputs.licences import closer_licence
from soundwright.corpus.inputs.refusing import refuse
from soundwright.corpus.records import Media
from soundwright.data.importers.tables import Row, Table, read_table

COLUMNS = ("id", "path", "url", "transcript", "title", "caption", "tags", "licence", "licence_url",
           "author", "duration", "start", "end", "split")  # fmt: skip
"""Of a table; all may be missing but one of id and path. Further ones are passed over."""
OTHER_NAMES = {
    "path": ("file", "filename", "file_name"),
    "licence": ("license",),
    "licence_url": ("license_url",),
}
"""What columns may also be called."""
MISSPELT = 0.82
"""Likeness from which a further column is rather one of these with a mistake in its name: `lisence`
and `captions` are, `state` is not."""


def read_rows(given: Input, root: Path) -> Iterator[Media | Failure]:
    """Each row is a recording.

    Raises:
        UserError: The table is missing, has neither `id` nor `path`, a misspelt column, or no row
            that can be used.
    """
    reader = _open(given, root)
    table = reader.table
    problem, found = "", False
    for bad in table.bad:
        problem = problem or f"{bad.item}: {bad.detail}"
        yield refuse(bad.item, bad.reason, bad.detail)
    for row in table.rows:
        try:
            media = reader.describe(row)
        except ValueError as error:
            detail = str(error).splitlines()[0]
            problem = problem or f"{row.where}: {detail}"
            yield refuse(row.where, "bad-row", detail)
        else:
            found = True
            yield media
    if not found:
        raise UserError(
            f"{table.path} has no row that can be used; {problem}.",
            expected="rows with `path`, or with `url`, or with `id` and the input's `url` or "
            "`folder`",
        )


def list_rows(given: Input, root: Path) -> Iterator[tuple[str, str]]:
    """The table and the files of its rows, with their sizes and times of change.

    Raises:
        UserError: As `read_rows`.
    """
    reader = _open(given, root)
    yield str(given.table), sign_file(reader.table.path)
    for row in reader.table.rows:
        media, transcripts = reader.find_file(row), reader.find_transcripts(row)
        yield f"{row.number} {media}", sign_files(media, transcripts)


def _open(given: Input, root: Path) -> _Reader:
    assert given.table is not None
    table = read_table(root / given.table)
    columns = {
        name: table.column(name, None, (name, *OTHER_NAMES.get(name, ()))) for name in COLUMNS
    }
    _refuse_misspelt(table, columns)
    if columns["id"] is None and columns["path"] is None:
        raise table.no_column("id", "id")
    files: dict[str, Path] = {}
    if given.folder is not None and columns["path"] is None:
        files = find_by_stem(root / given.folder, root)
    return _Reader(given, root, table, columns, files)


def _refuse_misspelt(table: Table, columns: dict[str, str | None]) -> None:
    free = [name for name, there in columns.items() if there is None]
    for column in table.columns:
        likely = difflib.get_close_matches(column.lower(), free, n=1, cutoff=MISSPELT)
        if likely and column not in columns.values():
            raise UserError(
                f"{table.path} has a column {column!r}, which is not known; "
                f"{nearest(column.lower(), likely)}",
                expected="the columns " + ", ".join(COLUMNS) + ", or others unlike them",
                change="Rename the column, or remove it.",
            )


@dataclass(frozen=True)
class _Reader:
    """Turns the rows of one table into recordings."""

    given: Input
    root: Path
    table: Table
    columns: dict[str, str | None]
    """What each of `COLUMNS` is called here."""
    files: dict[str, Path]
    """By their names without the suffix, where a table without `path` has a folder."""

    def describe(self, row: Row) -> Media:
        """The recording of a row.

        Raises:
            ValueError: The row cannot be used.
        """
        item = self._text(row, "id") or self._text(row, "path")
        if not item:
            raise ValueError("neither id nor path is given")
        start, end = self._span(row)
        source = Source(
            dataset=self.given.name(self.root),
            item=item,
            url=self._text(row, "url") or self.given.url.format(item=item),
            start=start,
            end=end,
        )
        file, transcripts = self.find_file(row), self.find_transcripts(row)
        if file is None and not source.url:
            raise ValueError(f"{item} has neither a file nor an address: path and url are empty")
        caption, title = self._text(row, "caption"), self._text(row, "title")
        return Media(
            id=source.clip_id,
            source=source,
            location=Location(path=show_path(file, self.root), start=start) if file else None,
            signature=sign_files(file, transcripts),
            transcripts=tuple(show_path(one, self.root) for one in transcripts),
            duration=self._seconds(row, "duration") if end is None else end - start,
            captions=(Caption(text=caption),) if caption else (),
            tags=row.items(self.columns["tags"]),
            licence=closer_licence(
                self.given.licence,
                evidence=f"{self.given.table}, line {row.number}",
                name=self._text(row, "licence"),
                url=self._text(row, "licence_url"),
                author=self._text(row, "author"),
                title=title,
            ),
            split=self._text(row, "split"),
            metadata={"title": title} if title else {},
        )

    def find_file(self, row: Row) -> Path | None:
        """Where the row's sound is said to be, or the file of the folder that has its name."""
        path = self._text(row, "path")
        return self._place(path) if path else self.files.get(self._text(row, "id"))

    def find_transcripts(self, row: Row) -> tuple[Path, ...]:
        """Where the row's transcripts are said to be."""
        return tuple(self._place(one) for one in row.items(self.columns["transcript"]))

    def _place(self, path: str) -> Path:
        return self.root / (self.given.folder or Path()) / path

    def _text(self, row: Row, name: str) -> str:
        return row.text(self.columns[name])

    def _span(self, row: Row) -> tuple[float, float | None]:
        start, end = self._seconds(row, "start") or 0.0, self._seconds(row, "end")
        if end is not None and end <= start:
            raise ValueError(f"the end {end:g} lies not after the start {start:g}")
        return start, end

    def _seconds(self, row: Row, name: str) -> float | None:
        column = self.columns[name]
        if column is None or not row.text(column):
            return None
        found = row.seconds(column)
        if not 0 <= found < math.inf:
            raise ValueError(f"{name} is {row.text(column)}, not seconds from 0 on")
        return found
