"""AudioCaps (Kim et al., NAACL 2019): captions of ten-second spans of YouTube videos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from soundwright.core.records import Caption, Licence
from soundwright.data.clips import Skip
from soundwright.data.importers.published_files import choose_tables, read_published
from soundwright.data.importers.reports import Imported
from soundwright.data.importers.tables import Row, Table
from soundwright.data.importers.video_spans import VideoSpan, import_spans

SPAN_S = 10.0
TABLES = ("train.csv", "val.csv", "test.csv")
COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
EXPECTED = f"{', '.join(TABLES)} with the columns {', '.join(COLUMNS)}"
LICENCE = Licence(
    name="unknown", evidence="AudioCaps licenses its captions (MIT), not the videos' sound"
)


def import_audiocaps(
    folder: Path,
    *,
    table: Path | None = None,
    split: str | None = None,
    strict: bool = False,
    workers: int = 0,
) -> Imported:
    """Import the published AudioCaps tables with the audio that is at hand.

    Audio files are named as `import_spans` says, or `<audiocap_id>`. The five rows of a span of
    val and test give one clip with five captions.

    Args:
        folder: The audio files, and the tables where none is named.
        table: One CSV with audiocap_id, youtube_id, start_time, caption.
        split: Name of the split; None takes each table's own name.
        strict: Stop where a row has no audio or a file is bad.
        workers: Threads that decode.

    Returns:
        The manifest; in the report, each span without audio is skipped as `missing`.

    Raises:
        UserError: No AudioCaps table, no such folder, or no audio that belongs to a table.
    """
    paths = choose_tables(table, folder, TABLES, dataset="AudioCaps", expected=EXPECTED)
    spans = (
        span
        for one in read_published(paths, COLUMNS)
        for span in _read_spans(one, split or one.path.stem)
    )
    return import_spans(
        spans, folder, dataset="audiocaps", licence=LICENCE, strict=strict, workers=workers
    )


def _read_spans(table: Table, split: str) -> Iterator[VideoSpan | Skip]:
    yield from table.bad
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in table.rows:
        groups[row.text("youtube_id"), row.text("start_time")].append(row)
    for (video, _), rows in groups.items():
        first, ids = rows[0], tuple(row.text("audiocap_id") for row in rows)
        try:
            yield VideoSpan(
                where=first.where,
                video=video,
                start=first.seconds("start_time"),
                end=first.seconds("start_time") + SPAN_S,
                names=ids,
                captions=tuple(Caption(text=row.text("caption")) for row in rows),
                split=split,
                metadata={"audiocap_ids": ";".join(ids)},
            )
        except ValueError as error:
            yield Skip(first.where, "bad-row", str(error))
