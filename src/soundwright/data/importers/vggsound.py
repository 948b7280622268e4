"""VGG-Sound (Chen et al., ICASSP 2020): ten-second spans of YouTube videos with one label each."""

from __future__ import annotations

from pathlib import Path

from soundwright.core.records import Licence
from soundwright.data.importers.published_files import choose_tables
from soundwright.data.importers.reports import Imported
from soundwright.data.importers.tables import Row, read_headless
from soundwright.data.importers.video_spans import VideoSpan, import_spans

SPAN_S = 10.0
TABLE = "vggsound.csv"
COLUMNS = ("YouTube id", "start seconds", "label", "split")
SPLITS = ("train", "test")
EXPECTED = f"{TABLE} with rows of {', '.join(COLUMNS)} ({' or '.join(SPLITS)}), without a header"
LICENCE = Licence(
    name="unknown", evidence="VGG-Sound licenses its labels (CC-BY 4.0), not the videos' sound"
)


def import_vggsound(
    folder: Path, *, table: Path | None = None, strict: bool = False, workers: int = 0
) -> Imported:
    """Import VGG-Sound's table with the audio that is at hand; labels become tags.

    Args:
        folder: The audio files, named as `import_spans` says, and the table.
        table: Where it is, if not in the folder.
        strict: Stop where a row has no audio, a row or a file is bad.
        workers: Threads that decode.

    Returns:
        The manifest, with the splits train and test; in the report, each span without audio is
        skipped as `missing`.

    Raises:
        UserError: Not VGG-Sound's table, or no audio that belongs to it.
    """
    (path,) = choose_tables(table, folder, [TABLE], dataset="VGG-Sound", expected=EXPECTED)
    return import_spans(
        read_headless(path, COLUMNS).read(_read_span),
        folder,
        dataset="vggsound",
        licence=LICENCE,
        strict=strict,
        workers=workers,
    )


def _read_span(row: Row) -> VideoSpan:
    split, start = row.text("split"), row.seconds("start seconds")
    if split not in SPLITS:
        raise ValueError(f"the split is {split!r}, not {' or '.join(SPLITS)}")
    return VideoSpan(
        where=row.where,
        video=row.text("YouTube id"),
        start=start,
        end=start + SPAN_S,
        tags=(row.text("label"),),
        split=split,
    )
