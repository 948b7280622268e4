"""The bytes of a transcript as text, whatever they were written in."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BROKEN = "�"
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


def decode(content: bytes) -> tuple[str, str]:
    """Decode a transcript.

    UTF-8 and UTF-16 are known by their byte order marks, UTF-16 without one by its zero bytes.
    Bytes that are not UTF-8 are cp1252, or latin-1 where cp1252 has no such character, unless most
    of the text beyond ASCII is UTF-8: then the broken characters are replaced.

    Returns:
        The text, and what is odd about how it was written: empty for UTF-8.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _decode_marked(content[len(mark) :], encoding)
    if encoding := _utf16_without_mark(content):
        return content.decode(encoding, errors="replace"), f"read as {encoding}, without a mark"
    try:
        return content.decode(), ""
    except UnicodeDecodeError:
        text = content.decode(errors="replace")
    broken = text.count(_BROKEN)
    if broken < len(_BEYOND_ASCII.findall(text)) - broken:
        return text, f"read as utf-8; {broken} broken characters were replaced"
    try:
        return content.decode("cp1252"), "not utf-8: read as cp1252"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "neither utf-8 nor cp1252: read as latin-1"


def _decode_marked(content: bytes, encoding: str) -> tuple[str, str]:
    text = content.decode(encoding, errors="replace")
    oddities = [] if encoding == "utf-8" else [f"read as {encoding}"]
    if broken := text.count(_BROKEN):
        oddities.append(f"{broken} broken characters were replaced")
    return text, "; ".join(oddities)


def _utf16_without_mark(content: bytes) -> str:
    """Which UTF-16 it is whose ASCII characters are every second byte, the others being zero."""
    start = content[:512]
    pairs = len(start) // 2
    zeros = (start[0::2].count(0), start[1::2].count(0))
    if pairs < 2 or max(zeros) < pairs / 2 or min(zeros) > pairs / 10:
        return ""
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
