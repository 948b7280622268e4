"""A folder of recordings, with captions in a CSV, TSV or JSON-lines table or without."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.records import Caption, CaptionKind, Licence, Source
from soundwright.data.clips import Draft, Skip
from soundwright.data.importers.audio_files import AudioFiles
from soundwright.data.importers.reports import Imported, gather
from soundwright.data.importers.tables import TABLE_SUFFIXES, Row, Table, read_table

FILE_NAMES = (
    *("file", "filename", "file_name", "file_path", "filepath", "path", "audio", "audio_path"),
    *("audio_file", "wav", "fname", "location"),
)
CAPTION_NAMES = ("caption", "captions", "text", "description", "prompt", "sentence")
NUMBERED_CAPTION = re.compile(r"(?:caption|text)[_ ]?\d+", re.IGNORECASE)


class Columns(Config):
    """Names of the table's columns; None looks for the usual ones."""

    file: str | None = None
    captions: tuple[str, ...] | None = None
    """One or several; a cell may also hold a JSON list of captions."""
    tags: str | None = None
    split: str | None = None
    licence: str | None = None
    author: str | None = None
    title: str | None = None
    url: str | None = None
    start: str | None = None
    """Where the clip begins in its file, in seconds; only looked for where named."""
    end: str | None = None
    """Where it ends, in seconds; only looked for where named."""


class FolderImportConfig(Config):
    """How to read a folder."""

    dataset: str = ""
    """Name of the data set in clip ids; empty takes the folder's."""
    table: Path | None = None
    """The captions; None takes the one table that lies in the folder, if there is one."""
    columns: Columns = Columns()
    caption_kind: CaptionKind = "human"
    split: str = ""
    """For clips whose row names none."""
    licence: str = "unknown"
    """For clips whose row names none."""
    keep_uncaptioned: bool = False
    """Keep audio files that no row names. Without a table every file is kept."""


def import_folder(
    folder: Path,
    config: FolderImportConfig | None = None,
    *,
    strict: bool = False,
    workers: int = 0,
) -> Imported:
    """Import a folder of recordings.

    Several rows of one file give one clip with several captions.

    Args:
        folder: Searched with its subfolders.
        config: How to read it.
        strict: Stop at a row or file that cannot be used, instead of skipping it.
        workers: Threads that decode.

    Returns:
        The manifest; in the report, `skipped` has rows without a file (`missing`), with an
        ambiguous name, without a caption, malformed rows and bad files, `uncaptioned` the files
        that no row gives a caption, and `unread_columns` those that are named unlike any that is
        looked for.

    Raises:
        UserError: No such folder, table or column, columns but no table, nothing that can be
            imported, or, where `strict`, anything that would be skipped.
    """
    config = config or FolderImportConfig()
    files = AudioFiles(folder)
    dataset = config.dataset or Path(folder).resolve().name
    table_path = config.table or _only_table(files.folder)
    facts: dict[str, Any] = {"importer": "folder", "dataset": dataset}
    if table_path is None:
        if config.columns != Columns():
            raise UserError(
                f"Columns are named, but {folder} holds no table.",
                expected=f"one {', '.join(TABLE_SUFFIXES)} file there",
                change="Name the table, if it lies elsewhere.",
            )
        drafts = [_bare_draft(path, files, dataset, config) for path in files.paths]
        names = [_item(path, files) for path in files.paths]
        return gather(
            drafts, folder, facts=facts, uncaptioned=names, strict=strict, workers=workers
        )
    reader = _TableReader(read_table(table_path), files, dataset, config)
    drafts, skipped = reader.read()
    listed = {draft.path for draft in drafts}
    if config.keep_uncaptioned:
        rest = [path for path in files.paths if path not in listed]
        drafts += [_bare_draft(path, files, dataset, config) for path in rest]
    captioned = {draft.path for draft in drafts if draft.captions}
    return gather(
        [*skipped, *drafts],
        folder,
        facts={**facts, "table": Path(table_path).name},
        uncaptioned=[_item(path, files) for path in files.paths if path not in captioned],
        unread_columns=reader.unread,
        strict=strict,
        workers=workers,
    )


class _TableReader:
    """Turns the rows of one table into drafts."""

    def __init__(
        self, table: Table, files: AudioFiles, dataset: str, config: FolderImportConfig
    ) -> None:
        self.table, self.files, self.dataset, self.config = table, files, dataset, config
        names = config.columns
        file = table.column("file", names.file, FILE_NAMES)
        if file is None:
            raise table.no_column("file", FILE_NAMES[0])
        self.file = file
        self.captions = _caption_columns(table, names.captions)
        self.tags = table.column("tags", names.tags, ("tags", "labels", "label", "keywords"))
        self.split = table.column("split", names.split, ("split", "subset"))
        self.licence = table.column("licence", names.licence, ("licence", "license"))
        self.author = table.column("author", names.author, ("author", "uploader", "artist"))
        self.title = table.column("title", names.title, ("title",))
        self.url = table.column("url", names.url, ("url", "source_url", "sound_link"))
        self.start = table.column("start", names.start, ())
        self.end = table.column("end", names.end, ())

    @property
    def unread(self) -> list[str]:
        """Columns that play no role."""
        read = {self.file, *self.captions, self.tags, self.split, self.licence, self.author}
        read |= {self.title, self.url, self.start, self.end}
        return [name for name in self.table.columns if name not in read]

    def read(self) -> tuple[list[Draft], list[Skip]]:
        drafts: dict[str, Draft] = {}
        skips = list(self.table.bad)
        for row in self.table.rows:
            found = self._read_row(row)
            if isinstance(found, Skip):
                skips.append(found)
                continue
            key = found.source.clip_id
            drafts[key] = _merge(drafts[key], found) if key in drafts else found
        return list(drafts.values()), skips

    def _read_row(self, row: Row) -> Draft | Skip:
        where = row.where
        name = row.text(self.file)
        if not name:
            return Skip(where, "bad-row", f"the cell {self.file!r} is empty")
        path = self.files.find_one(name, where)
        if isinstance(path, Skip):
            return path
        texts = [text for column in self.captions for text in _texts(row, column)]
        if not texts and not self.config.keep_uncaptioned:
            return Skip(where, "no-caption", f"{name!r} has an empty caption")
        try:
            start, end = self._span(row)
        except ValueError as error:
            return Skip(where, "bad-row", str(error))
        return Draft(
            path=path,
            source=Source(
                dataset=self.dataset,
                item=_item(path, self.files),
                url=row.text(self.url),
                start=start,
                end=end,
            ),
            captions=tuple(Caption(text=text, kind=self.config.caption_kind) for text in texts),
            tags=row.items(self.tags),
            licence=self._licence(row),
            split=row.text(self.split) or self.config.split,
            start=start,
            duration=None if end is None else end - start,
        )

    def _span(self, row: Row) -> tuple[float, float | None]:
        start = float(row.text(self.start) or 0)
        end = float(row.text(self.end)) if row.text(self.end) else None
        if start < 0 or (end is not None and end <= start):
            raise ValueError(f"the span from {start} s to {end} s is empty or negative")
        return start, end

    def _licence(self, row: Row) -> Licence:
        name = row.text(self.licence)
        return Licence(
            name=name or self.config.licence,
            author=row.text(self.author),
            title=row.text(self.title),
            url="",
            evidence=f"{self.table.path.name}, column {self.licence!r}" if name else "",
        )


def _caption_columns(table: Table, wanted: Sequence[str] | None) -> tuple[str, ...]:
    if wanted is not None:
        return tuple(table.column("caption", name, ()) or name for name in wanted)
    found = table.column("caption", None, CAPTION_NAMES)
    numbered = tuple(name for name in table.columns if NUMBERED_CAPTION.fullmatch(name))
    if found is None and not numbered:
        raise table.no_column("caption", CAPTION_NAMES[0])
    return numbered if found is None else (found, *numbered)


def _texts(row: Row, column: str) -> list[str]:
    value = row.cells.get(column)
    if isinstance(value, list):
        return [str(text).strip() for text in value if str(text).strip()]
    return [text] if (text := row.text(column)) else []


def _merge(first: Draft, second: Draft) -> Draft:
    """One clip of two rows: captions and tags of both, everything else of the first."""
    values = {name: getattr(first, name) for name in first.__dataclass_fields__}
    values["captions"] = tuple(dict.fromkeys((*first.captions, *second.captions)))
    values["tags"] = tuple(dict.fromkeys((*first.tags, *second.tags)))
    return Draft(**values)


def _bare_draft(path: Path, files: AudioFiles, dataset: str, config: FolderImportConfig) -> Draft:
    return Draft(
        path=path,
        source=Source(dataset=dataset, item=_item(path, files)),
        licence=Licence(name=config.licence),
        split=config.split,
    )


def _item(path: Path, files: AudioFiles) -> str:
    inside = path.is_relative_to(files.folder)
    return (path.relative_to(files.folder) if inside else path).as_posix()


def _only_table(folder: Path) -> Path | None:
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in TABLE_SUFFIXES and path.name != "manifest.jsonl"
    )
    if len(found) > 1:
        raise UserError(
            f"{folder} holds several tables: {', '.join(path.name for path in found)}.",
            change="Name the one with the captions.",
        )
    return found[0] if found else None
