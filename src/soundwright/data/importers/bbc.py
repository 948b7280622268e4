"""BBC Sound Effects: described recordings of the BBC's archive."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from soundwright.core.records import Caption, Licence, Source
from soundwright.data.clips import Draft, Skip
from soundwright.data.importers.audio_files import AudioFiles
from soundwright.data.importers.published_files import choose_tables, read_published
from soundwright.data.importers.reports import Imported, gather
from soundwright.data.importers.tables import Row

TABLE = "BBCSoundEffects.csv"
COLUMNS = ("location", "description", "secs", "category", "CDNumber", "CDName", "tracknum")
EXPECTED = f"{TABLE} with the columns {', '.join(COLUMNS)}, and the files that it names"
ARCHIVE = "https://sound-effects.bbcrewind.co.uk"


def import_bbc(
    folder: Path, *, table: Path | None = None, strict: bool = False, workers: int = 0
) -> Imported:
    """Import BBC Sound Effects: descriptions as captions, the parts of categories as tags.

    Args:
        folder: The audio files, searched with subfolders, and the table.
        table: Where it is, if not in the folder.
        strict: Stop at a row or file that cannot be used.
        workers: Threads that decode.

    Returns:
        The manifest, without splits; in the report, each row without audio is skipped as
        `missing`.

    Raises:
        UserError: Not the BBC's table, or nothing that it names can be read.
    """
    paths = choose_tables(table, folder, [TABLE], dataset="BBC Sound Effects", expected=EXPECTED)
    (rows,) = read_published(paths, COLUMNS, fallback="latin-1")
    return gather(
        rows.read(partial(_read_clip, files=AudioFiles(folder))),
        folder,
        facts={"importer": "bbc", "dataset": "bbc"},
        strict=strict,
        workers=workers,
    )


def _read_clip(row: Row, *, files: AudioFiles) -> Draft | Skip:
    location = row.text("location")
    path = files.find_one(location, row.where)
    if isinstance(path, Skip):
        return path
    if not row.text("description"):
        return Skip(row.where, "no-caption", f"{location!r} has no description")
    item = Path(location).stem
    return Draft(
        path=path,
        source=Source(dataset="bbc", item=item, url=f"{ARCHIVE}/search?q={item}"),
        captions=(Caption(text=row.text("description")),),
        tags=tuple(part.strip() for part in row.text("category").split(":") if part.strip()),
        licence=Licence(
            name="RemArc",
            url=f"{ARCHIVE}/licensing",
            author="BBC",
            evidence="the archive's licensing page: personal, educational and research use",
        ),
        metadata={
            "cd": row.text("CDNumber"),
            "cd_name": row.text("CDName"),
            "track": row.text("tracknum"),
        },
    )
