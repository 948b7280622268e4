"""A codec for one channel, applied to left and right apart: stereo as MusicGen has it.

The codebooks of both alternate, left first: book 2 q is book q of the left channel, 2 q + 1 that
of the right one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundwright.codecs.encodec import EncodecCodec
from soundwright.codecs.task import CodecOutput
from soundwright.core.errors import ConfigError


class StereoCodec(nn.Module):
    """A `core.protocols.TokenCodec` of two channels and 2 K codebooks.

    Args:
        mono: A codec of one channel and K codebooks.

    Raises:
        ConfigError: It has two channels already.
    """

    def __init__(self, mono: EncodecCodec) -> None:
        super().__init__()
        if mono.channels != 1:
            raise ConfigError(
                f"The codec for each of the two channels has {mono.channels}.",
                expected="channels: 1",
            )
        self.mono = mono

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.mono.sample_rate

    @property
    def channels(self) -> int:
        """C, 2."""
        return 2

    @property
    def hop_length(self) -> int:
        """Samples a frame."""
        return self.mono.hop_length

    @property
    def codebooks(self) -> int:
        """Twice those of the codec for one channel."""
        return 2 * self.mono.codebooks

    @property
    def codebook_size(self) -> int:
        """Codes in each codebook."""
        return self.mono.codebook_size

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Tensor:
        """[B, 2, N] float in [-1, 1] to [B, 2 K, T] int64."""
        left, right = self.mono.encode(waveform[:, :1]), self.mono.encode(waveform[:, 1:])
        return torch.stack([left, right], dim=2).flatten(1, 2)

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """[B, 2 K', T] int64 to [B, 2, T * hop_length] float; K' <= K uses the first levels."""
        sides = [self.mono.decode(tokens[:, side::2]) for side in (0, 1)]
        return torch.cat(sides, dim=1)

    def forward_training(self, waveform: Tensor, mask: Tensor) -> CodecOutput:
        """Reconstruct a batch, each channel an item of its own; see `TrainableCodec`."""
        output = self.mono.forward_training(
            waveform.flatten(0, 1)[:, None], mask.repeat_interleave(2, dim=0)
        )
        return CodecOutput(output.reconstruction.view_as(waveform), output.quantised)
