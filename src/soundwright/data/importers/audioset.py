"""AudioSet (Gemmeke et al., ICASSP 2017): ten-second spans of YouTube videos with labels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from soundwright.core.records import Licence
from soundwright.data.importers.labels import Labels, read_labels
from soundwright.data.importers.published_files import (
    choose_tables,
    find_published,
    read_published,
)
from soundwright.data.importers.reports import Imported
from soundwright.data.importers.tables import Row, read_headless
from soundwright.data.importers.video_spans import VideoSpan, import_spans

SUFFIX = "_segments"
TABLES = tuple(f"{split}{SUFFIX}.csv" for split in ("balanced_train", "unbalanced_train", "eval"))
COLUMNS = ("YTID", "start_seconds", "end_seconds", "positive_labels")
VOCABULARY = "class_labels_indices.csv"
VOCABULARY_COLUMNS = ("index", "mid", "display_name")
EXPECTED = (
    f"{' or '.join(TABLES)} with rows of {', '.join(COLUMNS)}; "
    f"{VOCABULARY} with the columns {', '.join(VOCABULARY_COLUMNS)}"
)
LICENCE = Licence(
    name="unknown", evidence="AudioSet licenses its labels (CC-BY 4.0), not the videos' sound"
)


def import_audioset(
    folder: Path, *, table: Path | None = None, strict: bool = False, workers: int = 0
) -> Imported:
    """Import AudioSet's segments with the audio that is at hand; labels become tags.

    Splits are balanced_train, unbalanced_train and eval, after the tables' names.

    Args:
        folder: The audio files, named as `import_spans` says, and the tables.
        table: One table of segments; None takes those in the folder.
        strict: Stop where a segment has no audio, a row or a file is bad.
        workers: Threads that decode.

    Returns:
        The manifest; in the report, each segment without audio is skipped as `missing`.

    Raises:
        UserError: Not AudioSet's files, or no audio that belongs to them.
    """
    paths = choose_tables(table, folder, TABLES, dataset="AudioSet", expected=EXPECTED)
    places = (paths[0].parent, Path(folder))
    vocabulary = find_published(VOCABULARY, places, dataset="AudioSet", expected=EXPECTED)
    (named,) = read_published([vocabulary], VOCABULARY_COLUMNS)
    labels = read_labels(named, name="display_name")
    spans = (
        span
        for path in paths
        for span in read_headless(path, COLUMNS, comment="#").read(
            partial(_read_span, labels=labels, split=path.stem.removesuffix(SUFFIX))
        )
    )
    return import_spans(
        spans, folder, dataset="audioset", licence=LICENCE, strict=strict, workers=workers
    )


def _read_span(row: Row, *, labels: Labels, split: str) -> VideoSpan:
    return VideoSpan(
        where=row.where,
        video=row.text("YTID"),
        start=row.seconds("start_seconds"),
        end=row.seconds("end_seconds"),
        tags=labels.read(row.text("positive_labels")),
        split=split,
    )
