"""Waveform to latents and back: a mel autoencoder and a vocoder, joined."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from soundwright.codecs.frames import pad_to_frames
from soundwright.codecs.mel_autoencoder import MelAutoencoder
from soundwright.codecs.vocoding import Vocoder
from soundwright.core.errors import ConfigError
from soundwright.core.protocols import Posterior


class MelCodec(nn.Module):
    """A `core.protocols.LatentCodec`, mono only.

    Args:
        vae: Spectrograms to latents and back.
        vocoder: Spectrograms to waveforms; a `Vocoder`.

    Raises:
        ConfigError: They do not read the same spectrograms.
    """

    def __init__(self, vae: MelAutoencoder[Any], vocoder: nn.Module) -> None:
        super().__init__()
        if cast(Vocoder, vocoder).mel != vae.config.mel:
            raise ConfigError(
                "The autoencoder and the vocoder have different mel front ends.",
                expected="the same section mel in both",
            )
        self.vae, self.vocoder = vae, vocoder

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.vae.config.mel.sample_rate

    @property
    def channels(self) -> int:
        """Of the waveform, always 1."""
        return 1

    @property
    def hop_length(self) -> int:
        """Samples a latent frame."""
        return self.vae.config.hop_length

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Of a latent frame: channels, and bands where the autoencoder keeps some."""
        return self.vae.config.latent_shape

    @property
    def autoencoder(self) -> MelAutoencoder[Any]:
        """What decides on the latents."""
        return self.vae

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Posterior:
        """[B, 1, N] float in [-1, 1] to a posterior of T = ceil(N / hop_length) frames.

        An item does not depend on its batch mates, but on its whole length: norms and attention
        see silence behind a sound too.
        """
        padded = pad_to_frames(waveform, self.hop_length)
        return self.vae.encode(self.vae.mels(padded[:, 0]))

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """[B, C, T, ...] to [B, 1, T * hop_length] float.

        Samples may lie beyond [-1, 1]: who writes them limits them, and nothing wraps around.
        """
        return self.vocoder(self.vae.decode(latents))[:, None]
