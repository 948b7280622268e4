"""A piece of sound in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sound:
    """Samples and the rate at which they are played."""

    samples: Tensor
    """[C, N] float32, full scale is [-1, 1]."""
    sample_rate: int
    """Samples a second."""

    def __post_init__(self) -> None:
        assert self.samples.ndim == 2, f"samples are [C, N], not {tuple(self.samples.shape)}"
        assert self.samples.dtype == torch.float32, f"samples are float32, not {self.samples.dtype}"
        assert self.sample_rate > 0, f"a sample rate of {self.sample_rate}"

    @property
    def channels(self) -> int:
        """C."""
        return self.samples.shape[0]

    @property
    def frames(self) -> int:
        """N, the number of samples in each channel."""
        return self.samples.shape[1]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate
