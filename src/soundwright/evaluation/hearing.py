"""What decoding a sound shows: its hash, its length, and whether something is wrong with it."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from soundwright.audio.loudness import is_silent, peak_db
from soundwright.audio.sound import Sound
from soundwright.core.records import Record
from soundwright.data.clips import hash_samples

FULL_SCALE = 1 - 2.0**-15
"""The largest positive sample of 16 bits is just this; the negative one lies beyond."""
CLIPPED_RUN = 3
"""Samples in a row at full scale. A normalised sound touches it for one or two, a clipped one
stays."""
LOWEST_DB = -200.0
"""Stands for digital silence, which JSON cannot hold in decibels."""


class Readable(Protocol):
    """Something that can be decoded: an item of a collection, or a control."""

    @property
    def name(self) -> str:
        """Unique among those that are heard together."""
        ...

    def read(self) -> Sound:
        """Decode it; raises `AudioError`."""
        ...

    def fingerprint(self) -> str:
        """Changes when the content may have changed; empty where nothing can be known."""
        ...


class Heard(Record):
    """Facts about a decoded sound."""

    pcm_hash: str
    """Of the samples and the rate: the key of everything that is computed from it."""
    duration: float
    sample_rate: int
    channels: int
    peak_db: float
    silent: bool
    """No sample reaches -60 dB."""
    clipped: int
    """Samples that stand at full scale with at least two neighbours."""


def hear(sound: Sound) -> Heard:
    """Measure a decoded sound."""
    return Heard(
        pcm_hash=hash_samples(sound),
        duration=sound.duration,
        sample_rate=sound.sample_rate,
        channels=sound.channels,
        peak_db=round(max(peak_db(sound.samples), LOWEST_DB), 2),
        silent=is_silent(sound.samples),
        clipped=count_clipped(sound.samples),
    )


def count_clipped(samples: Tensor) -> int:
    """Samples of [C, N] within runs of three or more at full scale, of one sign."""
    return sum(_in_runs(side >= FULL_SCALE) for side in (samples, -samples))


def _in_runs(full: Tensor) -> int:
    """Number of True values of [C, N] that stand in a run of `CLIPPED_RUN` or more."""
    if full.shape[-1] < CLIPPED_RUN:
        return 0
    starts = full.unfold(-1, CLIPPED_RUN, 1).all(-1)
    inside = torch.zeros_like(full)
    for step in range(CLIPPED_RUN):
        inside[:, step : step + starts.shape[-1]] |= starts
    return int(inside.sum())
