"""The chance of a decoding of any length, drawn as it goes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from soundwright.core.seeding import torch_stream


class Chance:
    """`sampling.draw_uniforms` without an end; holds no more than was asked for last.

    Args:
        seeds: One for each item.
        codebooks: K.
        device: Where the numbers are wanted.
    """

    def __init__(self, seeds: Sequence[int], codebooks: int, device: torch.device) -> None:
        self._streams = [torch_stream(seed, "tokens") for seed in seeds]
        self._codebooks, self._device = codebooks, device
        self._begin = 0
        self._held = torch.empty(len(seeds), 0, codebooks, dtype=torch.float64)

    def span(self, start: int, stop: int) -> Tensor:
        """The numbers of frames `start` to `stop`: [B, stop - start, K] in [0, 1).

        Args:
            start: Not before that of an earlier call.
            stop: Exclusive.
        """
        assert start >= self._begin, f"frame {start} is gone, {self._begin} is the first"
        missing = stop - self._begin - self._held.shape[1]
        if missing > 0:
            shape = (missing, self._codebooks)
            drawn = [
                torch.rand(shape, generator=stream, dtype=torch.float64) for stream in self._streams
            ]
            self._held = torch.cat([self._held, torch.stack(drawn)], dim=1)
        self._held, self._begin = self._held[:, start - self._begin :].clone(), start
        span = self._held[:, : stop - start]
        if self._device.type == "mps":
            # Any number nearer to 1 could, times a sum in float32, reach that sum.
            return span.float().clamp_max(1 - 2**-23).to(self._device)
        return span.to(self._device)
