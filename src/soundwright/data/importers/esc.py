"""ESC-50 and ESC-10 (Piczak, ACM Multimedia 2015): environmental sounds with one label each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from soundwright.core.records import Caption, Licence, Source
from soundwright.data.clips import Draft, Skip
from soundwright.data.importers.audio_files import AudioFiles
from soundwright.data.importers.published_files import wrong_layout
from soundwright.data.importers.reports import Imported, gather
from soundwright.data.importers.tables import Row, read_table

Captioner = Callable[[str], tuple[Caption, ...]]
"""Captions for a label, such as "dog bark"."""

COLUMNS = ("filename", "fold", "category", "esc10")
CREDITED_COLUMNS = ("file", "fold", "label", "licence")
EXPECTED = (
    f"meta/esc50.csv with the columns {', '.join(COLUMNS)}, audio/ and LICENSE, or metadata.csv "
    f"with {', '.join(CREDITED_COLUMNS)}"
)
LICENCE_LINE = re.compile(
    r"- \[(?P<file>[^\]]+)\]:\s+clip derived from (?P<title>.*) "
    r"\((?P<url>https?://\S+)\) by (?P<author>.*) \[(?P<licence>[^\]]+)\]"
)
"""A clip's line in the LICENSE file of ESC-50."""


def import_esc(
    folder: Path,
    *,
    subset: Literal["esc10", "esc50"] = "esc50",
    caption: Captioner | None = None,
    strict: bool = False,
    workers: int = 0,
) -> Imported:
    """Import ESC-50, its subset ESC-10, or a folder with the credited ESC-10 table.

    Two layouts are known: the published one (`meta/esc50.csv`, `audio/`, `LICENSE`), and one
    table `metadata.csv` with file, fold, label, title, author, source_url, licence, licence_url.
    A clip has the same id in both. Folds become the splits "fold1" to "fold5", labels the tags.

    Args:
        folder: The data set.
        subset: "esc10" takes only the ten classes of ESC-10.
        caption: Makes captions from a label; by default the label itself is the caption.
        strict: Stop at a row or file that cannot be used.
        workers: Threads that decode.

    Raises:
        UserError: The folder has neither layout, or nothing in it can be read.
    """
    folder = Path(folder)
    files = AudioFiles(folder)
    published, credited = folder / "meta" / "esc50.csv", folder / "metadata.csv"
    if published.is_file():
        table = read_table(published)
        table.require(*COLUMNS)
        licences = _read_licences(folder / "LICENSE", subset)
    elif credited.is_file():
        table, licences = read_table(credited), {}
        table.require(*CREDITED_COLUMNS)
    else:
        raise wrong_layout("ESC-50", folder, EXPECTED)
    if subset == "esc10":
        rows = tuple(row for row in table.rows if row.cells.get("esc10", "True") == "True")
        table = replace(table, rows=rows)
    found = table.read(partial(_read_clip, files=files, licences=licences, caption=caption))
    facts: dict[str, Any] = {"importer": "esc", "dataset": subset}
    return gather(found, folder, facts=facts, strict=strict, workers=workers)


def _read_clip(
    row: Row, *, files: AudioFiles, licences: dict[str, Licence], caption: Captioner | None
) -> Draft | Skip:
    path = files.find_one(row.text("file") or row.text("filename"), row.where)
    if isinstance(path, Skip):
        return path
    label = (row.text("label") or row.text("category")).replace("_", " ")
    if "licence" in row.cells:
        licence = Licence(
            name=row.text("licence") or "unknown",
            url=row.text("licence_url"),
            author=row.text("author"),
            title=row.text("title"),
            evidence=row.where,
        )
    else:
        licence = licences.get(path.stem, licences[""])
    return Draft(
        path=path,
        source=Source(dataset="esc50", item=path.stem, url=row.text("source_url")),
        captions=caption(label) if caption else (Caption(text=label, kind="template"),),
        tags=(label,),
        licence=licence,
        split=f"fold{row.text('fold')}",
    )


def _read_licences(path: Path, subset: str) -> dict[str, Licence]:
    """Licence by file stem; under "" that of the whole, for clips that the file does not name."""
    whole = (
        Licence(
            name="CC-BY",
            url="https://creativecommons.org/licenses/by/3.0/",
            evidence="the publication's statement on the ESC-10 subset",
        )
        if subset == "esc10"
        else Licence(
            name="CC-BY-NC",
            url="https://creativecommons.org/licenses/by-nc/3.0/",
            evidence="the publication's statement on ESC-50 as a whole",
        )
    )
    found = {"": whole}
    if not path.is_file():
        return found
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if match := LICENCE_LINE.match(line):
            found[Path(match["file"]).stem] = Licence(
                name=match["licence"],
                author=match["author"],
                title=match["title"],
                evidence=f"LICENSE, line {number}: derived from {match['url']}",
            )
    return found
