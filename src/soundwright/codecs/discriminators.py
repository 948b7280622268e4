"""Discriminators that tell reconstructions from recordings, for training codecs.

The multi-scale STFT discriminator is EnCodec's (Défossez et al. 2022, section 3.4, figure 2),
with AudioCraft's values; the multi-period discriminator is HiFi-GAN's (Kong et al. 2020). The
patch discriminator tells spectrograms apart (Isola et al. 2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from soundwright.core.config import Config


class DiscriminatorConfig(Config):
    """Configuration of `Discriminator`; the defaults are EnCodec's."""

    fft_sizes: tuple[int, ...] = (1024, 2048, 512, 256, 128)
    """One STFT discriminator each; its hop is a quarter of the window."""
    filters: int = Field(default=32, ge=1)
    """Channels of the STFT discriminators."""
    first_stride: int = Field(default=1, ge=1)
    """Frequency stride of the STFT discriminators' first layer. 4 makes them cheap for a CPU."""
    periods: tuple[int, ...] = ()
    """One multi-period discriminator each; HiFi-GAN has 2, 3, 5, 7, 11."""
    period_filters: int = Field(default=32, ge=1)
    """First channels of the multi-period discriminators; they grow to 32 times as many."""
    slope: float = Field(default=0.3, ge=0, lt=1)
    """Of the LeakyReLU."""

    @model_validator(mode="after")
    def _check(self) -> DiscriminatorConfig:
        if not self.fft_sizes and not self.periods:
            raise ValueError("fft_sizes and periods are both empty: no discriminator is left")
        if any(size < 16 or size % 4 for size in self.fft_sizes):
            raise ValueError("every size in fft_sizes is a multiple of 4 and at least 16")
        if any(period < 2 for period in self.periods):
            raise ValueError("every period is at least 2")
        return self


@dataclass(frozen=True)
class Verdict:
    """What one discriminator says of a batch."""

    logits: Tensor
    """[B, 1, ...]: high where it takes the sound for a recording."""
    features: tuple[Tensor, ...]
    """Its hidden layers, each [B, channels, ...]."""

    def split(self, items: int) -> tuple[Verdict, Verdict]:
        """The verdicts on the first `items` of the batch and on the rest."""
        return (
            Verdict(self.logits[:items], tuple(part[:items] for part in self.features)),
            Verdict(self.logits[items:], tuple(part[items:] for part in self.features)),
        )


class Discriminator(nn.Module):
    """All discriminators that a `DiscriminatorConfig` names, as one module."""

    def __init__(self, config: DiscriminatorConfig, channels: int = 1) -> None:
        super().__init__()
        self.config = config
        parts: list[nn.Module] = [
            StftDiscriminator(size, channels, config) for size in config.fft_sizes
        ]
        parts += [
            PeriodDiscriminator(period, channels, config.period_filters, config.slope)
            for period in config.periods
        ]
        self.parts = nn.ModuleList(parts)

    def forward(self, waveform: Tensor) -> list[Verdict]:
        """[B, C, N] float to one verdict for each part."""
        return [part(waveform) for part in self.parts]


class StftDiscriminator(nn.Module):
    """2-D convolutions over a complex STFT, whose parts are channels."""

    window: Tensor

    def __init__(self, fft_size: int, channels: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.fft_size = fft_size
        self.slope = config.slope
        filters = config.filters
        window = torch.hann_window(fft_size)
        # The normalised STFT: noise of variance 1 has bins of variance 1 at every size.
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        # Kernels are (time, frequency). The first layer alone has no weight norm.
        stride = (1, config.first_stride)
        layers: list[nn.Module] = [
            nn.Conv2d(2 * channels, filters, (3, 9), stride=stride, padding=(1, 4))
        ]
        for dilation in (1, 2, 4):
            layer = nn.Conv2d(
                filters,
                filters,
                (3, 9),
                stride=(1, 2),
                dilation=(dilation, 1),
                padding=(dilation, 4),
            )
            layers.append(weight_norm(layer))
        layers.append(weight_norm(nn.Conv2d(filters, filters, (3, 3), padding=1)))
        self.layers = nn.ModuleList(layers)
        self.last = weight_norm(nn.Conv2d(filters, 1, (3, 3), padding=1))

    def forward(self, waveform: Tensor) -> Verdict:
        """[B, C, N] float to logits [B, 1, T', F'] and features [B, filters, T', F']."""
        hidden = self._spectrogram(waveform).contiguous(memory_format=torch.channels_last)
        features = []
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), self.slope)
            features.append(hidden)
        return Verdict(self.last(hidden), tuple(features))

    def _spectrogram(self, waveform: Tensor) -> Tensor:
        """[B, C, N] to [B, 2C, T', F'], real parts first, in fp32 under autocast too."""
        with torch.autocast(waveform.device.type, enabled=False):
            samples = waveform.to(self.window.dtype)
            samples = F.pad(samples, (0, max(0, self.fft_size - samples.shape[-1])))
            spectrum = torch.stft(
                samples.flatten(0, 1),
                self.fft_size,
                self.fft_size // 4,
                window=self.window,
                center=False,
                return_complex=True,
            )
            spectrum = spectrum.unflatten(0, waveform.shape[:2]).transpose(2, 3)
            return torch.cat([spectrum.real, spectrum.imag], 1)


class PeriodDiscriminator(nn.Module):
    """2-D convolutions over a waveform folded into rows of `period` samples."""

    def __init__(self, period: int, channels: int, filters: int, slope: float) -> None:
        super().__init__()
        self.period = period
        self.slope = slope
        widths = (channels, filters, 4 * filters, 16 * filters, 32 * filters, 32 * filters)
        strides = (3, 3, 3, 3, 1)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(below, above, (5, 1), (stride, 1), padding=(2, 0)))
            for below, above, stride in zip(widths[:-1], widths[1:], strides, strict=True)
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, waveform: Tensor) -> Verdict:
        """[B, C, N] float to logits and features [B, channels, rows, period]."""
        missing = -waveform.shape[-1] % self.period
        hidden = F.pad(waveform, (0, missing)).unflatten(-1, (-1, self.period))
        features = []
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), self.slope)
            features.append(hidden)
        return Verdict(self.last(hidden), tuple(features))


class PatchDiscriminatorConfig(Config):
    """Configuration of `PatchDiscriminator`."""

    filters: int = Field(default=64, ge=1)
    """Channels of the first layer; each later one has twice as many, up to 8 times."""
    layers: int = Field(default=3, ge=1)
    """Layers that halve both axes."""
    slope: float = Field(default=0.2, ge=0, lt=1)
    """Of the LeakyReLU."""


class PatchDiscriminator(nn.Module):
    """2-D convolutions over a spectrogram: one logit for each patch of it.

    Weight norm stands where Isola et al. have batch norm, so that no item sees its batch mates.
    """

    def __init__(self, config: PatchDiscriminatorConfig) -> None:
        super().__init__()
        self.slope = config.slope
        widths = [1, *(config.filters * 2 ** min(depth, 3) for depth in range(config.layers + 1))]
        strides = [2] * config.layers + [1]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(below, above, 2 + stride, stride, padding=1))
            for below, above, stride in zip(widths[:-1], widths[1:], strides, strict=True)
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, spectrogram: Tensor) -> Verdict:
        """[B, 1, M, F] float to logits [B, 1, M', F'] and features [B, filters, M', F']."""
        hidden = spectrogram.contiguous(memory_format=torch.channels_last)
        features = []
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), self.slope)
            features.append(hidden)
        return Verdict(self.last(hidden), tuple(features))


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """A block in which gradients pass through a module but not into it."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
