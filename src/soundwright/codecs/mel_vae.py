"""A variational autoencoder of log-mel spectrograms: the latents of AudioLDM, Tango and Tango 2.

The network is `AutoencoderKL` of diffusers, over images whose height is time and whose width is
mel bands. With `MelVaeConfig()` it has the shape of the public weights, audioldm-s-full: 10.24 s
are 8 x 256 x 16 latents.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from soundwright.codecs.mel_autoencoder import MelAutoencoder, MelAutoencoderConfig
from soundwright.core.extras import load_diffusers
from soundwright.core.protocols import Posterior
from soundwright.core.seeding import initialising


class MelVaeConfig(MelAutoencoderConfig):
    """Configuration of `MelVae`; the defaults are Tango's."""

    patch: int = Field(default=1, ge=1)
    """Frames and bands, patch x patch of them, that are folded into channels before the first
    level. 2 saves a level at the full size, which costs a CPU more than all the others."""
    widths: tuple[int, ...] = Field(default=(128, 256, 512), min_length=1)
    """Channels of each level; between two levels time and bands are halved."""
    layers: int = Field(default=2, ge=1)
    """Residual blocks a level."""
    groups: int = Field(default=32, ge=1)
    """Of the group norms; divides all widths."""
    latent_channels: int = Field(default=8, ge=1)
    scale: float = Field(default=0.9227914214134216, gt=0)
    """Factor that brings latents to about unit variance, for the diffusion model. Tango's by
    default; a trained network's is measured."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if any(width % self.groups for width in self.widths):
            raise ValueError(f"widths {self.widths} are not all multiples of groups {self.groups}")
        if self.mel.n_mels % self.compression:
            raise ValueError(
                f"mel.n_mels {self.mel.n_mels} is no multiple of {self.compression}, which is "
                "patch x 2^(levels - 1)"
            )
        return self

    @property
    def compression(self) -> int:
        """Mel frames in a latent frame, and mel bands in a latent band."""
        return self.patch * 2 ** (len(self.widths) - 1)

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Channels and bands of a latent frame."""
        return self.latent_channels, self.mel.n_mels // self.compression


class MelVae(MelAutoencoder[MelVaeConfig]):
    """Log-mels [B, M, F] to posteriors of latents [B, C, T, M / compression], and back.

    Args:
        config: See `MelVaeConfig`.
        seed: Of the initial weights.

    Raises:
        UserError: diffusers is not installed.
    """

    def __init__(self, config: MelVaeConfig, seed: int = 0) -> None:
        super().__init__(config)
        with initialising(seed, "mel-vae"):
            self.network = _build_network(config)

    def _infer(self, mel: Tensor) -> Posterior:
        folded = F.pixel_unshuffle(mel.transpose(1, 2)[:, None], self.config.patch)
        found = self.network.encode(folded).latent_dist
        return Posterior(found.mean.float(), found.std.float())

    def _rebuild(self, latents: Tensor) -> Tensor:
        image = F.pixel_shuffle(self.network.decode(latents).sample.float(), self.config.patch)
        return image[:, 0].transpose(1, 2)


def _build_network(config: MelVaeConfig) -> Any:
    """The `AutoencoderKL`, with initial weights."""
    diffusers = load_diffusers()
    levels, channels = len(config.widths), config.patch**2
    return diffusers.AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        latent_channels=config.latent_channels,
        norm_num_groups=config.groups,
        scaling_factor=config.scale,
    )
