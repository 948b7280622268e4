"""Pieces cut from a stream of decoded samples in one pass forward.

Every position counts samples from time 0, so that a piece is the same whatever else is cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from soundwright.audio.files import MAX_DURATION_S, finite_sound, too_long
from soundwright.audio.resampling import frames_around, resample_part, resampled_length
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError
from soundwright.corpus.media_streams import Block, StreamInfo

Span = tuple[float, float | None]
"""From a start to an end in seconds; None is the end of the medium."""
SLACK_S = 0.5
"""A stated duration is that of the longest stream, give or take a video frame."""


def cut_pieces(
    path: Path,
    info: StreamInfo,
    blocks: Iterator[Block],
    spans: Iterable[Span],
    sample_rate: int | None = None,
    channels: int | None = None,
) -> Iterator[Sound | AudioError]:
    """Cut pieces from a stream, which is read once and no further than needed.

    Args:
        path: For messages.
        info: Of the stream.
        blocks: The stream from time 0 on; its errors are AudioErrors.
        spans: In order of their starts; they may overlap.
        sample_rate: Wanted rate; None is the stream's.
        channels: Wanted number of channels; None is the stream's.

    Yields:
        For each span its sound, as `audio.files.read` cuts it, or why there is none: no-samples,
        not-finite, too-long, truncated (which is a hole in the stream too) or what the stream
        raised. Held in memory is one span with its context.
    """
    rate = sample_rate or info.sample_rate
    window = _Window(blocks)
    previous = 0.0
    for start, end in spans:
        assert start >= previous, f"a span from {start} s after one from {previous} s"
        assert end is None or end > start, f"a span from {start} s to {end} s"
        previous = start
        first = round(start * rate)
        length = MAX_DURATION_S * rate + 1 if end is None else round((end - start) * rate)
        try:
            yield _cut(path, info, window, first, first + max(1, int(length)), rate, channels)
        except AudioError as error:
            yield error


def _cut(
    path: Path,
    info: StreamInfo,
    window: _Window,
    first: int,
    last: int,
    rate: int,
    channels: int | None,
) -> Sound:
    if last - first > MAX_DURATION_S * rate + 1:
        raise too_long(path, (last - first) / rate, MAX_DURATION_S)
    begin, stop = frames_around(first, last, info.sample_rate, rate)
    window.move(begin, stop)
    if window.end < stop:
        if window.fault is not None:
            raise window.fault
        wanted = resampled_length(last, rate, info.sample_rate)
        promised = min(wanted, info.frames)
        if promised - window.end > SLACK_S * info.sample_rate:
            raise AudioError(
                f"{path} is cut off: its header promises {info.duration:.3f} s, and its sound "
                f"ends at {window.end / info.sample_rate:.3f} s.",
                reason="truncated",
            )
        last = min(last, resampled_length(window.end, info.sample_rate, rate))
    if first >= last:
        raise AudioError(
            f"{path} has no sound from {first / rate:.3f} s on: it ends at "
            f"{window.end / info.sample_rate:.3f} s.",
            reason="no-samples",
        )
    if last - first > MAX_DURATION_S * rate:
        raise too_long(path, (last - first) / rate, MAX_DURATION_S)
    window.check(path, first / rate, last / rate, info.sample_rate)
    samples = resample_part(window.samples(begin, stop), first, last, info.sample_rate, rate)
    return finite_sound(path, samples, rate, channels)


class _Window:
    """The stretch of a stream that is held: it moves forward only."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self._held: deque[tuple[int, Block]] = deque()
        self.end = 0
        """Samples that have been decoded."""
        self.fault: AudioError | None = None
        """What ended the stream early."""

    def move(self, begin: int, stop: int) -> None:
        """Forget what lies before `begin`; decode until `stop` or the end of the stream."""
        self._forget(begin)
        while self.end < stop and self.fault is None:
            try:
                block = next(self._blocks, None)
            except AudioError as error:
                self.fault = error
                return
            if block is None:
                return
            self._held.append((self.end, block))
            self.end += block.samples.shape[1]
            self._forget(begin)

    def check(self, path: Path, start: float, end: float, sample_rate: int) -> None:
        """Raise an AudioError where samples are missing between `start` and `end`."""
        for position, block in self._held:
            after = position + block.samples.shape[1]
            if block.missing and position < end * sample_rate and after > start * sample_rate:
                raise AudioError(
                    f"{path} has a hole at {position / sample_rate:.3f} s: its timestamps jump.",
                    reason="truncated",
                )

    def samples(self, begin: int, stop: int) -> torch.Tensor:
        """What is held from `begin` to `stop`, as [C, n]."""
        parts = [
            block.samples[:, max(0, begin - position) : max(0, stop - position)]
            for position, block in self._held
        ]
        return torch.from_numpy(np.concatenate(parts, axis=1))

    def _forget(self, begin: int) -> None:
        while self._held:
            position, block = self._held[0]
            if position + block.samples.shape[1] > begin:
                return
            self._held.popleft()
