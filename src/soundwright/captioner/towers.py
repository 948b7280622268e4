"""The frozen towers: an audio tower, HTSAT or a small one, beside CLAP or a small matcher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import max_pool1d, pad
from transformers import ClapAudioConfig, ClapAudioModel

from soundwright.audio.mel import LogMel, MelConfig
from soundwright.audio.resampling import resample
from soundwright.captioner.heard import Impression
from soundwright.core.config import Config
from soundwright.core.errors import ConfigError
from soundwright.core.files import hash_bytes
from soundwright.core.protocols import AudioEncoder
from soundwright.core.seeding import initialising
from soundwright.scorers.detector import Detector, DetectorConfig
from soundwright.scorers.modes import full_precision
from soundwright.scorers.pretrained import hash_weights
from soundwright.scorers.tagger import Tagger, TaggerConfig
from soundwright.scorers.windows import check_sound, run_in_batches

BATCH_SIZE = 8
REVISION = 1
"""Raised when this file makes other states of the same weights and sounds."""
HTSAT_MEL = MelConfig(
    sample_rate=32_000,
    hop_length=320,
    f_min=50.0,
    f_max=14_000.0,
    power=2,
    log="decibel",
    floor=1e-10,
)


class HtsatConfig(Config):
    """HTSAT as AutoCap has it: the audio tower of transformers' CLAP, at a front end of its own.

    The defaults are the paper's.
    """

    mel: MelConfig = HTSAT_MEL
    seconds: float = Field(default=10.0, gt=0)
    """Of every input; shorter sounds are followed by silence."""
    peak: float = Field(default=0.5, gt=0, le=1)
    """To which sounds are brought, their mean taken away."""
    repeat: int = Field(default=32, ge=1)
    """How often each of the tower's 32 frames stands in the states. It adds nothing that is heard,
    but the paper's captions are better for it."""
    image: int = Field(default=256, ge=1)
    """Side of the square into which the spectrogram is folded."""
    patch: int = Field(default=4, ge=1)
    width: int = Field(default=96, ge=1)
    """Of a patch; it doubles from level to level."""
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: int = Field(default=8, ge=1)

    @property
    def states(self) -> int:
        """D of the states."""
        return self.width * 2 ** (len(self.depths) - 1)

    @classmethod
    def of_clap(cls, clap: ClapAudioConfig) -> Self:
        """HTSAT at the sizes of a CLAP model's.

        Raises:
            ConfigError: It is of a kind that AutoCap does not hear with.
        """
        if clap.enable_fusion:
            raise ConfigError(
                "This CLAP was trained with fusion.",
                expected="one without, such as laion/clap-htsat-unfused",
            )
        return cls(
            image=clap.spec_size,
            patch=int(clap.patch_size),  # pyright: ignore[reportArgumentType]
            width=clap.patch_embeds_hidden_size,
            depths=tuple(clap.depths),
            heads=tuple(clap.num_attention_heads),
            window=clap.window_size,
        )

    def transformers_config(self) -> ClapAudioConfig:
        """The network's."""
        return ClapAudioConfig(
            window_size=self.window,
            num_mel_bins=self.mel.n_mels,
            spec_size=self.image,
            patch_size=self.patch,
            patch_stride=[self.patch, self.patch],
            hidden_size=self.states,
            patch_embeds_hidden_size=self.width,
            depths=list(self.depths),
            num_attention_heads=list(self.heads),
            num_hidden_layers=len(self.depths),
        )


class HtsatTower(nn.Module):
    """From waveforms to HTSAT's last grid, averaged over its bands: frames of what is heard.

    Args:
        config: See `HtsatConfig`.
        seed: Of initial weights, where none are loaded.
    """

    def __init__(self, config: HtsatConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.mel = LogMel(config.mel)
        with initialising(seed, "htsat"):
            self.network: Any = ClapAudioModel(config.transformers_config())

    @property
    def width(self) -> int:
        """D."""
        return self.config.states

    @property
    def frames(self) -> int:
        """Most frames that it gives."""
        config = self.config
        stride = config.patch * 2 ** (len(config.depths) - 1)
        folds = config.image // config.mel.n_mels
        return config.image * folds // stride * config.repeat

    @property
    def sample_rate(self) -> int:
        """At which it hears."""
        return self.config.mel.sample_rate

    @property
    def longest(self) -> float:
        """Seconds that it hears."""
        return self.config.seconds

    def listen(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """States [T, D] of mono sounds [N]; none of digital silence."""
        sounds = [self._level(waveform) for waveform in waveforms]
        heard = [sound for sound in sounds if sound is not None]
        found = (rows for rows, _ in run_in_batches(heard, self._hear, BATCH_SIZE))
        empty = torch.zeros(0, self.width)
        return [empty if sound is None else next(found) for sound in sounds]

    def _hear(self, sounds: Tensor) -> tuple[Tensor, None]:
        image = self.mel(sounds.to(self.mel.window.device)).transpose(1, 2)[:, None]
        # No sound is longer than the window: nothing is to be fused.
        longer = torch.zeros(len(image), 1, dtype=torch.bool, device=image.device)
        grid = self.network(image, is_longer=longer).last_hidden_state
        return grid.mean(2).transpose(1, 2).repeat_interleave(self.config.repeat, 1), None

    def _level(self, waveform: Tensor) -> Tensor | None:
        """The first seconds at their peak; None of silence, which has none."""
        wanted = round(self.config.seconds * self.sample_rate)
        sound = waveform[:wanted].float()
        sound = sound - sound.mean()
        loudest = sound.abs().amax()
        if loudest < 1e-8:
            return None
        return pad(sound / loudest * self.config.peak, (0, wanted - len(sound)))


class SmallTowerConfig(Config):
    """Networks small enough to be trained on two cores; at least one of them."""

    tagger: TaggerConfig | None = None
    """Knows single sounds well."""
    detector: DetectorConfig | None = None
    """Tells sounds apart that follow each other or sound together."""
    pool: int = Field(default=2, ge=1)
    """So many of the detector's steps become one frame."""
    seconds: float = Field(default=10.0, gt=0)
    """That are heard at once."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.tagger is None and self.detector is None:
            raise ValueError("give tagger, detector or both")
        return self


class SmallTower(nn.Module):
    """The hidden states of a tagger and of a detector, side by side.

    Args:
        config: See `SmallTowerConfig`.
    """

    frames = 512
    """Most that it gives: of ten seconds a detector that ships gives 125."""

    def __init__(self, config: SmallTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.longest = config.seconds
        self.tagger = None if config.tagger is None else Tagger(config.tagger)
        self.detector = None if config.detector is None else Detector(config.detector)

    @property
    def width(self) -> int:
        """D: the sum of theirs."""
        tagger = 0 if self.config.tagger is None else self.config.tagger.widths[-1]
        return tagger + (0 if self.detector is None else self.detector.width)

    @property
    def sample_rate(self) -> int:
        """At which it hears."""
        network = self.config.detector or self.config.tagger
        assert network is not None
        return network.levels.mel.sample_rate

    def listen(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """States [T, D] of mono sounds [N], silence around them included; none of silence."""
        wanted = round(self.longest * self.sample_rate)
        return [self._hear(waveform[:wanted]) for waveform in waveforms]

    def _hear(self, waveform: Tensor) -> Tensor:
        found: list[Tensor] = []
        if self.tagger is not None:
            found.append(self.tagger.states(waveform, self.sample_rate, trim=False))
        if self.detector is not None:
            rows = self.detector.states(waveform, self.sample_rate)
            found.append(
                max_pool1d(rows.T, self.config.pool, ceil_mode=True).T if len(rows) else rows
            )
        # A coarser network's frames stand as often as the finest has frames in each.
        longest = max(map(len, found))
        places = torch.arange(longest)
        return torch.cat([rows[places * len(rows) // max(longest, 1)] for rows in found], 1)


class TowerChoice(Config):
    """Exactly one audio tower."""

    htsat: HtsatConfig | None = None
    small: SmallTowerConfig | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.htsat is None) == (self.small is None):
            raise ValueError("give exactly one of htsat and small")
        return self


def build_tower(choice: TowerChoice, seed: int = 0) -> HtsatTower | SmallTower:
    """A tower with initial weights."""
    if choice.htsat is not None:
        return HtsatTower(choice.htsat, seed)
    assert choice.small is not None
    with initialising(seed, "tower"):
        return SmallTower(choice.small)


class FrozenTowers:
    """A `heard.Towers`: an audio tower, and CLAP or what stands for it.

    It is no module, so that no optimizer, no average and no switch to training mode reaches what
    is frozen.

    Args:
        tower: Is put into evaluation mode and frozen.
        clap: Hears sounds as wholes; None leaves them out.
    """

    def __init__(self, tower: HtsatTower | SmallTower, clap: AudioEncoder | None = None) -> None:
        self.tower = tower.eval().requires_grad_(False)
        self.clap = clap
        if isinstance(clap, nn.Module):
            clap.eval().requires_grad_(False)
        parts = [hash_weights(tower, tower.config), str(REVISION)]
        parts += [] if clap is None else [clap.identity]
        self._identity = hash_bytes("\n".join(parts).encode())[:16]

    @property
    def identity(self) -> str:
        """Hash of both with their front ends."""
        return self._identity

    @property
    def sample_rate(self) -> int:
        """The audio tower's."""
        return self.tower.sample_rate

    @property
    def longest(self) -> float:
        """The audio tower's."""
        return self.tower.longest

    @full_precision()
    def listen(self, waveforms: Sequence[Tensor]) -> list[Impression]:
        """What is heard in mono sounds [N] at `sample_rate`.

        Raises:
            AudioError: A sound without samples, or with some that are not finite.
        """
        sounds = [check_sound(waveform) for waveform in waveforms]
        states = self.tower.listen(sounds)
        if self.clap is None:
            return [Impression(rows) for rows in states]
        wanted = round(self.longest * self.sample_rate)
        heard = self.clap.encode(
            [resample(sound[:wanted], self.sample_rate, self.clap.sample_rate) for sound in sounds]
        )
        vectors = [encoded.vector.float().cpu() for encoded in heard]
        return [Impression(*both) for both in zip(states, vectors, strict=True)]
