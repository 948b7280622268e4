"""AudioCaps (Kim et al., NAACL 2019): captions of ten-second spans of YouTube videos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soundwright.core.errors import UserError
from soundwright.core.records import Caption, Licence, Source
from soundwright.data.clips import Draft, Skip
from soundwright.data.importers.audio_files import AudioFiles
from soundwright.data.importers.reports import Imported, gather
from soundwright.data.importers.tables import Row, read_table

SPAN_S = 10.0
TIME_FORMATS: tuple[Callable[[float], str], ...] = (
    lambda seconds: f"{seconds:g}",
    lambda seconds: f"{seconds:.1f}",
    lambda seconds: f"{seconds:.3f}",
    lambda seconds: f"{seconds * 1000:.0f}",
)
"""How downloaders write times into file names."""
LICENCE = Licence(
    name="unknown", evidence="AudioCaps licenses its captions (MIT), not the videos' sound"
)


def import_audiocaps(
    table: Path,
    audio: Path,
    *,
    split: str | None = None,
    strict: bool = False,
    workers: int = 0,
) -> Imported:
    """Import a published AudioCaps table with the audio that is at hand.

    Audio files hold the ten seconds themselves and are named `<youtube_id>`,
    `<youtube_id>_<start>` (in whole seconds, decimals or milliseconds, with or without
    `_<end>`), either of these behind a `Y`, or `<audiocap_id>`. The five rows of a span of val
    and test give one clip with five captions.

    Args:
        table: A CSV with audiocap_id, youtube_id, start_time, caption.
        audio: The folder of audio files, searched with its subfolders.
        split: Name of the split; None takes the table's own name.
        strict: Stop where a row has no audio or a file is bad.
        workers: Threads that decode.

    Returns:
        The manifest; in the report, each span without audio is skipped as `missing`.

    Raises:
        UserError: Not an AudioCaps table, no such folder, or no audio that belongs to the table.
    """
    rows = read_table(table)
    for column in ("audiocap_id", "youtube_id", "start_time", "caption"):
        if column not in rows.columns:
            raise rows.no_column(column, column)
    files = AudioFiles(audio)
    spans: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows.rows:
        spans[row.text("youtube_id"), row.text("start_time")].append(row)
    drafts: list[Draft] = []
    skipped = list(rows.bad)
    for (video, start_text), group in spans.items():
        where = f"{rows.path.name}, line {group[0].number}"
        try:
            start = float(start_text)
        except ValueError:
            skipped.append(Skip(where, "bad-row", f"start_time is {start_text!r}"))
            continue
        found = _find(files, video, start, group)
        if found is None:
            skipped.append(Skip(where, "missing", f"no audio of {video} at {start:g} s"))
        else:
            drafts.append(_draft(found, video, start, group, split or rows.path.stem))
    facts: dict[str, Any] = {"importer": "audiocaps", "dataset": "audiocaps"}
    try:
        return gather(drafts, audio, facts=facts, skipped=skipped, strict=strict, workers=workers)
    except UserError as error:
        if drafts:
            raise
        raise UserError(
            f"None of the {len(spans)} spans of {table} has its audio in {audio}, which holds "
            f"{len(files.paths)} sound files.",
            expected="files named <youtube_id>.wav, <youtube_id>_<start>.wav or Y<youtube_id>.wav",
        ) from error


def _find(files: AudioFiles, video: str, start: float, rows: list[Row]) -> Path | None:
    names: list[str] = []
    for written in TIME_FORMATS:
        span = f"{video}_{written(start)}"
        names += [span, f"{span}_{written(start + SPAN_S)}"]
    names = [prefix + name for name in (*names, video) for prefix in ("", "Y")]
    names += [row.text("audiocap_id") for row in rows]
    # A file that two layouts could mean is taken from the more exact one, which comes first.
    return next((found[0] for name in names if len(found := files.find(name)) == 1), None)


def _draft(path: Path, video: str, start: float, rows: list[Row], split: str) -> Draft:
    return Draft(
        path=path,
        source=Source(
            dataset="audiocaps",
            item=video,
            url=f"https://www.youtube.com/watch?v={video}&t={start:g}",
            start=start,
            end=start + SPAN_S,
        ),
        captions=tuple(Caption(text=row.text("caption")) for row in rows),
        licence=LICENCE,
        split=split,
        metadata={"audiocap_ids": ";".join(row.text("audiocap_id") for row in rows)},
    )
