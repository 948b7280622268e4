"""OpenL3's audio network, 512 numbers a second of sound, as the tools that measure with it hear.

Its two front ends differ: that of openl3 0.4 takes Slaney's mel bands of magnitudes, from the
window's first sample on, and that of openl3 0.3, which torchopenl3 ports, HTK's of powers, with
half of the missing zeros in front. Their distances must not be mixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from soundwright.audio.loudness import normalise_peak
from soundwright.audio.mel import LogMel, MelConfig, mel_bands
from soundwright.core.config import Config
from soundwright.core.devices import choose_device
from soundwright.core.protocols import Encoded
from soundwright.scorers.openl3_weights import (
    CHECKPOINTS,
    WIDTH,
    Bands,
    Content,
    convolution_name,
    kept_original,
    norm_name,
    rename_openl3,
)
from soundwright.scorers.pretrained import hash_weights, load_published
from soundwright.scorers.windows import WindowRule, check_sound, encode_windows

SAMPLE_RATE = 48000
BATCH_SIZE = 4
CHANNELS = (1, 64, 64, 128, 128, 256, 256, 512, WIDTH)
HALVED = (3, 5, 7)
"""Convolutions before which time and frequency are halved."""
WINDOWS = WindowRule(size=SAMPLE_RATE, hop=SAMPLE_RATE // 2, tail="pad")
LEAD = WINDOWS.size // 2
"""Zeros before a sound, so that its first window is centred on its first sample."""
FRAMES = 199
AMIN = 1e-10
RANGE = 80.0
"""Below a window's loudest band nothing is heard; tens of log10 of magnitudes, not of powers."""
PEAK_DB = -1.0
"""To which stable-audio-metrics brings the largest magnitude of a sound."""


class OpenL3Config(Config):
    """One of the conventions around the same network."""

    mel: MelConfig
    lead: int
    """Zeros before the first frame of a window; `FRAMES` are filled up with others at its end."""
    gain: Literal["none", "peak"] = "none"
    """Leave samples alone, or bring the largest magnitude of the whole sound to `PEAK_DB`."""
    channels: Literal[1, 2] = 1
    """2: as left and right of a sound with two equal channels, which doubles a squared distance."""


_MEL = MelConfig(
    sample_rate=SAMPLE_RATE,
    n_fft=2048,
    win_length=2048,
    hop_length=242,
    n_mels=256,
    padding="none",
    log="none",
)
_MEL_OLD = _MEL.model_copy(update={"scale": "htk", "power": 2})
_MISSING = (FRAMES - 1) * _MEL.hop_length + _MEL.win_length - WINDOWS.size
CONVENTIONS: Mapping[str, OpenL3Config] = MappingProxyType(
    {
        "openl3": OpenL3Config(mel=_MEL, lead=0),
        "torchopenl3": OpenL3Config(mel=_MEL_OLD, lead=_MISSING // 2),
        "stable-audio-metrics": OpenL3Config(mel=_MEL, lead=0, gain="peak", channels=2),
    }
)


class OpenL3Network(nn.Module):
    """Windows of a second to embeddings; named as in torchopenl3.

    Args:
        convention: A key of `CONVENTIONS`.
        bands: Mel bands.
    """

    bands: Tensor

    def __init__(self, convention: str, bands: Bands) -> None:
        super().__init__()
        self.convention, config = convention, CONVENTIONS[convention]
        mel = config.mel.model_copy(update={"n_mels": bands})
        self.config = config.model_copy(update={"mel": mel})
        self.mel = LogMel(mel)
        self.register_buffer("bands", mel_bands(mel).T.float())
        for number, (below, above) in enumerate(pairwise(CHANNELS), start=1):
            self.add_module(norm_name(number), nn.BatchNorm2d(below, eps=1e-3))
            self.add_module(convolution_name(number), nn.Conv2d(below, above, 3, padding=1))

    def forward(self, windows: Tensor) -> Tensor:
        """[B, 48000] to [B, 512]."""
        image = self.decibels(windows)[:, None]
        for number in range(1, len(CHANNELS)):
            image = self.get_submodule(norm_name(number))(image)
            if number > 1:
                image = functional.relu(image)
            if number in HALVED:
                image = functional.max_pool2d(image, 2)
            image = self.get_submodule(convolution_name(number))(image)
        return image.amax((2, 3))

    def decibels(self, windows: Tensor) -> Tensor:
        """[B, 48000] to [B, M, 199], of which the largest is 0 and none is below -80."""
        lead = self.config.lead
        energy = self.bands @ self.mel.spectrum(functional.pad(windows, (lead, _MISSING - lead)))
        magnitude = energy.sqrt() if self.config.mel.power == 2 else energy
        level = 10 * magnitude.clamp(min=AMIN).log10()
        return (level - level.amax((1, 2), keepdim=True)).clamp(min=-RANGE)


class OpenL3:
    """Implements `AudioEncoder`: 512 numbers a second of sound, every half second.

    Args:
        network: Filled with weights, in evaluation mode.
        content: What the weights were trained on.
        weights: What the metric card says of the weights.
        batch_size: Windows a batch.
    """

    def __init__(
        self,
        network: OpenL3Network,
        content: Content,
        weights: str,
        *,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._config, self._network = network.config, network
        self._batch_size = batch_size
        self._device = network.bands.device
        mel = self._config.mel
        self._name = f"openl3-{content}-mel{mel.n_mels}"
        self._identity = f"{self._name}/{hash_weights(network, self._config)}"
        scale = {"slaney": "Slaney", "htk": "HTK"}[mel.scale]
        of = {1: "magnitudes", 2: "powers"}[mel.power]
        self._facts = {
            "convention": network.convention,
            "weights": weights,
            "content": content,
            "front end": f"{mel.n_mels} mel bands, {scale}, of {of}",
            "gain": f"peak of the mono sound at {PEAK_DB:g} dB"
            if self._config.gain == "peak"
            else "none",
            "embedding": "once, as mono"
            if self._config.channels == 1
            else "as of two equal channels, left and right",
            "window": "1 s",
            "hop": "0.5 s",
            "head": "0.5 s of zeros",
            "tail": "filled up with zeros",
            "precision": "fp32",
        }

    @property
    def name(self) -> str:
        """Content and kind of input."""
        return self._name

    @property
    def identity(self) -> str:
        """Name, and hash of weights and convention."""
        return self._identity

    @property
    def sample_rate(self) -> int:
        """48 kHz."""
        return SAMPLE_RATE

    @property
    def facts(self) -> Mapping[str, str]:
        """Convention, weights, content, front end, gain, window, hop, head, tail."""
        return self._facts

    def encode(self, waveforms: Sequence[Tensor]) -> list[Encoded]:
        """Describe mono sounds [N] at 48 kHz, within [-1, 1].

        Raises:
            AudioError: A sound without samples, or with some that are not finite.
        """
        return encode_windows(
            [self._prepare(waveform) for waveform in waveforms],
            WINDOWS,
            self._forward,
            batch_size=self._batch_size,
            width=WIDTH,
        )

    def _prepare(self, waveform: Tensor) -> Tensor:
        check_sound(waveform)
        if self._config.gain == "peak":
            waveform = normalise_peak(waveform, PEAK_DB)
        return functional.pad(waveform, (LEAD, 0))

    def _forward(self, windows: Tensor) -> tuple[Tensor, None]:
        embeddings = self._network(windows.to(self._device))
        # Both channels' rows side by side have the distances of one channel's times the root of 2.
        return embeddings * self._config.channels**0.5, None


def load_openl3(
    convention: str = "openl3",
    content: Content = "env",
    bands: Bands = 256,
    weights: str | None = None,
    device: torch.device | str = "cpu",
) -> OpenL3:
    """OpenL3's audio network with its published weights, or with others.

    Args:
        convention: A key of `CONVENTIONS`.
        content: Which weights: those of environmental sounds or those of music.
        bands: Mel bands that the weights were trained with.
        weights: As in `load_published`, or a file of openl3 itself (.h5, of version 0.4). None is
            torchopenl3's copy or, where only that is in the cache, the file of openl3.
        device: Where it works.

    Raises:
        MissingWeightsError: The weights are neither here nor reachable, or h5py is not here.
        CheckpointError: They are damaged, or not weights of this network.
        UserError: The device is not on this machine.
    """
    chosen = choose_device(str(device))
    network = OpenL3Network(convention, bands)
    published = CHECKPOINTS[content, bands]

    def rename(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        named, kept = rename_openl3(state)
        # torchopenl3 hears with the bands in its file, whatever made them.
        if kept is None or convention != "torchopenl3":
            kept = network.bands
        return {"bands": kept, **named}

    told = load_published(network, published, weights or kept_original(content, bands), rename)
    return OpenL3(network.to(chosen), content, told)
