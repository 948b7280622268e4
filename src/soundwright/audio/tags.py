"""Texts inside a sound file: title, comment and the like, in UTF-8 in all four formats.

FLAC and Ogg carry them through libsndfile. In WAV and mp3 libsndfile loses long texts or
mangles what is not Latin, so that their tags (a LIST INFO chunk, an ID3v2.4 header) are written
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

from soundwright.audio.containers import riff_chunks
from soundwright.core.errors import UserError, nearest

TAGS = ("title", "artist", "album", "comment", "date", "genre", "copyright")
INFO_NAMES: Mapping[str, bytes] = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "comment": b"ICMT",
    "date": b"ICRD",
    "genre": b"IGNR",
    "copyright": b"ICOP",
}
ID3_NAMES: Mapping[str, bytes] = {
    "title": b"TIT2",
    "artist": b"TPE1",
    "album": b"TALB",
    "comment": b"COMM",
    "date": b"TDRC",
    "genre": b"TCON",
    "copyright": b"TCOP",
}
ID3_UTF8 = b"\x03"


def check_tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """The tags that hold something, in the order of `TAGS`.

    Raises:
        UserError: A name that is not in `TAGS`, or a text with a NUL character.
    """
    for name, text in metadata.items():
        if name not in TAGS:
            raise UserError(f"A sound file has no tag {name!r}.", expected=nearest(name, TAGS))
        if "\0" in text:
            raise UserError(f"The tag {name!r} holds a NUL character.", expected="plain text")
    return {name: metadata[name] for name in TAGS if metadata.get(name)}


def append_info(content: bytearray, tags: Mapping[str, str]) -> None:
    """Append a LIST INFO chunk to a RIFF file, in place."""
    if not tags:
        return
    chunk = bytearray(b"INFO")
    for name, text in tags.items():
        value = text.encode() + b"\0"
        chunk += INFO_NAMES[name] + len(value).to_bytes(4, "little") + value
        chunk += bytes(len(chunk) % 2)
    content += bytes(len(content) % 2)
    content += b"LIST" + len(chunk).to_bytes(4, "little") + chunk
    content[4:8] = (len(content) - 8).to_bytes(4, "little")


def read_info(file: BinaryIO) -> dict[str, str]:
    """The tags in the LIST INFO chunks of a RIFF file."""
    names = {code: name for name, code in INFO_NAMES.items()}
    tags: dict[str, str] = {}
    for chunk in list(riff_chunks(file)):
        if chunk.name != b"LIST":
            continue
        file.seek(chunk.start)
        content = file.read(chunk.size)
        position = 4
        while content[:4] == b"INFO" and position + 8 <= len(content):
            size = int.from_bytes(content[position + 4 : position + 8], "little")
            name = names.get(content[position : position + 4])
            value = content[position + 8 : position + 8 + size].split(b"\0")[0]
            if name is not None:
                tags[name] = value.decode("utf-8", errors="replace")
            position += 8 + size + size % 2
    return tags


def id3_header(tags: Mapping[str, str]) -> bytes:
    """An ID3v2.4 header with `tags`, to stand before the first frame of an mp3."""
    frames = b""
    for name, text in tags.items():
        # A comment has a language and a short description, here none, before its text.
        prefix = ID3_UTF8 + (b"und\0" if name == "comment" else b"")
        value = prefix + text.encode()
        frames += ID3_NAMES[name] + _seven_bits(len(value)) + b"\0\0" + value
    return b"ID3\x04\x00\x00" + _seven_bits(len(frames)) + frames if frames else b""


def _seven_bits(number: int) -> bytes:
    """Four bytes of seven bits each, as ID3 writes sizes."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
