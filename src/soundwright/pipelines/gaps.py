"""A span of a given sound, and what is made anew in its place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from soundwright.audio.joining import cross_fade
from soundwright.core.errors import UserError

SHORTEST_S = 0.1
RIGHT_S = 1.0
"""Of what follows the span, by which a filling is chosen."""
LEFT_S = 10.0
"""Of what precedes it, at most, for a model without a window."""
SEAM_S = 0.02
"""Cross-fade at both sides, inside the span."""


@dataclass(frozen=True)
class Gap:
    """Where the span lies, in samples and in frames, and which of its neighbours are read."""

    sound: Tensor
    """[C, N], the whole."""
    start: int
    stop: int
    """Samples of the span."""
    hop: int
    """Samples a frame."""
    left: int
    right: int
    """Frames read to the left and to the right of the span."""

    @property
    def frames(self) -> int:
        """G: all frames that the span touches."""
        return -(-self.stop // self.hop) - self.start // self.hop

    @property
    def read(self) -> Tensor:
        """[C, n]: left side, span and right side, from the beginning of a frame on."""
        end = self._begin + (self.left + self.frames + self.right) * self.hop
        return self.sound[:, self._begin : end]

    def close(self, made: Tensor, sample_rate: int) -> Tensor:
        """The sound with the span anew; outside of the span it stays as it is.

        Args:
            made: [C, n], `read` with another span.
            sample_rate: Samples a second.
        """
        seam = round(SEAM_S * sample_rate)
        begin, stop = self.start - self._begin, self.stop - self._begin
        new, old = made[:, begin:stop].clone(), self.sound[:, self.start : self.stop]
        if self.start > 0:
            new[:, :seam] = cross_fade(old[:, :seam], new[:, :seam])
        if self.stop < self.sound.shape[1]:
            new[:, -seam:] = cross_fade(new[:, -seam:], old[:, -seam:])
        return torch.cat([self.sound[:, : self.start], new, self.sound[:, self.stop :]], dim=1)

    @property
    def _begin(self) -> int:
        return (self.start // self.hop - self.left) * self.hop


def find_gap(
    sound: Tensor, span: tuple[float, float], *, sample_rate: int, hop: int, window: float | None
) -> Gap:
    """Where to work.

    Args:
        sound: [C, N].
        span: Start and end in seconds.
        sample_rate: Samples a second.
        hop: Samples a frame.
        window: Seconds that the model reads at once; None is any number.

    Raises:
        UserError: The span lies outside of the sound, is too short, or is all of it.
    """
    length, (begin, end) = sound.shape[1] / sample_rate, span
    if not (math.isfinite(begin) and math.isfinite(end) and 0 <= begin < end <= length):
        raise UserError(
            f"The span from {begin:g} s to {end:g} s does not lie in a sound of {length:g} s.",
            expected=f"0 <= start < end <= {length:g}",
        )
    if end - begin < SHORTEST_S:
        raise UserError(
            f"The span from {begin:g} s to {end:g} s is too short.",
            expected=f"at least {SHORTEST_S:g} s",
        )
    start, stop = round(begin * sample_rate), min(round(end * sample_rate), sound.shape[1])
    if start == 0 and stop == sound.shape[1]:
        raise UserError(
            "The span is the whole sound: nothing of it would be left.",
            change="Generate a sound without a given one.",
        )
    first, last = start // hop, -(-stop // hop)
    frame_rate = sample_rate / hop
    most = round(frame_rate * (LEFT_S if window is None else window))
    right = min(
        -(-sound.shape[1] // hop) - last, max(1, min(round(RIGHT_S * frame_rate), most // 4))
    )
    # All that fits into one window beside span and right side, and at least half a window.
    left = min(first, max(most // 2, most - right - (last - first)))
    return Gap(sound, start, stop, hop, left, right)
