"""What the autoencoders of log-mel spectrograms have in common: front end, scales, whole frames."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, Self, TypeVar

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.audio.mel import PRESETS, LogMel, MelConfig
from soundwright.core.config import Config
from soundwright.core.protocols import Posterior


class MelAutoencoderConfig(Config):
    """What the configurations of all `MelAutoencoder`s say."""

    mel: MelConfig = PRESETS["tango"]
    center: float = 0.0
    spread: float = Field(default=1.0, gt=0)
    """The network sees (mel - center) / spread. AudioLDM's sees log-mels as they are; a network
    that is trained in minutes needs them near mean 0 and variance 1."""
    scale: float = Field(default=1.0, gt=0)
    """Factor that brings latents to about unit variance, for the diffusion model; measured when
    training ends."""

    @model_validator(mode="after")
    def _has_whole_frames(self) -> Self:
        if self.mel.frames(self.hop_length) != self.compression:
            raise ValueError(
                "mel: so many hops are not so many frames; set mel.trim to true, or mel.padding to "
                "reflect_hops"
            )
        return self

    @property
    @abstractmethod
    def compression(self) -> int:
        """Mel frames in a latent frame."""

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, ...]:
        """Of one latent frame: channels, and bands where there are any."""

    @property
    def hop_length(self) -> int:
        """Samples in a latent frame."""
        return self.mel.hop_length * self.compression


Shape = TypeVar("Shape", bound=MelAutoencoderConfig)


class MelAutoencoder(nn.Module, Generic[Shape]):
    """Log-mels [B, M, F] to posteriors of latents [B, C, T, ...], and back.

    Args:
        config: The subclass's own.
    """

    def __init__(self, config: Shape) -> None:
        super().__init__()
        self.config = config
        self.front = LogMel(config.mel)

    def mels(self, waveform: Tensor) -> Tensor:
        """The spectrogram [B, M, F] of [B, N], F = N / mel.hop_length for whole hops."""
        return self.front(waveform)

    def encode(self, mel: Tensor) -> Posterior:
        """[B, M, F] to a scaled posterior of T = ceil(F / compression) frames.

        The last latent frame is filled up with silence.
        """
        raw, scale = self.infer(mel), self.config.scale
        return Posterior(raw.mean * scale, raw.deviation * scale)

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [B, C, T, ...] to [B, M, T * compression]."""
        return self.rebuild(latents / self.config.scale)

    def infer(self, mel: Tensor) -> Posterior:
        """As `encode`, before scaling: what training works with."""
        config = self.config
        missing = -mel.shape[-1] % config.compression
        whole = F.pad(mel, (0, missing), value=self._silence(mel)) if missing else mel
        return self._infer((whole - config.center) / config.spread)

    def rebuild(self, latents: Tensor) -> Tensor:
        """As `decode`, of latents that are not scaled."""
        return self._rebuild(latents) * self.config.spread + self.config.center

    @abstractmethod
    def _infer(self, mel: Tensor) -> Posterior:
        """The posterior, in fp32, of [B, M, T * compression] in the network's own scale."""

    @abstractmethod
    def _rebuild(self, latents: Tensor) -> Tensor:
        """Latents to [B, M, T * compression] in the network's own scale, in fp32."""

    def _silence(self, like: Tensor) -> float:
        """What the front end gives where there is no sound."""
        return float(self.front(like.new_zeros(self.config.mel.hop_length))[0, 0])
