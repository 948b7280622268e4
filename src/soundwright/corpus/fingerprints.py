"""Fingerprints: what of a sound survives lossy coding, gain, mild equalisation and cutting.

A fingerprint is a constellation (Wang, 2003): peaks of a spectrogram, here of its contrast with the
second around each cell, so that neither a steady tone nor a common spectrum gives peaks. A landmark
is three peaks: the band of the first, the steps in band and time to the other two, in 32 bits.
Landmarks of pairs, as in the original, have some 15 bits of information, by which chance alone
brings any two of a million clips together; those of triples have about 25, and a lossy codec still
leaves a quarter to a half of them. The peaks of noise stand where chance put them: two recordings
of rain share none, a recording and its copy most.

Not robust to changes of speed or pitch: those move every peak. Nor is a sound of less than half a
second found within a longer one: nearly all its peaks stand by its edges, where the surroundings
decide which cell is the highest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.ndimage import maximum_filter, uniform_filter1d
from torch import Tensor

from soundwright.audio.mel import LogMel, MelConfig
from soundwright.audio.resampling import resample
from soundwright.core.config import Config

FINGERPRINT_MEL = MelConfig(
    hop_length=160,
    n_mels=128,
    f_min=100.0,
    f_max=7000.0,
    scale="htk",
    power=2,
    log="decibel",
    floor=1e-20,
)
"""Frames of 64 ms every 10 ms, so that a cut between two frames changes little; up to where codecs
of low rates still keep a sound."""

SILENT_DB = -150.0
"""A sound whose loudest cell is below this is digital silence."""
MIXER = np.uint32(0x9E3779B1)
"""Odd, so that multiplication permutes the 32-bit numbers; it spreads alike landmarks widely."""


class FingerprintConfig(Config):
    """How fingerprints are made. Those of two configurations cannot be compared."""

    mel: MelConfig = FINGERPRINT_MEL
    around_frames: Annotated[int, Field(ge=1)] = 50
    """Contrast is measured against so many frames before and after a cell, and among the peaks
    within this distance ..."""
    peaks_around: Annotated[int, Field(ge=1)] = 16
    """... only so many of the strongest are kept."""
    apart_frames: Annotated[int, Field(ge=1)] = 6
    """A peak is the highest cell within so many frames ..."""
    apart_bands: Annotated[int, Field(ge=1)] = 4
    """... and so many bands."""
    least_contrast_db: Annotated[float, Field(gt=0)] = 3.0
    """How far a peak has to stand out."""
    range_db: Annotated[float, Field(gt=0)] = 60.0
    """Cells further than this below the loudest one hold no peaks."""
    targets: Annotated[int, Field(ge=2)] = 4
    """Each peak is joined with all pairs of so many later ones, the nearest."""
    nearest_frames: Annotated[int, Field(ge=1)] = 3
    """They begin at least so much later: what begins together is often one click."""
    furthest_frames: Annotated[int, Field(ge=1)] = 64
    furthest_bands: Annotated[int, Field(ge=1)] = 40
    frames_a_step: Annotated[int, Field(ge=1)] = 2
    """Times between peaks are rounded to steps of so many frames."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.nearest_frames > self.furthest_frames:
            raise ValueError(
                f"nearest_frames {self.nearest_frames} exceeds furthest_frames "
                f"{self.furthest_frames}"
            )
        if self.mel.n_mels * (self.band_steps * self.time_steps) ** 2 > 1 << 32:
            raise ValueError("a landmark of so many bands and frames does not fit into 32 bits")
        return self

    @property
    def band_steps(self) -> int:
        """Number of different steps in band from a peak to a later one."""
        return 2 * self.furthest_bands + 1

    @property
    def time_steps(self) -> int:
        """Number of different steps in time."""
        return self.furthest_frames // self.frames_a_step + 1

    @property
    def frame_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.mel.hop_length / self.mel.sample_rate


DEFAULT_FINGERPRINT = FingerprintConfig()


@dataclass(frozen=True)
class Fingerprint:
    """The landmarks of one sound, L of them, sorted by hash, then time; no two are equal."""

    hashes: NDArray[np.uint32]
    """[L]."""
    times: NDArray[np.uint32]
    """[L], frames from the start of the sound to a landmark's first peak."""
    duration: float
    """Seconds of the whole sound."""

    def __len__(self) -> int:
        return len(self.hashes)


def fingerprint(
    samples: Tensor, sample_rate: int, config: FingerprintConfig = DEFAULT_FINGERPRINT
) -> Fingerprint:
    """Take the fingerprint of one sound; about 5 kB for ten seconds of a busy one.

    Args:
        samples: [C, N] float; channels are averaged.
        sample_rate: Samples a second.
        config: How.

    Returns:
        An empty fingerprint for digital silence, for a steady tone, and for a sound so short or
        so plain that it has fewer than three peaks; an empty one matches nothing.
    """
    duration = samples.shape[-1] / sample_rate
    if samples.shape[-1] == 0:
        frames = bands = np.zeros(0, np.int64)
    else:
        mono = samples.detach().float().mean(0)
        mono = resample(mono - mono.mean(), sample_rate, config.mel.sample_rate)
        with torch.inference_mode():
            levels = LogMel(config.mel)(mono).numpy()
        frames, bands = find_peaks(levels, config)
    hashes, times = _join(frames, bands, config)
    # One number for both sorts faster than two keys.
    rows = np.unique(hashes.astype(np.uint64) << np.uint64(32) | times.astype(np.uint64))
    return Fingerprint((rows >> np.uint64(32)).astype(np.uint32), rows.astype(np.uint32), duration)


def find_peaks(
    levels: NDArray[np.floating], config: FingerprintConfig = DEFAULT_FINGERPRINT
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The peaks of a spectrogram [M, F] in decibels: their frames and bands [P], by time.

    Which peaks are kept depends only on what is heard around each, not on the whole sound, so
    that a part of a sound keeps the peaks that it has in the whole.
    """
    loudest = levels.max(initial=-np.inf)
    if loudest < SILENT_DB:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    levels = np.maximum(levels, loudest - config.range_db)
    width = 2 * config.around_frames + 1
    contrast = levels - uniform_filter1d(levels, width, axis=1, mode="nearest")
    size = (2 * config.apart_bands + 1, 2 * config.apart_frames + 1)
    highest = maximum_filter(contrast, size, mode="constant", cval=-np.inf)
    loud = levels > loudest - config.range_db
    peaks = (contrast == highest) & (contrast > config.least_contrast_db) & loud
    frames, bands = np.nonzero(peaks.T)
    kept = _count_stronger(frames, contrast[bands, frames], config.around_frames)
    strong = kept < config.peaks_around
    return frames[strong], bands[strong]


def _count_stronger(
    frames: NDArray[np.int64], strengths: NDArray[np.floating], around: int
) -> NDArray[np.int64]:
    """How many stronger peaks [P] each has at most `around` frames away; frames ascend."""
    counts = np.zeros(len(frames), np.int64)
    for step in range(1, len(frames)):
        near = frames[step:] - frames[:-step] <= around
        if not near.any():
            break
        counts[:-step] += near & (strengths[step:] > strengths[:-step])
        counts[step:] += near & (strengths[:-step] > strengths[step:])
    return counts


def _join(
    frames: NDArray[np.int64], bands: NDArray[np.int64], config: FingerprintConfig
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Hashes and times [L] of all landmarks of P peaks, whose frames ascend."""
    count = len(frames)
    reach = np.searchsorted(frames, frames + config.furthest_frames, side="right")
    width = int((reach - np.arange(count)).max(initial=1))
    # Row p, column k: whether the k-th peak after p may be joined with it.
    later = np.arange(count)[:, None] + np.arange(1, width)
    exists = later < count
    later = np.where(exists, later, 0)
    far = frames[later] - frames[:, None]
    fits = exists & (far >= config.nearest_frames) & (far <= config.furthest_frames)
    fits &= np.abs(bands[later] - bands[:, None]) <= config.furthest_bands
    place = np.cumsum(fits, axis=1) - 1
    fits &= place < config.targets
    targets = np.full((count, config.targets), -1)
    rows, columns = np.nonzero(fits)
    targets[rows, place[rows, columns]] = later[rows, columns]
    firsts, seconds = np.triu_indices(config.targets, 1)
    # Targets fill up from the first, so that a triple is whole where its later one is there.
    anchors, triples = np.nonzero(targets[:, seconds] >= 0)
    code = bands[anchors]
    for columns in (firsts, seconds):
        other = targets[anchors, columns[triples]]
        band = bands[other] - bands[anchors] + config.furthest_bands
        step = (frames[other] - frames[anchors]) // config.frames_a_step
        code = (code * config.band_steps + band) * config.time_steps + step
    return code.astype(np.uint32) * MIXER, frames[anchors]
