"""What networks over spectrogram frames are built of: ConvNeXt blocks, and STFT frames.

Inside, tensors are [B, T, D]. A network that predicts the magnitude and the phase of every bin
(Vocos, Siuzdak 2023) ends in `Frames.synthesise`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """A ConvNeXt block (Liu et al. 2022) over time: [B, T, D] to [B, T, D].

    Args:
        width: D.
        expansion: Width within the block, relative to D.
        kernel: Of the convolution over time; odd.
    """

    def __init__(self, width: int, expansion: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, hidden: Tensor) -> Tensor:
        """Add what the block finds."""
        update = self.depthwise(hidden.transpose(1, 2)).transpose(1, 2)
        update = self.down(F.gelu(self.up(self.norm(update))))
        return hidden + self.scale * update


def blocks(count: int, width: int, expansion: int, kernel: int) -> nn.Sequential:
    """`count` blocks in a row."""
    return nn.Sequential(*(Block(width, expansion, kernel) for _ in range(count)))


class Frames(nn.Module):
    """STFT and its inverse; frame t is centred on the middle of hop t, so N = T * hop exactly."""

    window: Tensor

    def __init__(self, fft_size: int, hop: int) -> None:
        super().__init__()
        self.fft_size, self.hop = fft_size, hop
        self.bins = fft_size // 2 + 1
        self.margin = (fft_size - hop) // 2
        self.register_buffer("window", torch.hann_window(fft_size), persistent=False)

    def log_magnitudes(self, waveform: Tensor) -> Tensor:
        """[B, N] to [B, N / hop, bins], scaled so that usual levels lie within about [-2, 2]."""
        with torch.autocast(waveform.device.type, enabled=False):
            padded = F.pad(waveform.float(), (self.margin, self.margin))
            windows = padded.unfold(-1, self.fft_size, self.hop) * self.window
            return (torch.fft.rfft(windows).abs() + 1e-3).log() / 3 + 0.5

    def synthesise(self, magnitudes: Tensor, phases: Tensor) -> Tensor:
        """Log magnitudes (in the encoder's scale) and phases [B, T, bins] to [B, T * hop]."""
        with torch.autocast(magnitudes.device.type, enabled=False):
            # A whole scale sine has a bin of fft_size / 4; the limit keeps early steps finite.
            sizes = ((magnitudes - 0.5) * 3).clamp(max=5.5).exp()
            spectrum = torch.polar(sizes, phases)
            windows = torch.fft.irfft(spectrum, n=self.fft_size) * self.window
            envelope = self.window.square().expand(1, windows.shape[1], -1)
            return self._overlap(windows) / self._overlap(envelope).clamp(min=1e-4)

    def _overlap(self, windows: Tensor) -> Tensor:
        """Add windows [B, T, fft_size] at their places, without the margins: [B, T * hop]."""
        length = windows.shape[1] * self.hop
        whole = F.fold(
            windows.transpose(1, 2),
            (1, length + 2 * self.margin),
            (1, self.fft_size),
            stride=(1, self.hop),
        )
        return whole[:, 0, 0, self.margin : self.margin + length]
