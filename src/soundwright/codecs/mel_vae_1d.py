"""A variational autoencoder of log-mel spectrograms over time alone: the latents of GenAU.

Mel bands are channels, as in the 1-D autoencoder of Make-An-Audio 2, so that a latent frame is one
vector, a token of a transformer. With `MelVae1dConfig()` it has the shape of GenAU's (arXiv
2406.19388, appendix): 10.24 s are 64 x 256 latents. Inside, tensors are [B, D, T].
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.audio.mel import PRESETS, MelConfig
from soundwright.codecs.mel_autoencoder import MelAutoencoder, MelAutoencoderConfig
from soundwright.core.protocols import Posterior
from soundwright.core.seeding import initialising

_EPS = 1e-6
_SMALLEST, _LARGEST = -30.0, 20.0
"""Of log variances, beyond which their exponentials are of no use."""


class MelVae1dConfig(MelAutoencoderConfig):
    """Configuration of `MelVae1d`; the defaults are GenAU's."""

    mel: MelConfig = PRESETS["genau"]
    widths: tuple[int, ...] = Field(default=(512, 1024, 2048), min_length=1)
    """Channels of each level; between two levels time is halved."""
    layers: int = Field(default=3, ge=1)
    """Residual blocks a level of the encoder; the decoder has one more."""
    groups: int = Field(default=32, ge=1)
    """Of the group norms; divides all widths."""
    neck: int = Field(default=256, ge=1)
    """Channels between the networks and the 1 x 1 convolutions that make latents of them."""
    latent_channels: int = Field(default=64, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if any(width % self.groups for width in self.widths):
            raise ValueError(f"widths {self.widths} are not all multiples of groups {self.groups}")
        return self

    @property
    def compression(self) -> int:
        """Mel frames in a latent frame."""
        return 2 ** (len(self.widths) - 1)

    @property
    def latent_shape(self) -> tuple[int]:
        """Channels of a latent frame."""
        return (self.latent_channels,)


class MelVae1d(MelAutoencoder[MelVae1dConfig]):
    """Log-mels [B, M, F] to posteriors of latents [B, C, T], and back.

    Args:
        config: See `MelVae1dConfig`.
        seed: Of the initial weights.
    """

    def __init__(self, config: MelVae1dConfig, seed: int = 0) -> None:
        super().__init__(config)
        with initialising(seed, "mel-vae-1d"):
            self.encoder = Encoder(config)
            self.moments = nn.Conv1d(2 * config.neck, 2 * config.latent_channels, 1)
            self.unfold = nn.Conv1d(config.latent_channels, config.neck, 1)
            self.decoder = Decoder(config)

    def _infer(self, mel: Tensor) -> Posterior:
        mean, log_variance = self.moments(self.encoder(mel)).float().chunk(2, dim=1)
        deviation = (log_variance.clamp(_SMALLEST, _LARGEST) / 2).exp()
        return Posterior(mean, deviation)

    def _rebuild(self, latents: Tensor) -> Tensor:
        return self.decoder(self.unfold(latents)).float()


class Encoder(nn.Module):
    """Spectrograms [B, M, F] to [B, 2 * neck, T], F = T * compression."""

    def __init__(self, config: MelVae1dConfig) -> None:
        super().__init__()
        widths = config.widths
        self.stem = nn.Conv1d(config.mel.n_mels, widths[0], 3, padding=1)
        steps: list[nn.Module] = []
        for depth, (below, width) in enumerate(pairwise((widths[0], *widths))):
            steps += [Halve(below)] if depth else []
            steps += _level(below, width, config.layers, config.groups)
        self.levels = nn.ModuleList([*steps, *_middle(widths[-1], config.groups)])
        self.norm = nn.GroupNorm(config.groups, widths[-1], _EPS)
        self.last = nn.Conv1d(widths[-1], 2 * config.neck, 3, padding=1)

    def forward(self, mel: Tensor) -> Tensor:
        """What the moments of the posterior are made of."""
        hidden = self.stem(mel)
        for step in self.levels:
            hidden = step(hidden)
        return self.last(F.silu(self.norm(hidden)))


class Decoder(nn.Module):
    """[B, neck, T] to spectrograms [B, M, F], F = T * compression."""

    def __init__(self, config: MelVae1dConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.stem = nn.Conv1d(config.neck, widths[0], 3, padding=1)
        steps: list[nn.Module] = list(_middle(widths[0], config.groups))
        for depth, (above, width) in enumerate(pairwise((widths[0], *widths))):
            steps += [Double(above)] if depth else []
            steps += _level(above, width, config.layers + 1, config.groups)
        self.levels = nn.ModuleList(steps)
        self.norm = nn.GroupNorm(config.groups, widths[-1], _EPS)
        self.last = nn.Conv1d(widths[-1], config.mel.n_mels, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """The spectrogram in the network's own scale."""
        hidden = self.stem(hidden)
        for step in self.levels:
            hidden = step(hidden)
        return self.last(F.silu(self.norm(hidden)))


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1 x 1 convolution where widths differ."""

    def __init__(self, below: int, above: int, groups: int) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(groups, below, _EPS)
        self.first = nn.Conv1d(below, above, 3, padding=1)
        self.second_norm = nn.GroupNorm(groups, above, _EPS)
        self.second = nn.Conv1d(above, above, 3, padding=1)
        self.shortcut = nn.Identity() if below == above else nn.Conv1d(below, above, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """[B, below, T] to [B, above, T]."""
        update = self.first(F.silu(self.first_norm(hidden)))
        return self.shortcut(hidden) + self.second(F.silu(self.second_norm(update)))


class Attention(nn.Module):
    """x + self-attention over time with one head: [B, D, T] to [B, D, T]."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, _EPS)
        self.project = nn.Conv1d(width, 3 * width, 1)
        self.last = nn.Conv1d(width, width, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Every frame looks at all of them."""
        parts = self.project(self.norm(hidden)).transpose(1, 2).chunk(3, dim=-1)
        return hidden + self.last(F.scaled_dot_product_attention(*parts).transpose(1, 2))


class Halve(nn.Module):
    """Half as many frames: [B, D, 2 T] to [B, D, T]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Conv1d(width, width, 3, stride=2)

    def forward(self, hidden: Tensor) -> Tensor:
        """Frame t sees what were frames 2 t to 2 t + 2."""
        return self.layer(F.pad(hidden, (0, 1)))


class Double(nn.Module):
    """Twice as many frames: [B, D, T] to [B, D, 2 T]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Each frame twice, then mixed."""
        return self.layer(torch.repeat_interleave(hidden, 2, dim=-1))


def _level(first: int, width: int, layers: int, groups: int) -> Sequence[nn.Module]:
    """The residual blocks of one level, the first of which brings the width."""
    return [Residual(width if layer else first, width, groups) for layer in range(layers)]


def _middle(width: int, groups: int) -> Sequence[nn.Module]:
    """What stands at the coarsest level of both networks."""
    return Residual(width, width, groups), Attention(width, groups), Residual(width, width, groups)
