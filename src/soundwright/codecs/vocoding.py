"""What a vocoder is, and how one is trained: as a codec whose encoder is a spectrogram."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from torch import Tensor, nn

from soundwright.audio.mel import LogMel, MelConfig
from soundwright.codecs.frames import pad_to_frames
from soundwright.codecs.hifigan import HifiGan, join_weight_norm
from soundwright.codecs.mel_autoencoder import MelAutoencoder
from soundwright.codecs.task import CodecOutput

_SIZE = "parametrizations.weight.original0"
_DIRECTION = "parametrizations.weight.original1"

MelSource = Callable[[Tensor], Tensor]
"""Waveforms [B, N] to the log-mels [B, M, F] that the vocoder hears of them."""


class Vocoder(Protocol):
    """Log-mels to a waveform; an `nn.Module` besides."""

    @property
    def mel(self) -> MelConfig:
        """The front end of the spectrograms that it takes."""
        ...

    def __call__(self, mel: Tensor) -> Tensor:
        """[B, M, F] float to [B, F * mel.hop_length] float."""
        ...


class VocoderTraining(nn.Module):
    """A vocoder as `CodecTask` trains it; a `codecs.task.TrainableCodec` without codebooks.

    HiFi-GAN trains by weight norm. `plain_weights` makes its weights from those of this module.

    Args:
        vocoder: What is trained, a `Vocoder`.
        source: What makes its spectrograms. Not trained, and no part of the state dictionary.
    """

    def __init__(self, vocoder: nn.Module, source: MelSource) -> None:
        super().__init__()
        self.vocoder = vocoder
        self.source = source
        if isinstance(vocoder, HifiGan):
            vocoder.normalise_weights()
        self._mel = cast(Vocoder, vocoder).mel

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self._mel.sample_rate

    @property
    def channels(self) -> int:
        """C, always 1."""
        return 1

    @property
    def hop_length(self) -> int:
        """Samples a mel frame."""
        return self._mel.hop_length

    def forward_training(self, waveform: Tensor, mask: Tensor) -> CodecOutput:
        """Rebuild [B, 1, N] from its spectrogram; zeros stand where the mask [B, N] is False."""
        mel = self.source((waveform * mask[:, None])[:, 0])
        return CodecOutput(self.vocoder(mel)[:, None])


def plain_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The vocoder's own weights, without weight norm, from those of its `VocoderTraining`."""
    plain = {}
    for name, value in weights.items():
        own = name.removeprefix("vocoder.")
        if own.endswith(_SIZE):
            directions = weights[name.removesuffix(_SIZE) + _DIRECTION]
            plain[own.removesuffix(_SIZE) + "weight"] = join_weight_norm(value, directions)
        elif not own.endswith(_DIRECTION):
            plain[own] = value
    return plain


class TrueMels:
    """The spectrograms of the recordings themselves."""

    def __init__(self, config: MelConfig) -> None:
        self._front = LogMel(config)

    def __call__(self, waveform: Tensor) -> Tensor:
        """[B, N] to [B, M, F]."""
        return self._front.to(waveform.device)(waveform)


class RebuiltMels:
    """What a frozen autoencoder gives back, so that the vocoder learns to bear its blur."""

    def __init__(self, vae: MelAutoencoder[Any]) -> None:
        self._vae = vae.eval().requires_grad_(False)

    def __call__(self, waveform: Tensor) -> Tensor:
        """[B, N] to [B, M, F]; latents are the posterior's means."""
        vae = self._vae.to(waveform.device)
        frames = waveform.shape[-1] // vae.config.mel.hop_length
        mel = vae.mels(pad_to_frames(waveform, vae.config.hop_length))
        return vae.decode(vae.encode(mel).mean)[..., :frames]
