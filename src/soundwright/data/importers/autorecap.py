"""AutoReCap (Haji-Ali et al., 2024): intervals of YouTube videos with captions by AutoCap."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from soundwright.core.errors import UserError
from soundwright.core.records import Caption, Licence
from soundwright.data.clips import Skip
from soundwright.data.importers.published_files import wrong_layout
from soundwright.data.importers.reports import Imported
from soundwright.data.importers.video_spans import VideoSpan, import_spans

DATASET = "autorecap"
SUFFIXES = (".json", ".jsonl")
JUDGED = 100
"""A file whose first so many intervals are all faults is no manifest."""
EXPECTED = (
    'a manifest with a line for each video: {"<youtube id>": {"intervals": [{"start": ..., '
    '"end": ..., "text": ..., "CLAP_SIM": ...}]}},'
)
LICENCE = Licence(
    name="unknown",
    evidence="AutoReCap's manifests state no licence, neither of captions nor of the videos' sound",
)


@dataclass(frozen=True)
class Interval:
    """A stretch of a video, as a manifest has it."""

    where: str
    """Its place in the manifest, as a person would look for it."""
    video: str
    """The id on YouTube."""
    number: int
    """Which of the line's intervals it is, from 0: by this the authors' downloader names files."""
    start: float
    """Seconds."""
    end: float
    text: str
    """The caption; empty in manifests of raw intervals."""
    clap: float | None
    """How similar CLAP finds sound and caption."""


def import_autorecap(
    folder: Path, *, table: Path | None = None, strict: bool = False, workers: int = 0
) -> Imported:
    """Import those intervals of a manifest whose audio is at hand.

    The manifest is read line by line, and what is kept in memory follows from the number of audio
    files, not of lines. An interval's CLAP_SIM becomes the clip's score `clap`.

    Args:
        folder: The audio files, named as `import_spans` says, with whole videos as `<video>`, or
            `<video>_<number>` with three digits, as the authors' downloader does.
        table: The manifest; None takes the only .json or .jsonl file in the folder.
        strict: Stop where an interval has no audio, a line or a file is bad.
        workers: Threads that decode.

    Returns:
        The manifest; in the report, each interval without audio is skipped as `missing`.

    Raises:
        UserError: No manifest, or no audio that belongs to it.
    """
    path = _only_manifest(Path(folder)) if table is None else Path(table)
    return import_spans(
        _read_spans(path),
        folder,
        dataset=DATASET,
        licence=LICENCE,
        whole_videos=True,
        strict=strict,
        workers=workers,
    )


def read_intervals(path: Path) -> Iterator[Interval]:
    """The intervals of a manifest, line by line with flat memory.

    Raises:
        UserError: The file cannot be read, or a line or interval does not hold.
    """
    for found in scan_intervals(path):
        if isinstance(found, Skip):
            raise UserError(f"{found.item}: {found.detail}.", expected=EXPECTED)
        yield found


def scan_intervals(path: Path) -> Iterator[Interval | Skip]:
    """As `read_intervals`, but what does not hold comes as a `Skip` with the reason `bad-row`.

    Lines may end with a comma, and the first and last may have the brackets of a list.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield from _read_line(f"{path.name}, line {number}", line)
    except OSError as error:
        raise UserError(
            f"The manifest {path} cannot be read: {error.strerror or error}."
        ) from error


def _read_line(where: str, line: bytes) -> Iterator[Interval | Skip]:
    content = line.removeprefix(b"\xef\xbb\xbf").strip().lstrip(b"[ ").rstrip(b"], ")
    if not content:
        return
    try:
        videos = json.loads(content)
    except ValueError as error:
        yield Skip(where, "bad-row", f"not JSON: {error}")
        return
    if not isinstance(videos, dict):
        yield Skip(where, "bad-row", "not a JSON object")
        return
    for video, about in videos.items():
        intervals = about.get("intervals") if isinstance(about, dict) else None
        if not isinstance(intervals, list):
            yield Skip(where, "bad-row", f"{video} has no list of intervals")
            continue
        for number, values in enumerate(intervals):
            try:
                found = _read_interval(where, video, number, values)
            except (KeyError, TypeError, ValueError) as error:
                detail = f"interval {number} of {video} does not hold: {error}"
                found = Skip(where, "bad-row", detail)
            yield found


def _read_interval(where: str, video: str, number: int, values: Any) -> Interval:
    start, end = float(values["start"]), float(values["end"])
    if not 0 <= start < end < math.inf:
        raise ValueError(f"the span from {start:g} s to {end:g} s is empty or negative")
    text, clap = values.get("text"), values.get("CLAP_SIM")
    return Interval(
        where=where,
        video=video,
        number=number,
        start=start,
        end=end,
        text="" if text is None else str(text),
        clap=None if clap is None else float(clap),
    )


def _read_spans(path: Path) -> Iterator[VideoSpan | Skip]:
    rest = scan_intervals(path)
    first = list(islice(rest, JUDGED))
    faults = [one for one in first if isinstance(one, Skip)]
    if len(faults) == len(first):
        detail = f"{faults[0].item}: {faults[0].detail}" if faults else "it has no lines"
        raise UserError(f"{path} is no manifest of AutoReCap: {detail}.", expected=EXPECTED)
    for one in chain(first, rest):
        yield _span(one) if isinstance(one, Interval) else one


def _span(interval: Interval) -> VideoSpan:
    caption = Caption(text=interval.text, kind="model", model="autocap")
    return VideoSpan(
        where=interval.where,
        video=interval.video,
        start=interval.start,
        end=interval.end,
        names=(f"{interval.video}_{interval.number:03d}",),
        captions=(caption,) if interval.text else (),
        scores=None if interval.clap is None else {"clap": interval.clap},
    )


def _only_manifest(folder: Path) -> Path:
    there = folder.iterdir() if folder.is_dir() else ()
    found = sorted(path for path in there if path.suffix in SUFFIXES)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{folder} holds several manifests: {', '.join(path.name for path in found)}.",
            change="Name one: --captions FILE.",
        )
    raise wrong_layout("AutoReCap", folder, EXPECTED)
