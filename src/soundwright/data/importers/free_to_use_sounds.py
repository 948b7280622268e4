"""Free To Use Sounds: a bundle of field recordings whose file names describe them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.core.records import Caption, Licence, Source
from soundwright.data.clips import Draft, Skip
from soundwright.data.importers.audio_files import AudioFiles
from soundwright.data.importers.published_files import wrong_layout
from soundwright.data.importers.reports import Imported, gather
from soundwright.data.importers.tables import Row, Table, read_table

DATASET = "free-to-use-sounds"
FILE_NAMES = ("filename", "file name", "file_name", "file")
DESCRIPTION_NAMES = ("description", "caption")
TAG_NAMES = ("keywords", "tags", "category")
VENDOR = re.compile(r"\b(?:free\s?to\s?use\s?sounds|ftus)\b", re.IGNORECASE)
NUMBERING = re.compile(r"^\d{1,3}[\s.-]+|[\s-]+\d{1,4}$")
"""Of a track, of a take."""
EXPECTED = "folders of sound files that are named after what they hold"
LICENCE = Licence(
    name="Free-To-Use-Sounds",
    url="https://www.freetousesounds.com/license-agreement",
    author="Free To Use Sounds",
    evidence="the vendor's licence agreement with who bought the bundle",
)


def import_free_to_use_sounds(
    folder: Path, *, table: Path | None = None, strict: bool = False, workers: int = 0
) -> Imported:
    """Import the bundle: what file names say, or a metadata sheet, becomes the caption.

    The vendor publishes no description of the layout: file names are what others that trained
    on the bundle used. A sheet has the columns Filename and Description, and Keywords or
    Category, which become tags; a file that it does not name is captioned by its own name.

    Args:
        folder: The bundle, searched with its subfolders.
        table: The metadata sheet as CSV or TSV; None uses none.
        strict: Stop at a row or file that cannot be used.
        workers: Threads that decode.

    Returns:
        The manifest, without splits; the pack that a file lies in is in its metadata.

    Raises:
        UserError: No sound files, or a sheet without those columns.
    """
    files = AudioFiles(folder)
    if not files.paths:
        raise wrong_layout("the Free To Use Sounds bundle", folder, EXPECTED)
    sheet = [] if table is None else list(_read_sheet(read_table(table), files))
    named = {found.path for found in sheet if isinstance(found, Draft)}
    rest = (
        _draft(path, files, describe_file_name(path.stem))
        for path in files.paths
        if path not in named
    )
    facts = {"importer": "free-to-use-sounds", "dataset": DATASET}
    return gather([*sheet, *rest], folder, facts=facts, strict=strict, workers=workers)


def describe_file_name(stem: str) -> str:
    """What a file is named after: its name without the vendor's, track and take numbers.

    Empty where that leaves no word.
    """
    words = VENDOR.sub(" ", stem.replace("_", " "))
    parts = (" ".join(part.split()) for part in words.split(" - "))
    text = " ".join(part for part in parts if part)
    text = NUMBERING.sub("", text).strip(" -")
    return text if any(letter.isalpha() for letter in text) else ""


def _read_sheet(sheet: Table, files: AudioFiles) -> Iterator[Draft | Skip]:
    file = sheet.column("file", None, FILE_NAMES)
    description = sheet.column("description", None, DESCRIPTION_NAMES)
    if file is None or description is None:
        raise UserError(
            f"{sheet.path} is no metadata sheet: it has {', '.join(sheet.columns)}.",
            expected="the columns Filename and Description",
        )
    tags = sheet.column("tags", None, TAG_NAMES)

    def read_row(row: Row) -> Draft | Skip:
        path = files.find_one(row.text(file), row.where)
        if isinstance(path, Skip):
            return path
        text = row.text(description) or describe_file_name(path.stem)
        return _draft(path, files, text, row.items(tags))

    return sheet.read(read_row)


def _draft(path: Path, files: AudioFiles, text: str, tags: tuple[str, ...] = ()) -> Draft:
    inside = path.relative_to(files.folder)
    return Draft(
        path=path,
        source=Source(dataset=DATASET, item=inside.as_posix()),
        captions=(Caption(text=text),) if text else (),
        tags=tags,
        licence=LICENCE,
        metadata={"pack": inside.parent.as_posix()},
    )
