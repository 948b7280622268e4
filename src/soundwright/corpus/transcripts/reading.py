"""Transcripts as cues, whatever their form: told by their content, not by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from soundwright.corpus.records import Cue
from soundwright.corpus.transcripts.blocks import has_times, read_blocks
from soundwright.corpus.transcripts.encodings import decode
from soundwright.corpus.transcripts.json3 import read_json3
from soundwright.corpus.transcripts.records import (
    Form,
    Problem,
    RawCue,
    TimedCue,
    Transcript,
    TranscriptError,
)
from soundwright.corpus.transcripts.rolling import has_word_times, rolls, spoken_spans, unroll

LONGEST_WORD = 1.0
"""Seconds that a word lasts at most."""
_UNKNOWN_LENGTH = 10_000
"""Milliseconds that a cue lasts, one of whose times cannot be read nor told by its neighbours."""

_Span = tuple[int, int, str]


def read_transcript(
    path: Path, *, words: bool = False, longest_word: float = LONGEST_WORD
) -> Transcript:
    """Read WebVTT, SubRip or YouTube's json3.

    No speech is ever lost to a fault: a cue that ends before it starts is the span between its two
    times; one whose times cannot be read lasts from the end of the cues before to the start of the
    next one that can be; one without words stays. All of these are named, as are duplicates, which
    are left out, and overlaps and disorder, except in rolling captions, whose nature they are.

    Args:
        path: The file, under any name.
        words: Take the times of words where a transcript has them (rolling captions stand on the
            screen long after they were spoken), instead of those of cues, which is more cautious.
        longest_word: Seconds that a word lasts at most, with `words`.

    Raises:
        TranscriptError: Nothing can be read: the file is missing, unreadable, empty, no transcript,
            or json3 that breaks off.
    """
    text, oddity = decode(_read_bytes(path))
    form = _find_form(text, path)
    raw, problems = read_json3(text, path.name) if form == "json3" else read_blocks(text, form)
    if oddity:
        problems.insert(0, Problem("encoding", oddity))
    if raw and all(cue.start is None and cue.end is None for cue in raw):
        raise TranscriptError(
            f"None of the {len(raw)} cues of {path} has a time that can be read, such as in"
            f" line {raw[0].line}: {raw[0].written!r:.80}.",
            reason="broken",
        )
    cues = _settle(raw, problems)
    timed = has_word_times(cues)
    rolling = form != "json3" and rolls(cues)
    if rolling:
        cues = unroll(cues)
    if not (timed or rolling):
        cues = _check_order(cues, problems)
    _check_spans(cues, problems)
    spans: Iterable[_Span] = ((cue.start, cue.end, cue.text) for cue in cues)
    if words and timed:
        longest = round(longest_word * 1000)
        spans = [span for cue in cues for span in spoken_spans(cue, longest, problems)]
    return Transcript(
        cues=tuple(
            Cue(start=start / 1000, end=end / 1000, text=text) for start, end, text in sorted(spans)
        ),
        form=form,
        problems=tuple(problems),
    )


def _read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise TranscriptError(f"{path} does not exist.", reason="missing") from error
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror or error}."
        raise TranscriptError(problem, reason="unreadable") from error
    if not content.strip():
        raise TranscriptError(f"{path} is empty.", reason="empty")
    return content


def _find_form(text: str, path: Path) -> Form:
    start = text.lstrip()
    if start.startswith("{"):
        return "json3"
    if start.startswith("WEBVTT"):
        return "vtt"
    if has_times(text):
        return "srt"
    raise TranscriptError(
        f"{path} is no transcript.",
        reason="not-a-transcript",
        expected="WebVTT, SubRip or YouTube's json3",
    )


def _settle(raw: Sequence[RawCue], problems: list[Problem]) -> list[TimedCue]:
    """Give every cue a span, in the order of the file."""
    later: list[int | None] = [None]
    for cue in reversed(raw):
        later.append(later[-1] if cue.start is None else cue.start)
    cues: list[TimedCue] = []
    reached = 0
    for cue, next_start in zip(raw, reversed(later[:-1]), strict=True):
        if cue.start is None or cue.end is None:
            problems.append(Problem("unparsable-time", cue.written, cue.line))
        start, end = _guess(cue, reached, next_start)
        if end < start:
            problems.append(Problem("backward", cue.written, cue.line))
            start, end = end, start
        reached = max(reached, end)
        cues.append(TimedCue(cue.line, max(0, start), max(0, end), cue.lines))
    return cues


def _guess(cue: RawCue, reached: int, next_start: int | None) -> tuple[int, int]:
    """The times of a cue; one that cannot be read is told by the neighbours, if they can tell."""
    start, end = cue.start, cue.end
    if start is None:
        start = reached if end is None or reached < end else end - _UNKNOWN_LENGTH
    if end is None:
        ahead = next_start if next_start is not None and start < next_start else None
        end = start + _UNKNOWN_LENGTH if ahead is None else ahead
    return start, end


def _check_order(cues: Sequence[TimedCue], problems: list[Problem]) -> list[TimedCue]:
    """Name disorder and overlaps; leave out what stands there twice."""
    kept: dict[tuple[int, int, str], TimedCue] = {}
    latest = 0
    for cue in cues:
        key = (cue.start, cue.end, cue.text)
        if key in kept:
            detail = f"the same as in line {kept[key].line}"
            problems.append(Problem("duplicate", detail, cue.line))
            continue
        if cue.start < latest:
            detail = f"starts {(latest - cue.start) / 1000:.3f} s before an earlier cue"
            problems.append(Problem("unordered", detail, cue.line))
        latest = max(latest, cue.start)
        kept[key] = cue
    reached = 0
    for cue in sorted(kept.values(), key=lambda cue: (cue.start, cue.end)):
        if cue.start < reached:
            detail = f"starts {(reached - cue.start) / 1000:.3f} s before an earlier one ends"
            problems.append(Problem("overlapping", detail, cue.line))
        reached = max(reached, cue.end)
    return list(kept.values())


def _check_spans(cues: Sequence[TimedCue], problems: list[Problem]) -> None:
    if not cues:
        problems.append(Problem("no-cues", "the transcript has no cues"))
    for cue in cues:
        if cue.start == cue.end:
            problems.append(Problem("no-duration", f"at {cue.start / 1000:.3f} s", cue.line))
        if not cue.texts:
            problems.append(Problem("no-text", f"at {cue.start / 1000:.3f} s", cue.line))
