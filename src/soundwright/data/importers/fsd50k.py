"""FSD50K (Fonseca et al., TASLP 2022): Freesound recordings with labels of AudioSet's ontology."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from soundwright.core.errors import UserError
from soundwright.core.files import read_json
from soundwright.core.records import Licence, Source
from soundwright.data.clips import Draft, Skip
from soundwright.data.importers.audio_files import AudioFiles
from soundwright.data.importers.labels import Labels, read_labels
from soundwright.data.importers.licences import commons_name
from soundwright.data.importers.published_files import (
    choose_tables,
    find_published,
    read_published,
)
from soundwright.data.importers.reports import Imported, gather
from soundwright.data.importers.tables import Row, read_headless

GROUND_TRUTH = "FSD50K.ground_truth"
METADATA = "FSD50K.metadata"
PARTS = ("dev", "eval")
COLUMNS = ("fname", "labels", "mids")
VOCABULARY = "vocabulary.csv"
VOCABULARY_COLUMNS = ("index", "label", "mid")
INFO_KEYS = ("title", "description", "tags", "license", "uploader")
EXPECTED = (
    f"{GROUND_TRUTH}/dev.csv or eval.csv with the columns {', '.join(COLUMNS)} (and split in "
    f"dev.csv), {GROUND_TRUTH}/{VOCABULARY} with rows of {', '.join(VOCABULARY_COLUMNS)}, "
    f"{METADATA}/<dev or eval>_clips_info_FSD50K.json with {', '.join(INFO_KEYS)} by fname, "
    "FSD50K.dev_audio/, FSD50K.eval_audio/"
)


def import_fsd50k(folder: Path, *, strict: bool = False, workers: int = 0) -> Imported:
    """Import FSD50K: its labels as tags, Freesound's licence of each clip.

    Splits are train and val, as dev.csv says, and eval. What the uploader wrote is kept as
    metadata: title, description and keywords; none of it was checked, and no text is made of it.

    Args:
        folder: Where the data set was unpacked.
        strict: Stop at a row or file that cannot be used.
        workers: Threads that decode.

    Returns:
        The manifest; in the report, each clip without audio is skipped as `missing`.

    Raises:
        UserError: Not FSD50K's files, or nothing in them can be read.
    """
    folder = Path(folder)
    tables = [f"{GROUND_TRUTH}/{part}.csv" for part in PARTS]
    paths = choose_tables(None, folder, tables, dataset="FSD50K", expected=EXPECTED)
    vocabulary = find_published(
        f"{GROUND_TRUTH}/{VOCABULARY}", [folder], dataset="FSD50K", expected=EXPECTED
    )
    labels = read_labels(read_headless(vocabulary, VOCABULARY_COLUMNS), name="label")
    files = AudioFiles(folder)
    return gather(
        (found for path in paths for found in _read_part(path, folder, labels, files)),
        folder,
        facts={"importer": "fsd50k", "dataset": "fsd50k"},
        strict=strict,
        workers=workers,
    )


def _read_part(
    path: Path, folder: Path, labels: Labels, files: AudioFiles
) -> Iterator[Draft | Skip]:
    part = path.stem
    name = f"{METADATA}/{part}_clips_info_FSD50K.json"
    info = find_published(name, [folder], dataset="FSD50K", expected=EXPECTED)
    clips = read_json(info)
    if not isinstance(clips, dict):
        raise UserError(f"{info} holds no clips by their fname.", expected=EXPECTED)
    columns = (*COLUMNS, "split") if part == "dev" else COLUMNS
    (table,) = read_published([path], columns)
    yield from table.read(
        partial(_read_clip, part=part, labels=labels, files=files, clips=clips, info=info.name)
    )


def _read_clip(
    row: Row, *, part: str, labels: Labels, files: AudioFiles, clips: dict[str, Any], info: str
) -> Draft | Skip:
    name = row.text("fname")
    tags = labels.read(row.text("mids"))
    about = clips.get(name)
    if not isinstance(about, dict) or not set(INFO_KEYS) <= set(about):
        raise ValueError(f"{info} has no {', '.join(INFO_KEYS)} of {name}")
    own, foreign = (f"FSD50K.{part}_audio",), [f"FSD50K.{other}_audio" for other in PARTS]
    path = files.find_one(f"{name}.wav", row.where, own=own, foreign=foreign)
    if isinstance(path, Skip):
        return path
    return Draft(
        path=path,
        source=Source(dataset="fsd50k", item=name, url=f"https://freesound.org/s/{name}/"),
        tags=tags,
        licence=Licence(
            name=commons_name(str(about["license"])),
            url=str(about["license"]),
            author=str(about["uploader"]),
            title=str(about["title"]),
            evidence=f"{info}, {name}, key 'license'",
        ),
        split=row.text("split") or part,
        metadata={
            "title": str(about["title"]),
            "description": str(about["description"]),
            "keywords": ", ".join(str(tag) for tag in about["tags"]),
        },
    )
