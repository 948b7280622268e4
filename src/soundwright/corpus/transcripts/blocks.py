"""WebVTT and SubRip: cues that begin with a line "start --> end"."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from soundwright.corpus.transcripts.records import Form, Line, Problem, RawCue, Word

_TIME = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?")
_ARROW = re.compile(r"(.*?)-->\s*(\S*)")
_CLOCK = r"(?:\d{1,4}:\d{1,2}:\d{1,2}(?:[.,:]\d{1,3})?|\d{1,2}:\d{1,2}[.,]\d{1,3})"
"""A time that is too exact to be one that people speak of, such as "open 10:30 - 11:30"."""
_OTHER_ARROW = r"(?:[-=~\u2010-\u2015\u2212]*(?:>|&gt;)+|[\u2190-\u21ff\u27f0-\u27ff])"
_OTHER_HEAD = re.compile(
    rf"\s*(?:(?P<start>{_CLOCK})\s*{_OTHER_ARROW}\s*(?P<to>\S+).*"
    rf"|(?P<from>\S+?)\s*{_OTHER_ARROW}\s*(?P<end>{_CLOCK})(?:\s.*)?"
    rf"|(?P<first>{_CLOCK})\s*[-\s\u2010-\u2015\u2212]\s*-?\s*(?P<last>{_CLOCK})\s*)"
)
"""A line of times that is written wrong: with one dash, another arrow, or none."""
_STAMP = re.compile(r"<([\d:.,]+)>")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|</>|\{\\[^{}]*\}")
"""Tags, and the overrides of SubStation Alpha that some SubRip files carry."""
_COMMENT = re.compile(r"(?:NOTE(?:\s.*)?|STYLE\s*|REGION\s*)")


def read_time(text: str) -> int | None:
    """Milliseconds of "1:02:03.456", hours being optional; None where it is no time."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    if minutes > 59 or seconds > 59:
        return None
    return (hours * 3600 + minutes * 60 + seconds) * 1000 + int((match[4] or "").ljust(3, "0"))


def has_times(text: str) -> bool:
    """Whether a text has a line of times that can be read."""
    return any(
        read_time(match[1].strip()) is not None or read_time(match[2]) is not None
        for match in _ARROW.finditer(text)
    )


def read_blocks(text: str, form: Form) -> tuple[list[RawCue], list[Problem]]:
    """Read the cues of a WebVTT or SubRip file, in the order of the file.

    A cue lasts until the next line of times: blank lines within its text are common in SubRip, and
    in WebVTT files that lost the white space of their rolling lines. Whatever stands in front of
    the arrow, a line with one begins a cue, as neither form allows it in texts. So does a line that
    only looks like one, such as "00:00:10,000 -> 00:00:20,000": its problem is `bad-arrow`.
    """
    cues: list[RawCue] = []
    problems: list[Problem] = []
    head: tuple[int, str] | None = None
    body: list[tuple[int, str]] = []
    for number, line in _content(text, form):
        if not _is_head(line):
            body.append((number, line))
            continue
        _drop_identifier(body, form)
        _close(head, body, cues, problems)
        head, body = (number, line), []
    _close(head, body, cues, problems)
    return cues, problems


def _is_head(line: str) -> bool:
    return "-->" in line or _OTHER_HEAD.fullmatch(line) is not None


def _content(text: str, form: Form) -> Iterator[tuple[int, str]]:
    """The numbered lines that belong to cues: those of the header and of comments do not."""
    skipping = form == "vtt"
    after_blank = False
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not line or _is_head(line):
            skipping = False
        elif form == "vtt" and after_blank and _COMMENT.fullmatch(line):
            skipping = True
        after_blank = not line
        if not skipping:
            yield number, line


def _drop_identifier(body: list[tuple[int, str]], form: Form) -> None:
    """Take away the line that names the next cue: a number, or in WebVTT any line on its own."""
    after_blank = len(body) > 1 and not body[-2][1]
    if body and (body[-1][1].strip().isdecimal() or (form == "vtt" and after_blank)):
        body.pop()


def _close(
    head: tuple[int, str] | None,
    body: list[tuple[int, str]],
    cues: list[RawCue],
    problems: list[Problem],
) -> None:
    if head is None:
        problems += [
            Problem("stray-text", f"text before the first cue: {line.strip()[:80]!r}", number)
            for number, line in body
            if line.strip()
        ]
        return
    number, line = head
    start, end = _read_head(line)
    if "-->" not in line:
        detail = f"{line.strip()[:80]!r} has no arrow '-->'"
        problems.append(Problem("bad-arrow", detail, number))
    lines = tuple(_read_line(line) for _, line in body)
    cues.append(RawCue(number, read_time(start), read_time(end), lines, f"{start} --> {end}"))


def _read_head(line: str) -> tuple[str, str]:
    """What stands on both sides of the arrow, whether or not these are times."""
    match = _ARROW.match(line)
    if match is not None:
        return match[1].strip(), match[2]
    other = _OTHER_HEAD.fullmatch(line)
    assert other is not None, "only such lines begin a cue"
    start, end = other["start"] or other["from"] or other["first"], other["to"] or other["end"]
    return start, end or other["last"]


def _read_line(line: str) -> Line:
    """The words of a line, with the times that stand in front of them as in `<00:01.500>`."""
    parts = _STAMP.split(line)
    onsets = [None, *(read_time(stamp) for stamp in parts[1::2])]
    texts = (html.unescape(_MARKUP.sub("", part)) for part in parts[0::2])
    words = zip(texts, onsets, strict=True)
    return tuple(Word(text, onset) for text, onset in words if text.strip())
