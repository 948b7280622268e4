"""Bytes of containers that libsndfile hides: where files end, what clock and chance wrote."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

RIFF_KINDS = {b"RIFF": "little", b"RIFX": "big", b"FORM": "big", b"RF64": "little"}
STREAMED = 0x7FFFF000
"""Sizes from here on are written by programs that could not know the length."""
OGG_HEADER = 27
OGG_PAGE_MAX = 65307
OGG_END_OF_STREAM = 4
MP3_SLACK = 0.01
"""Share of an mp3's stated size that may be absent: encoders count their own tags or not."""
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Chunk(NamedTuple):
    """A chunk of a RIFF file."""

    name: bytes
    start: int
    """Position of its content in the file."""
    size: int
    """Bytes of content as stated, which may be more than there are."""


def known_magic(head: bytes) -> bool:
    """Whether a file that begins with `head` says that it is sound of a common kind."""
    return (
        head[:4] in (*RIFF_KINDS, b"fLaC", b"OggS", b".snd", b"caff")
        or head[:3] == b"ID3"
        or _is_mp3_frame(head)
    )


def missing_part(file: BinaryIO, size: int) -> str:
    """Say what a file of `size` bytes promises and does not hold; "" where nothing is missing.

    Only headers and the end are read. Formats that promise nothing here (FLAC states samples,
    not bytes) are checked by decoding.
    """
    file.seek(0)
    head = file.read(12)
    if head[:4] in RIFF_KINDS:
        return _missing_in_riff(file, size)
    if head[:4] == b"OggS":
        return _missing_in_ogg(file, size)
    if head[:3] == b"ID3" or _is_mp3_frame(head):
        return _missing_in_mp3(file, size)
    return ""


def riff_chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks of a RIFF, RIFX, RF64 or FORM file, as far as they are there."""
    file.seek(0)
    order = RIFF_KINDS.get(file.read(12)[:4])
    position = 12
    while order is not None:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], "little" if order == "little" else "big")
        yield Chunk(head[:4], position + 8, size)
        position += 8 + size + size % 2


def clear_peak_time(content: bytearray) -> None:
    """Set the time stamp in the PEAK chunk of a float WAV to zero, in place.

    The chunk lies before the samples, so the walk over the first chunks finds it.
    """
    position = 12
    while position + 8 <= len(content):
        name = content[position : position + 4]
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        if name == b"PEAK":
            content[position + 12 : position + 16] = bytes(4)
        position += 8 + size + size % 2


def renumber_ogg(content: bytearray, serial: int) -> None:
    """Give every page of an Ogg stream the serial number `serial`, in place.

    libsndfile draws it from the clock. The checksum of each page covers it and is made anew.
    """
    position = 0
    while position < len(content):
        end = position + _ogg_page_size(content, position)
        content[position + 14 : position + 18] = (serial & 0xFFFFFFFF).to_bytes(4, "little")
        content[position + 22 : position + 26] = bytes(4)
        checksum = ogg_checksum(bytes(content[position:end]))
        content[position + 22 : position + 26] = checksum.to_bytes(4, "little")
        position = end


def ogg_checksum(page: bytes) -> int:
    """CRC-32 of an Ogg page whose checksum field is zero.

    Ogg uses the polynomial of zlib's CRC, most significant bit first, and starts from zero.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _missing_in_riff(file: BinaryIO, size: int) -> str:
    found = False
    for chunk in riff_chunks(file):
        streamed = chunk.size >= STREAMED
        if chunk.name in (b"data", b"SSND"):
            found = True
            there = size - chunk.start
            if not streamed and there < chunk.size:
                return f"its header promises {chunk.size} bytes of samples and {there} are there"
        if streamed:
            return ""
    return "" if found else "it ends before its samples begin"


def _missing_in_ogg(file: BinaryIO, size: int) -> str:
    file.seek(max(0, size - 2 * OGG_PAGE_MAX))
    tail = file.read()
    last = tail.rfind(b"OggS")
    if last < 0 or len(tail) - last < OGG_HEADER:
        return "its last page is not whole"
    if not tail[last + 5] & OGG_END_OF_STREAM:
        return "the page that ends the stream is not there"
    if last + _ogg_page_size(tail, last) > len(tail):
        return "its last page is not whole"
    return ""


def _missing_in_mp3(file: BinaryIO, size: int) -> str:
    first = _id3_size(file)
    file.seek(first)
    head = file.read(192)
    tag = max(head.find(b"Xing"), head.find(b"Info"))
    if tag < 0 or len(head) < tag + 16:
        return ""
    flags = int.from_bytes(head[tag + 4 : tag + 8], "big")
    if not flags & 2:
        return ""
    position = tag + 8 + (4 if flags & 1 else 0)
    stated = int.from_bytes(head[position : position + 4], "big")
    if size - first < stated * (1 - MP3_SLACK):
        return f"its header promises {stated} bytes of sound and {size - first} are there"
    return ""


def _id3_size(file: BinaryIO) -> int:
    """Bytes of the ID3v2 tag at the start of a file, 0 without one."""
    file.seek(0)
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _is_mp3_frame(head: bytes) -> bool:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer != 0 and head[2] >> 4 != 15 and head[2] >> 2 & 3 != 3


def _ogg_page_size(content: bytes | bytearray, position: int) -> int:
    """Bytes of the page at `position`; more than are there where it is cut."""
    segments = content[position + 26]
    table = content[position + OGG_HEADER : position + OGG_HEADER + segments]
    return OGG_HEADER + segments + sum(table)
