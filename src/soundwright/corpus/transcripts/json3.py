"""YouTube's json3: a list of events, some of which show words."""

from __future__ import annotations

import json
import math
from typing import Any

from soundwright.corpus.transcripts.records import Problem, RawCue, TranscriptError, Word


def read_json3(text: str, name: str) -> tuple[list[RawCue], list[Problem]]:
    """Read the events that have words; those without segments define windows.

    Events with `aAppend` add to the window that is shown: line ends, or words that are spoken like
    all others.

    Args:
        text: The file's content.
        name: The file's name for messages.

    Raises:
        TranscriptError: The file is not whole, so that where words are spoken beyond its break is
            unknown, or it is JSON of another kind.
    """
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise TranscriptError(
            f"{name} is not valid JSON: {error}.", reason="broken", change="Fetch it again."
        ) from error
    events = content.get("events", [] if "wireMagic" in content else None)
    if not isinstance(events, list):
        raise TranscriptError(
            f"{name} is JSON without events.",
            reason="not-a-transcript",
            expected='json3: an object with "events"',
        )
    cues: list[RawCue] = []
    problems: list[Problem] = []
    for number, event in enumerate(events, start=1):
        if not isinstance(event, dict):
            problems.append(Problem("stray-text", f"no event: {event!r:.80}", number))
        elif (cue := _read_event(event, number)) is not None:
            cues.append(cue)
    return cues, problems


def _read_event(event: dict[str, Any], number: int) -> RawCue | None:
    start = _milliseconds(event.get("tStartMs"))
    duration = _milliseconds(event.get("dDurationMs"))
    end = None if start is None or duration is None else start + duration
    written = (
        f"tStartMs {event.get('tStartMs')!r:.20}, dDurationMs {event.get('dDurationMs')!r:.20}"
    )
    words = _read_words(event.get("segs"), start)
    return RawCue(number, start, end, (words,), written) if words else None


def _read_words(segments: Any, start: int | None) -> tuple[Word, ...]:
    words: list[Word] = []
    for segment in segments if isinstance(segments, list) else ():
        text = segment.get("utf8") if isinstance(segment, dict) else None
        if not isinstance(text, str) or not text.strip():
            continue
        offset = _milliseconds(segment.get("tOffsetMs"))
        onset = None if start is None or offset is None else start + offset
        words.append(Word(text, onset))
    return tuple(words)


def _milliseconds(value: Any) -> int | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return round(value) if number and math.isfinite(value) else None
