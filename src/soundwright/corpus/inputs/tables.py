"""Tables of recordings: one row each, with a file, an address, or both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from soundwright.core.records import Caption, Licence, Location, Source
from soundwright.corpus.failures import Failure
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.files import show_path, sign_file
from soundwright.corpus.records import Media
from soundwright.data.importers.tables import Row, read_table

COLUMNS = ("id", "path", "url", "transcript", "title", "caption", "tags", "licence", "licence_url",
           "author", "duration", "start", "end", "split")  # fmt: skip
"""Of a table; all may be missing but one of id and path."""


def read_rows(given: Input, root: Path) -> Iterator[Media | Failure]:
    """Each row is a recording.

    Raises:
        UserError: The table is missing or has neither `id` nor `path`.
    """
    assert given.table is not None
    table = read_table(root / given.table)
    if "id" not in table.columns and "path" not in table.columns:
        raise table.no_column("id", "id")
    for bad in table.bad:
        yield Failure(
            item=bad.item, stage="ingest", kind="permanent", reason=bad.reason, detail=bad.detail
        )
    for row in table.rows:
        try:
            yield _describe_row(given, root, row)
        except ValueError as error:
            yield Failure(
                item=f"{table.path.name}, line {row.number}",
                stage="ingest",
                kind="permanent",
                reason="bad-row",
                detail=str(error).splitlines()[0],
            )


def _describe_row(given: Input, root: Path, row: Row) -> Media:
    item = row.text("id") or row.text("path")
    if not item:
        raise ValueError("neither id nor path is given")
    source = Source(
        dataset=given.name,
        item=item,
        url=row.text("url") or given.url.format(item=item),
        start=float(row.text("start") or 0),
        end=float(row.text("end")) if row.text("end") else None,
    )
    location = None
    if row.text("path"):
        path = root / (given.folder or Path()) / row.text("path")
        location = Location(path=show_path(path, root), start=source.start)
    licence = given.licence
    if row.text("licence"):
        licence = Licence(
            name=row.text("licence"),
            url=row.text("licence_url"),
            author=row.text("author"),
            title=row.text("title"),
            evidence=f"{given.table}, line {row.number}",
        )
    duration = float(row.text("duration")) if row.text("duration") else None
    if source.end is not None:
        duration = source.end - source.start
    return Media(
        id=source.clip_id,
        source=source,
        location=location,
        signature=sign_file(root / location.path) if location else "",
        transcripts=tuple(
            show_path(root / (given.folder or Path()) / one, root)
            for one in row.items("transcript")
        ),
        duration=duration,
        captions=(Caption(text=row.text("caption")),) if row.text("caption") else (),
        tags=row.items("tags"),
        licence=licence,
        split=row.text("split"),
        metadata={"title": row.text("title")} if row.text("title") else {},
    )
