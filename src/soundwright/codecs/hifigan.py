"""HiFi-GAN (Kong et al. 2020), the vocoder of AudioLDM, Tango and Tango 2, by transformers."""

from __future__ import annotations

import math
from typing import Any, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from soundwright.audio.mel import PRESETS, MelConfig
from soundwright.core.config import Config
from soundwright.core.seeding import initialising


class HifiGanConfig(Config):
    """Configuration of `HifiGan`; the defaults are Tango's."""

    mel: MelConfig = PRESETS["tango"]
    """What it hears."""
    rates: tuple[int, ...] = (5, 4, 2, 2, 2)
    """Upsampling of each stage; their product is the front end's hop."""
    kernels: tuple[int, ...] = (16, 16, 8, 4, 4)
    """Of the transposed convolutions."""
    width: int = Field(default=1024, ge=1)
    """Channels before the first stage; each stage halves them."""
    residual_kernels: tuple[int, ...] = (3, 7, 11)
    residual_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    """Of the residual blocks of each stage."""
    slope: float = Field(default=0.1, ge=0, lt=1)
    """Of the LeakyReLU."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if math.prod(self.rates) != self.mel.hop_length:
            raise ValueError(
                f"the product of rates {self.rates} is not mel.hop_length {self.mel.hop_length}"
            )
        if len(self.kernels) != len(self.rates):
            raise ValueError("kernels and rates have one number for each stage")
        if any(kernel < rate for kernel, rate in zip(self.kernels, self.rates, strict=True)):
            raise ValueError("no kernel is smaller than its rate: samples would be left out")
        if len(self.residual_dilations) != len(self.residual_kernels):
            raise ValueError("residual_dilations has one entry for each of residual_kernels")
        if self.width % 2 ** len(self.rates):
            raise ValueError(f"width {self.width} cannot be halved {len(self.rates)} times")
        return self


class HifiGan(nn.Module):
    """A `codecs.vocoding.Vocoder` around `SpeechT5HifiGan`.

    Args:
        config: See `HifiGanConfig`.
        seed: Of the initial weights.
    """

    def __init__(self, config: HifiGanConfig, seed: int = 0) -> None:
        super().__init__()
        from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

        self.config = config
        shape = SpeechT5HifiGanConfig(
            model_in_dim=config.mel.n_mels,
            sampling_rate=config.mel.sample_rate,
            upsample_initial_channel=config.width,
            upsample_rates=list(config.rates),
            upsample_kernel_sizes=list(config.kernels),
            resblock_kernel_sizes=list(config.residual_kernels),
            resblock_dilation_sizes=[list(part) for part in config.residual_dilations],
            leaky_relu_slope=config.slope,
            normalize_before=False,
        )
        with initialising(seed, "hifigan"):
            self.network: Any = SpeechT5HifiGan(shape)

    @property
    def mel(self) -> MelConfig:
        """The front end of the spectrograms that it takes."""
        return self.config.mel

    def forward(self, mel: Tensor) -> Tensor:
        """[B, M, F] to [B, F * hop_length], within [-1, 1].

        Where a stage's kernel and rate differ by an odd number, as in Tango's first, its output
        has samples too many; those at the end are cut off, as AudioLDM does.
        """
        samples = mel.shape[-1] * self.config.mel.hop_length
        return cast(Tensor, self.network(mel.transpose(1, 2)))[:, :samples]

    def normalise_weights(self) -> None:
        """Train by weight norm from here on; `vocoding.plain_weights` undoes it."""
        self.network.apply_weight_norm()


def join_weight_norm(sizes: Tensor, directions: Tensor) -> Tensor:
    """The weight [D, ...] that weight norm keeps as sizes [D, 1, ...] and directions [D, ...]."""
    lengths = torch.linalg.vector_norm(directions.flatten(1), dim=1).view_as(sizes)
    return directions * (sizes / lengths)
