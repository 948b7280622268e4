"""Streams of decoded samples, placed in time. Time 0 is where the medium begins to play."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundwright.core.errors import AudioError

Samples = NDArray[np.float32]
"""[C, n]"""
Certainty = Literal["exact", "stated", "guessed"]

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpegts,mpeg,mxf,nut,rm,ogg,"
    "aac,ac3,eac3,aiff,amr,ape,au,caf,dts,flac,mp3,tta,w64,wav,wv"
)
"""Containers, as FFmpeg calls them, that are opened. Others are lists of further files and
addresses, or anything at all."""
EXACT_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2",)
"""State the length of each track to the sample."""
GUESSED_FORMATS = ("aac", "ac3", "amr", "dts", "eac3", "mp3", "mpeg", "mpegts")
"""Have no header that states a length."""
HEAD_BYTES = 192
GAP_S = 0.1
"""Timestamps that deviate less from the count of samples are inexact; beyond, samples lack."""
PADDING_FRAMES = 4096
"""Encoders fill the last block; no more than this beyond a stated end is taken for that."""
ZEROS_FRAMES = 1 << 16


@dataclass(frozen=True)
class StreamInfo:
    """The sound of a medium, as its header describes it."""

    sample_rate: int
    channels: int
    duration: float | None
    """Seconds from time 0 to the end, None where nothing states it."""
    certainty: Certainty
    """Whether `duration` is that of the sound to the sample, that of the longest stream, or was
    guessed from the bit rate."""

    @property
    def frames(self) -> int:
        """Samples in each channel that the header promises; 0 where it promises nothing."""
        if self.duration is None or self.certainty == "guessed":
            return 0
        return round(self.duration * self.sample_rate)


class Block(NamedTuple):
    """Samples that follow those of the block before."""

    samples: Samples
    missing: bool = False
    """Zeros in place of samples that the file should have and has not."""


def describe_stream(
    kind: str,
    sample_rate: int,
    channels: int,
    *,
    end: Fraction | None,
    end_of_all: Fraction | None,
) -> StreamInfo:
    """What a header says, weighed by how far its format is to be believed.

    Args:
        kind: Format, as FFmpeg calls it.
        sample_rate: Samples a second.
        channels: C.
        end: When the sound ends, in seconds from time 0, where the format states it.
        end_of_all: When the longest of all streams ends, where the format states that.
    """
    certainty: Certainty = "stated"
    if kind in GUESSED_FORMATS:
        certainty = "guessed"
    elif end is not None and kind in EXACT_FORMATS:
        certainty = "exact"
    found = end_of_all if end is None else end
    return StreamInfo(sample_rate, channels, None if found is None else float(found), certainty)


def known_container(head: bytes) -> bool:
    """Whether a file of which `head` is the start is of a kind that libsndfile does not know."""
    return (
        head[4:8] == b"ftyp"
        or head[:4] in (b"\x1aE\xdf\xa3", b"FLV\x01", b"\x30\x26\xb2\x75", b"\x00\x00\x01\xba")
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or (len(head) > 188 and head[0] == head[188] == 0x47)
        or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0)
    )


def place_blocks(
    path: Path, timed: Iterable[tuple[float | None, Samples]], sample_rate: int, tick: float
) -> Iterator[Block]:
    """Put decoded frames where their timestamps say, from time 0 on.

    A stream that begins late is preceded by silence, as it is played. Where timestamps jump
    ahead, zeros marked as missing keep the time.

    Args:
        path: For messages.
        timed: When a frame is heard, in seconds, and its samples; None follows on the last.
        sample_rate: Samples a second.
        tick: Seconds to which timestamps are exact.

    Raises:
        AudioError: unsupported, for timestamps that jump back.
    """
    position = 0
    begun = False
    for time, samples in timed:
        gap = 0 if time is None else round(time * sample_rate) - position
        if abs(gap) <= (GAP_S if begun else tick) * sample_rate:
            gap = 0
        if gap < 0 and begun:
            raise AudioError(
                f"{path}: what is heard at {position / sample_rate:.3f} s says that it is heard "
                f"at {time:.3f} s.",
                reason="unsupported",
                expected="timestamps that run forward",
                change="Write the file anew, for example with ffmpeg -i FILE -c copy NEW.",
            )
        yield from _zeros(len(samples), gap, missing=begun)
        kept = samples[:, max(0, -gap) :]
        yield Block(kept)
        position += max(0, gap) + kept.shape[1]
        # Frames from before time 0 are dropped, and the next may be one of them too.
        begun = begun or position > 0


def drop_padding(blocks: Iterable[Block], info: StreamInfo) -> Iterator[Block]:
    """Leave out what an encoder appended to fill its last block, where the end is known exactly.

    A stream that is longer by more than `PADDING_FRAMES` is let through whole: its header is
    wrong.
    """
    frames = info.frames
    if info.certainty != "exact" or not frames:
        yield from blocks
        return
    limit: float = frames
    position = 0
    held: list[Block] = []
    for block in blocks:
        before = max(0, frames - position)
        position += block.samples.shape[1]
        if position <= limit:
            yield block
            continue
        if before:
            yield block._replace(samples=block.samples[:, :before])
        held.append(block._replace(samples=block.samples[:, before:]))
        if position > limit + PADDING_FRAMES:
            yield from held
            held, limit = [], math.inf
    # What is held to the end is the padding.


def _zeros(channels: int, frames: int, *, missing: bool) -> Iterator[Block]:
    for done in range(0, frames, ZEROS_FRAMES):
        length = min(ZEROS_FRAMES, frames - done)
        yield Block(np.zeros((channels, length), np.float32), missing)
