"""MusicCaps (Agostinelli et al., 2023): musicians' captions of ten seconds of YouTube videos."""

from __future__ import annotations

from pathlib import Path

from soundwright.core.records import Caption, Licence
from soundwright.data.importers.published_files import choose_tables, read_published
from soundwright.data.importers.reports import Imported
from soundwright.data.importers.tables import Row, read_python_list
from soundwright.data.importers.video_spans import VideoSpan, import_spans

TABLE = "musiccaps-public.csv"
COLUMNS = (
    *("ytid", "start_s", "end_s", "audioset_positive_labels", "aspect_list", "caption"),
    *("author_id", "is_balanced_subset", "is_audioset_eval"),
)
SPLITS = {"True": "eval-balanced", "False": "eval-unbalanced"}
EXPECTED = f"{TABLE} with the columns {', '.join(COLUMNS)}"
LICENCE = Licence(
    name="unknown", evidence="MusicCaps licenses its captions (CC-BY-SA 4.0), not the videos' sound"
)


def import_musiccaps(
    folder: Path, *, table: Path | None = None, strict: bool = False, workers: int = 0
) -> Imported:
    """Import MusicCaps with the audio that is at hand; aspects become tags.

    The data set is a benchmark, so both of its splits are named as such, and a recipe that trains
    on "train" takes none of it. The 1,000 clips that are balanced by genre (column
    is_balanced_subset) are "eval-balanced", all others "eval-unbalanced". The RR paper (section
    4.1) reports "the unbalanced subset", as MusicGen's does: that is the second split. Who reads
    these words as all 5,521 clips evaluates against the manifest without choosing a split. Which
    part of AudioSet a clip is from says the metadata `audioset_eval`.

    Args:
        folder: The audio files, named as `import_spans` says or `[<ytid>]-[<start>-<end>]`, and
            the table.
        table: Where it is, if not in the folder.
        strict: Stop where a row has no audio, a row or a file is bad.
        workers: Threads that decode.

    Returns:
        The manifest; in the report, each span without audio is skipped as `missing`.

    Raises:
        UserError: Not MusicCaps's table, or no audio that belongs to it.
    """
    paths = choose_tables(table, folder, [TABLE], dataset="MusicCaps", expected=EXPECTED)
    (rows,) = read_published(paths, COLUMNS)
    return import_spans(
        rows.read(_read_span),
        folder,
        dataset="musiccaps",
        licence=LICENCE,
        strict=strict,
        workers=workers,
    )


def _read_span(row: Row) -> VideoSpan:
    video, start, end = row.text("ytid"), row.seconds("start_s"), row.seconds("end_s")
    balanced = row.text("is_balanced_subset")
    if balanced not in SPLITS:
        raise ValueError(f"is_balanced_subset is {balanced!r}, not True or False")
    return VideoSpan(
        where=row.where,
        video=video,
        start=start,
        end=end,
        names=(f"[{video}]-[{start:g}-{end:g}]",),
        captions=(Caption(text=row.text("caption")),),
        tags=read_python_list(row.text("aspect_list")),
        split=SPLITS[balanced],
        metadata={
            "audioset_eval": row.text("is_audioset_eval") == "True",
            "audioset_labels": row.text("audioset_positive_labels"),
            "author": row.text("author_id"),
        },
    )
