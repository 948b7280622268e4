"""Stretches of YouTube videos, as many data sets cite them, and the files that hold their audio."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.core.records import Caption, Licence, Source
from soundwright.data.clips import Draft, Skip
from soundwright.data.importers.audio_files import AudioFiles
from soundwright.data.importers.reports import Imported, gather

MISSING = "missing"
NAMED = 10_000
"""Missing spans that a report names one by one; further ones are counted."""


@dataclass(frozen=True)
class VideoSpan:
    """What a data set says of a stretch of a video.

    Raises:
        ValueError: It ends before it starts.
    """

    where: str
    """The row, as a person would look for it."""
    video: str
    """The id on YouTube."""
    start: float
    """Seconds."""
    end: float
    names: tuple[str, ...] = ()
    """What its audio file may be called besides the usual, without a suffix."""
    captions: tuple[Caption, ...] = ()
    tags: tuple[str, ...] = ()
    split: str = ""
    scores: dict[str, float] | None = None
    metadata: dict[str, str | float | int | bool] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end < math.inf:
            raise ValueError(
                f"the span from {self.start:g} s to {self.end:g} s is empty or negative"
            )


def import_spans(
    spans: Iterable[VideoSpan | Skip],
    folder: Path,
    *,
    dataset: str,
    licence: Licence,
    whole_videos: bool = False,
    strict: bool = False,
    workers: int = 0,
) -> Imported:
    """Import those spans whose audio is at hand.

    Audio files hold the span itself and are named `<video>_<start>` (in whole seconds, also with
    six digits, in decimals or milliseconds, with or without `_<end>`), or as `VideoSpan.names`
    says. A file that is named `<video>` alone holds the span too, or, with `whole_videos`, all of
    the video. Each name may begin with a `Y`.

    Args:
        spans: What the data set tells, read once; rows that cannot be used as a `Skip`.
        folder: The audio files, searched with its subfolders.
        dataset: Name of the data set in clip ids.
        licence: That of every clip.
        whole_videos: Cut spans out of files that hold a whole video.
        strict: Stop where a span has no audio, a row or a file is bad.
        workers: Threads that decode.

    Returns:
        The manifest; in the report, each span without audio is skipped as `missing`.

    Raises:
        UserError: No such folder, no audio that belongs to the data set, or, where `strict`,
            anything that would be skipped.
    """
    files = AudioFiles(folder)
    drafts: list[Draft] = []
    skipped: list[Skip] = []
    missing = 0
    for span in spans:
        match span:
            case VideoSpan():
                found = _draft(span, files, dataset, licence, whole_videos)
            case Skip():
                found = span
        if isinstance(found, Draft):
            drafts.append(found)
            continue
        missing += found.reason == MISSING
        if found.reason != MISSING or missing <= NAMED:
            skipped.append(found)
        if strict:
            break
    if missing and not drafts and not strict:
        raise UserError(
            f"None of the {missing} spans of {dataset} has its audio in {folder}, which holds "
            f"{len(files.paths)} sound files.",
            expected="files named <youtube id>.wav, <youtube id>_<start>.wav or Y<youtube id>.wav",
        )
    if missing > NAMED:
        rest = missing - NAMED
        detail = f"without audio; the first {NAMED} are named one by one"
        skipped.append(Skip(f"{rest} further spans", MISSING, detail, count=rest))
    facts = {"importer": dataset, "dataset": dataset}
    return gather([*skipped, *drafts], folder, facts=facts, strict=strict, workers=workers)


def video_address(video: str, start: float | None = None) -> str:
    """Where a video is watched, from `start` seconds on."""
    address = f"https://www.youtube.com/watch?v={video}"
    return address if start is None else f"{address}&t={start:g}"


def _draft(
    span: VideoSpan, files: AudioFiles, dataset: str, licence: Licence, whole_videos: bool
) -> Draft | Skip:
    path = files.find_first(_names(span))
    start, duration = 0.0, None
    if path is None:
        path = files.find_first((span.video, f"Y{span.video}"))
        if whole_videos:
            start, duration = span.start, span.end - span.start
    if path is None:
        return Skip(span.where, MISSING, f"no audio of {span.video} at {span.start:g} s")
    return Draft(
        path=path,
        source=Source(
            dataset=dataset,
            item=span.video,
            url=video_address(span.video, span.start),
            start=span.start,
            end=span.end,
        ),
        captions=span.captions,
        tags=span.tags,
        licence=licence,
        split=span.split,
        scores=span.scores,
        metadata=span.metadata,
        start=start,
        duration=duration,
    )


def _names(span: VideoSpan) -> Iterator[str]:
    """What the file of a span may be called, the most exact names first."""
    yield from span.names
    for start, end in zip(_write(span.start), _write(span.end), strict=True):
        for name in (f"{span.video}_{start}", f"{span.video}_{start}_{end}"):
            yield name
            yield f"Y{name}"


def _write(seconds: float) -> tuple[str, ...]:
    """How downloaders write times into file names; a fraction does not fit into whole seconds."""
    return (
        f"{seconds:.10g}",
        f"{seconds:.1f}",
        f"{seconds:.3f}",
        f"{seconds * 1000:.0f}",
        f"{seconds:06.10g}",
    )
