"""The scorers' front end: what is heard, as levels below the loudest moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from soundwright.audio.channels import to_channels
from soundwright.audio.mel import LogMel, MelConfig
from soundwright.audio.resampling import resample
from soundwright.core.config import Config
from soundwright.core.errors import AudioError

EMPTY_DB = -200.0
"""The level of a cell in which there is nothing."""

LEVEL_MEL = MelConfig(hop_length=320, f_min=50.0, scale="htk", power=2, log="decibel", floor=1e-20)
"""64 bands at 16 kHz, 50 frames a second, in decibels of power."""


class LevelConfig(Config):
    """How sounds are read."""

    mel: MelConfig = LEVEL_MEL
    """Has to give decibels of power."""
    sound_db: Annotated[float, Field(gt=0)] = 60.0
    """The sound begins and ends with the first and the last frame that is at most this far
    below the loudest one."""


class Levels(nn.Module):
    """Turns waveforms of any rate, length and loudness into level spectrograms."""

    def __init__(self, config: LevelConfig) -> None:
        super().__init__()
        self.config = config
        self.mel = LogMel(config.mel)

    def read(self, waveform: Tensor, sample_rate: int, *, trim: bool = True) -> Tensor | None:
        """The levels of one sound.

        Args:
            waveform: [C, N] or [N] float.
            sample_rate: Of the waveform.
            trim: Leave out the silence before and after the sound.

        Returns:
            [M, F] dB, on the device of this module; the loudest cell is at 0. None for digital
            silence.

        Raises:
            AudioError: There are no samples, or some are not finite.
        """
        mono = to_channels(torch.atleast_2d(waveform.detach().float()), 1)[0]
        if not mono.numel():
            raise AudioError("A sound without samples cannot be scored.", reason="no-samples")
        if not mono.isfinite().all():
            raise AudioError("A sound has samples that are not finite.", reason="not-finite")
        peak = mono.abs().amax()
        if peak == 0:
            return None
        mono = resample(mono / peak, sample_rate, self.config.mel.sample_rate)
        levels = self.mel(mono.to(self.mel.window.device))
        if trim:
            loudness = add_powers(levels, 0)
            first, last = ends(loudness > loudness.amax() - self.config.sound_db)
            levels = levels[:, first : last + 1]
        return levels - levels.amax()


def add_powers(levels: Tensor, axis: int) -> Tensor:
    """The level in dB of the sum of the powers along an axis."""
    scale = math.log(10) / 10
    return torch.logsumexp(levels * scale, axis) / scale


def pad_levels(clips: Sequence[Tensor]) -> Tensor:
    """Levels [M, F] of several lengths as [B, M, F] fp32, with nothing after the shorter ones."""
    longest = max(clip.shape[1] for clip in clips)
    padded = torch.full((len(clips), clips[0].shape[0], longest), EMPTY_DB)
    for row, clip in zip(padded, clips, strict=True):
        row[:, : clip.shape[1]] = clip
    return padded


def ends(heard: Tensor) -> tuple[int, int]:
    """The first and the last place of [F] at which `heard` is True; there has to be one."""
    places = heard.nonzero()[:, 0]
    return int(places[0]), int(places[-1])
