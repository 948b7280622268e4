"""The parts of latent codecs by name: which autoencoder, which vocoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from soundwright.audio.mel import MelConfig
from soundwright.codecs.hifigan import HifiGan, HifiGanConfig
from soundwright.codecs.mel_autoencoder import MelAutoencoder, MelAutoencoderConfig
from soundwright.codecs.mel_vae import MelVae, MelVaeConfig
from soundwright.codecs.mel_vae_1d import MelVae1d, MelVae1dConfig
from soundwright.codecs.spectrum_vocoder import SpectrumVocoder, SpectrumVocoderConfig
from soundwright.core.config import Config


class VaeChoice(Config):
    """Exactly one autoencoder of spectrograms.

    What stands directly in its place, without one of the two names, is `mel_2d`: so it is in
    folders from before there were two.
    """

    mel_2d: MelVaeConfig | None = None
    """Over time and bands: Tango's."""
    mel_1d: MelVae1dConfig | None = None
    """Over time, with bands as channels: GenAU's."""

    @model_validator(mode="before")
    @classmethod
    def _name(cls, values: Any) -> Any:
        is_bare = isinstance(values, Mapping) and not {"mel_2d", "mel_1d"} & values.keys()
        return {"mel_2d": values} if is_bare else values

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.mel_2d is None) == (self.mel_1d is None):
            raise ValueError("give exactly one of mel_2d and mel_1d")
        return self

    @property
    def config(self) -> MelAutoencoderConfig:
        """That of the one."""
        config = self.mel_2d or self.mel_1d
        assert config is not None
        return config

    def scaled(self, scale: float) -> VaeChoice:
        """The same with another scale of latents."""
        name = "mel_1d" if self.mel_2d is None else "mel_2d"
        scaled = self.config.model_copy(update={"scale": scale})
        return self.model_copy(update={name: scaled})


def build_vae(choice: VaeChoice, seed: int = 0) -> MelAutoencoder[Any]:
    """An autoencoder with initial weights."""
    if choice.mel_1d is not None:
        return MelVae1d(choice.mel_1d, seed)
    assert choice.mel_2d is not None
    return MelVae(choice.mel_2d, seed)


class VocoderChoice(Config):
    """Exactly one vocoder."""

    spectrum: SpectrumVocoderConfig | None = None
    """ConvNeXt and an inverse STFT, light."""
    hifigan: HifiGanConfig | None = None
    """Tango's."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.spectrum is None) == (self.hifigan is None):
            raise ValueError("give exactly one of spectrum and hifigan")
        return self

    def placed_as(self, mel: MelConfig) -> VocoderChoice:
        """The same for spectrograms whose windows lie where those of `mel` do."""
        name = "hifigan" if self.spectrum is None else "spectrum"
        config: SpectrumVocoderConfig | HifiGanConfig = getattr(self, name)
        placed = config.model_copy(update={"mel": config.mel.placed_as(mel)})
        return self.model_copy(update={name: placed})


def build_vocoder(choice: VocoderChoice, seed: int = 0) -> SpectrumVocoder | HifiGan:
    """A vocoder with initial weights."""
    if choice.hifigan is not None:
        return HifiGan(choice.hifigan, seed)
    assert choice.spectrum is not None
    return SpectrumVocoder(choice.spectrum, seed)
