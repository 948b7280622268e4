"""Clotho v2 (Drossos et al., ICASSP 2020): Freesound recordings with five captions each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from soundwright.core.records import Caption, Licence, Source
from soundwright.data.clips import Draft, Skip
from soundwright.data.importers.audio_files import AudioFiles
from soundwright.data.importers.licences import commons_name
from soundwright.data.importers.published_files import (
    choose_tables,
    find_published,
    read_published,
)
from soundwright.data.importers.reports import Imported, gather
from soundwright.data.importers.tables import Row

SPLITS = ("development", "validation", "evaluation")
CAPTIONS = tuple(f"caption_{number}" for number in range(1, 6))
CAPTION_COLUMNS = ("file_name", *CAPTIONS)
METADATA_COLUMNS = (
    *("file_name", "keywords", "sound_id", "sound_link", "start_end_samples", "manufacturer"),
    "license",
)
EXPECTED = (
    f"clotho_captions_<split>.csv with the columns {', '.join(CAPTION_COLUMNS)}, and "
    f"clotho_metadata_<split>.csv with {', '.join(METADATA_COLUMNS)}, of one or several of "
    f"{', '.join(SPLITS)}"
)
SAMPLE_RATE = 44_100
"""At which start_end_samples counts."""
SAMPLES = re.compile(r"\[(\d+), *(\d+)\]")
METADATA_ENCODING = "latin-1"
"""The release writes its captions in UTF-8 and its metadata not."""


def import_clotho(folder: Path, *, strict: bool = False, workers: int = 0) -> Imported:
    """Import Clotho: five captions a clip, its keywords as tags, Freesound's licence of each.

    Splits are development, validation and evaluation, as published; the test split has no
    captions. Where a clip was cut from its recording is its source's span; of recordings that
    were taken as a whole the release does not say it.

    Args:
        folder: The tables, in it or in a subfolder `clotho_csv_files`, and the audio files,
            searched with subfolders.
        strict: Stop at a row or file that cannot be used.
        workers: Threads that decode.

    Returns:
        The manifest; in the report, each clip without audio is skipped as `missing`.

    Raises:
        UserError: Not Clotho's files, or nothing in them can be read.
    """
    files = AudioFiles(folder)
    places = (files.folder / "clotho_csv_files", files.folder)
    place = next(place for place in places if place.is_dir())
    names = [f"clotho_captions_{split}.csv" for split in SPLITS]
    paths = choose_tables(None, place, names, dataset="Clotho", expected=EXPECTED)
    return gather(
        (found for path in paths for found in _read_split(path, files)),
        folder,
        facts={"importer": "clotho", "dataset": "clotho"},
        strict=strict,
        workers=workers,
    )


def _read_split(path: Path, files: AudioFiles) -> Iterator[Draft | Skip]:
    split = path.stem.removeprefix("clotho_captions_")
    name = f"clotho_metadata_{split}.csv"
    beside = find_published(name, [path.parent], dataset="Clotho", expected=EXPECTED)
    (captions,) = read_published([path], CAPTION_COLUMNS)
    (metadata,) = read_published([beside], METADATA_COLUMNS, fallback=METADATA_ENCODING)
    facts = {row.text("file_name"): row for row in metadata.rows}
    yield from metadata.bad
    yield from captions.read(partial(_read_clip, files=files, facts=facts, split=split))


def _read_clip(row: Row, *, files: AudioFiles, facts: dict[str, Row], split: str) -> Draft | Skip:
    name = row.text("file_name")
    path = files.find_one(name, row.where, own=(split,), foreign=SPLITS)
    if isinstance(path, Skip):
        return path
    about = facts.get(name)
    if about is None:
        about, evidence = Row("", 0, {}), f"clotho_metadata_{split}.csv does not name the file"
    else:
        evidence = f"{about.where}, column 'license'"
    start, end = _read_samples(about.text("start_end_samples"))
    texts = (row.text(column) for column in CAPTIONS)
    return Draft(
        path=path,
        source=Source(
            dataset="clotho", item=name, url=about.text("sound_link"), start=start, end=end
        ),
        captions=tuple(Caption(text=text) for text in texts if text),
        tags=about.items("keywords"),
        licence=Licence(
            name=commons_name(about.text("license")),
            url=about.text("license"),
            author=about.text("manufacturer"),
            title=name,
            evidence=evidence,
        ),
        split=split,
        metadata={"freesound_id": about.text("sound_id")},
    )


def _read_samples(cell: str) -> tuple[float, float | None]:
    """Seconds at which the clip begins and ends in its recording; of an empty cell, its whole."""
    match = SAMPLES.fullmatch(cell)
    if match is None:
        return 0.0, None
    return int(match[1]) / SAMPLE_RATE, int(match[2]) / SAMPLE_RATE
