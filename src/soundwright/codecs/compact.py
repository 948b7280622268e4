"""A light codec that trains on a CPU: spectrogram in, ConvNeXt, RVQ, inverse STFT out.

The encoder reads log magnitudes at a fine frame rate and joins neighbouring frames into one
token frame; the decoder splits them again and predicts magnitude and phase of every bin (Vocos,
Siuzdak 2023). Phase is not coded: the discriminators teach the decoder to make a plausible one,
which costs no bits. Inside, tensors are [B, T, D]; T counts token frames, T * stack fine frames.
"""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from soundwright.codecs.frames import frame_mask, pad_to_frames
from soundwright.codecs.quantizer import QuantizerConfig, ResidualQuantizer
from soundwright.codecs.spectrum import Frames, blocks
from soundwright.codecs.task import CodecOutput
from soundwright.core.config import Config
from soundwright.core.seeding import initialising


class CompactCodecConfig(Config):
    """Configuration of `CompactCodec`."""

    sample_rate: int = Field(default=16_000, ge=1)
    fft_size: int = Field(default=640, ge=4)
    """Window of the analysis and of the synthesis, in samples."""
    fine_hop: int = Field(default=160, ge=1)
    """Samples between fine frames."""
    stack: int = Field(default=4, ge=1)
    """Fine frames that one token frame holds: the frame rate is sample_rate / fine_hop / stack."""
    fine_width: int = Field(default=192, ge=1)
    wide_width: int = Field(default=256, ge=1)
    """Widths at the fine and at the token frame rate."""
    encoder_blocks: tuple[int, int] = (2, 3)
    """ConvNeXt blocks at the fine and at the token frame rate."""
    decoder_blocks: tuple[int, int] = (4, 4)
    """ConvNeXt blocks at the token and at the fine frame rate."""
    expansion: int = Field(default=3, ge=1)
    """Width within a block, relative to the width between blocks."""
    kernel: int = Field(default=7, ge=1)
    latent_width: int = Field(default=64, ge=1)
    quantizer: QuantizerConfig = QuantizerConfig(
        codebooks=8, kmeans_iterations=20, dropout=0.5, normalise_latents=True
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fft_size < self.fine_hop or (self.fft_size - self.fine_hop) % 2:
            raise ValueError("fft_size must exceed fine_hop by an even number of samples")
        if self.kernel % 2 == 0:
            raise ValueError("kernel must be odd")
        return self


class CompactCodec(nn.Module):
    """The codec of the bundled model; implements `core.protocols.TokenCodec`, mono only.

    Args:
        config: See `CompactCodecConfig`.
        seed: Of the initial weights and of the quantiser's draws.
    """

    def __init__(self, config: CompactCodecConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with initialising(seed, "compact-codec"):
            self.encoder = SpectrumEncoder(config)
            self.quantizer = ResidualQuantizer(config.latent_width, config.quantizer, seed=seed)
            self.decoder = SpectrumDecoder(config)

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.config.sample_rate

    @property
    def channels(self) -> int:
        """C, always 1."""
        return 1

    @property
    def hop_length(self) -> int:
        """Samples a token frame."""
        return self.config.fine_hop * self.config.stack

    @property
    def codebooks(self) -> int:
        """K."""
        return self.config.quantizer.codebooks

    @property
    def codebook_size(self) -> int:
        """Codes in each codebook."""
        return self.config.quantizer.codebook_size

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Tensor:
        """[B, 1, N] float in [-1, 1] to [B, K, T] int64, T = ceil(N / hop_length)."""
        padded = pad_to_frames(waveform, self.hop_length)
        return self.quantizer.encode(self.encoder(padded[:, 0]).transpose(1, 2))

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """[B, K', T] int64 to [B, 1, T * hop_length] float; K' <= K uses the first levels."""
        return self.decoder(self.quantizer.decode(tokens).transpose(1, 2))[:, None]

    def forward_training(self, waveform: Tensor, mask: Tensor) -> CodecOutput:
        """Reconstruct a batch, letting the codebooks learn in training mode.

        Args:
            waveform: [B, 1, N]; N is a multiple of `hop_length`.
            mask: [B, N] bool.
        """
        latents = self.encoder(waveform[:, 0]).transpose(1, 2)
        quantised = self.quantizer(latents, frame_mask(mask, self.hop_length))
        reconstruction = self.decoder(quantised.quantized.transpose(1, 2))[:, None]
        return CodecOutput(reconstruction=reconstruction, quantised=quantised)


class SpectrumEncoder(nn.Module):
    """Waveform [B, N] to latents [B, T, latent_width]."""

    def __init__(self, config: CompactCodecConfig) -> None:
        super().__init__()
        fine, wide = config.fine_width, config.wide_width
        self.frames = Frames(config.fft_size, config.fine_hop)
        self.stem = nn.Linear(self.frames.bins, fine)
        self.fine = blocks(config.encoder_blocks[0], fine, config.expansion, config.kernel)
        self.join = nn.Linear(fine * config.stack, wide)
        self.wide = blocks(config.encoder_blocks[1], wide, config.expansion, config.kernel)
        self.norm = nn.LayerNorm(wide)
        self.out = nn.Linear(wide, config.latent_width)
        self.stack = config.stack

    def forward(self, waveform: Tensor) -> Tensor:
        """N is a multiple of stack * fine_hop."""
        hidden = self.fine(self.stem(self.frames.log_magnitudes(waveform)))
        hidden = self.join(hidden.unflatten(1, (-1, self.stack)).flatten(2))
        return self.out(self.norm(self.wide(hidden))).float()


class SpectrumDecoder(nn.Module):
    """Latents [B, T, latent_width] to a waveform [B, T * stack * fine_hop]."""

    def __init__(self, config: CompactCodecConfig) -> None:
        super().__init__()
        fine, wide = config.fine_width, config.wide_width
        self.frames = Frames(config.fft_size, config.fine_hop)
        self.stem = nn.Conv1d(config.latent_width, wide, 3, padding=1)
        self.wide = blocks(config.decoder_blocks[0], wide, config.expansion, config.kernel)
        self.split = nn.Linear(wide, fine * config.stack)
        self.fine = blocks(config.decoder_blocks[1], fine, config.expansion, config.kernel)
        self.norm = nn.LayerNorm(fine)
        self.head = nn.Linear(fine, 2 * self.frames.bins)
        self.stack = config.stack

    def forward(self, latents: Tensor) -> Tensor:
        """Latents to a waveform."""
        hidden = self.wide(self.stem(latents.transpose(1, 2)).transpose(1, 2))
        hidden = self.fine(self.split(hidden).unflatten(2, (self.stack, -1)).flatten(1, 2))
        magnitudes, phases = self.head(self.norm(hidden)).float().chunk(2, -1)
        return self.frames.synthesise(magnitudes, phases)
