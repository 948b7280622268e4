"""A light vocoder: log-mels through ConvNeXt blocks to magnitude and phase of every bin.

As Vocos (Siuzdak 2023): all layers work at the frame rate, and an inverse STFT makes the samples,
so that two CPU cores train it in half an hour.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from soundwright.audio.mel import PRESETS, MelConfig
from soundwright.codecs.spectrum import Frames, blocks
from soundwright.core.config import Config
from soundwright.core.seeding import initialising


class SpectrumVocoderConfig(Config):
    """Configuration of `SpectrumVocoder`."""

    mel: MelConfig = PRESETS["tango"]
    """What it hears; its hop is the synthesis's too."""
    fft_size: int = Field(default=640, ge=4)
    """Window of the synthesis, in samples."""
    width: int = Field(default=144, ge=1)
    blocks: int = Field(default=5, ge=1)
    expansion: int = Field(default=3, ge=1)
    """Width within a block, relative to the width between blocks."""
    kernel: int = Field(default=7, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        hop = self.mel.hop_length
        if self.fft_size < hop or (self.fft_size - hop) % 2:
            raise ValueError("fft_size must exceed mel.hop_length by an even number of samples")
        if self.kernel % 2 == 0:
            raise ValueError("kernel must be odd")
        return self


class SpectrumVocoder(nn.Module):
    """A `codecs.vocoding.Vocoder`.

    Args:
        config: See `SpectrumVocoderConfig`.
        seed: Of the initial weights.
    """

    def __init__(self, config: SpectrumVocoderConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        width, kernel = config.width, config.kernel
        self.frames = Frames(config.fft_size, config.mel.hop_length)
        with initialising(seed, "spectrum-vocoder"):
            self.stem = nn.Conv1d(config.mel.n_mels, width, kernel, padding=kernel // 2)
            self.first_norm = nn.LayerNorm(width)
            self.blocks = blocks(config.blocks, width, config.expansion, kernel)
            self.last_norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, 2 * self.frames.bins)

    @property
    def mel(self) -> MelConfig:
        """The front end of the spectrograms that it takes."""
        return self.config.mel

    def forward(self, mel: Tensor) -> Tensor:
        """[B, M, F] to [B, F * hop_length]."""
        hidden = self.blocks(self.first_norm(self.stem(mel).transpose(1, 2)))
        magnitudes, phases = self.head(self.last_norm(hidden)).float().chunk(2, -1)
        return self.frames.synthesise(magnitudes, phases)
