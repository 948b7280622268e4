"""What the samples of a clip say of its quality: numbers that annotate and decide nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundwright.audio.channels import to_channels
from soundwright.audio.loudness import CHANNEL_WEIGHTS, integrated_loudness, peak_db, rms_db
from soundwright.audio.sound import Sound

FLOOR_DB = -120.0
"""Levels and loudness of digital silence, which has none: scores are finite."""
SILENT_DB = -60.0
WINDOW_S = 0.02
"""Windows whose levels are compared with `SILENT_DB`."""
CLIPPED_RUN = 3
"""Equal samples in a row, at the peak, that are taken for clipping."""
CLIPPED_FROM = 0.95
"""Least peak at which a sound is taken for clipped: of full scale."""
SPECTRUM_SIZE = 2048
BAND_DROP_DB = 60.0
BAND_HZ = 250.0

SCORES = (
    *("silent_share", "zero_share", "clipped_share", "dc_offset", "bandwidth", "peak_db"),
    *("rms_db", "crest_db", "loudness", "same_share"),
)
"""Names of what is measured; the last one only of several channels."""


def probe_sound(sound: Sound) -> dict[str, float]:
    """Measure a clip. All scores are finite, and shares lie between 0 and 1.

    - `silent_share`: of the whole windows of 20 ms (one window, where the clip is shorter), those
      whose RMS over all channels lies below -60 dBFS.
    - `zero_share`: of the moments, those at which all channels are exactly 0.
    - `clipped_share`: of all samples, those in runs of at least 3 equal samples at the channel's
      largest or smallest value, where that is at least 0.95 of full scale.
    - `dc_offset`: largest mean of a channel, in magnitude, of full scale.
    - `bandwidth`: Hz above which there is nothing, such as where a lossy encoder or a lower
      sample rate has cut: the upper edge of the highest band of 250 Hz whose power in the mean
      spectrum lies within 60 dB of the strongest band's. 0 for silence. Does not change with the
      gain.
    - `peak_db`, `rms_db`: in dBFS; a full-scale sine has 0 and -3.01.
    - `crest_db`: peak above RMS in dB; 0 for silence. Does not change with the gain.
    - `loudness`: integrated loudness of BS.1770 in LUFS; of sounds with more than 6 channels, of
      their mean.
    - `same_share`, where there are two channels or more: of the moments, those at which all
      channels are equal; 1 is mono in two channels.

    Levels and loudness of digital silence are -120, and no level is lower.

    Args:
        sound: With at least one sample in each channel, all of them finite, as decoding gives it.
    """
    samples = sound.samples.detach().cpu().numpy()
    assert samples.size, "a sound without samples"
    peak, rms = (max(FLOOR_DB, level) for level in (peak_db(sound.samples), rms_db(sound.samples)))
    heard = sound.samples
    if sound.channels not in CHANNEL_WEIGHTS:
        heard = to_channels(heard, 1)
    scores = {
        "silent_share": _silent_share(samples, sound.sample_rate),
        "zero_share": float((samples == 0).all(0).mean()),
        "clipped_share": float(np.mean([_clipped_share(channel) for channel in samples])),
        "dc_offset": float(np.abs(samples.mean(-1, dtype=np.float64)).max()),
        "bandwidth": highest_band(samples, sound.sample_rate),
        "peak_db": peak,
        "rms_db": rms,
        "crest_db": peak - rms,
        "loudness": max(FLOOR_DB, integrated_loudness(heard, sound.sample_rate)),
    }
    if sound.channels > 1:
        scores["same_share"] = float((samples == samples[:1]).all(0).mean())
    return scores


def highest_band(samples: NDArray[np.float32], sample_rate: int) -> float:
    """`bandwidth` of `probe_sound`, of samples [C, N]."""
    size = min(SPECTRUM_SIZE, samples.shape[-1])
    window = np.blackman(size + 1)[:-1].astype(np.float32)
    count = max(1, samples.shape[-1] // size)
    blocks = samples[:, : count * size].reshape(-1, size)
    power = np.zeros(size // 2 + 1)
    for first in range(0, len(blocks), 256):
        spectrum = np.fft.rfft(blocks[first : first + 256] * window)
        power += np.square(np.abs(spectrum)).sum(0, dtype=np.float64)
    bands = (np.arange(len(power)) * sample_rate / size // BAND_HZ).astype(np.int64)
    levels = np.bincount(bands, power)
    if levels.max() <= 0:
        return 0.0
    highest = int(np.flatnonzero(levels > levels.max() * 10 ** (-BAND_DROP_DB / 10))[-1])
    return min((highest + 1) * BAND_HZ, sample_rate / 2)


def _silent_share(samples: NDArray[np.float32], sample_rate: int) -> float:
    size = min(samples.shape[-1], max(1, round(WINDOW_S * sample_rate)))
    count = samples.shape[-1] // size
    whole = samples[:, : count * size]
    power = np.einsum("cn,cn->n", whole, whole).reshape(count, size)
    levels = power.mean(-1, dtype=np.float64) / len(samples)
    return float((levels < 10 ** (SILENT_DB / 10)).mean())


def _clipped_share(channel: NDArray[np.float32]) -> float:
    clipped = 0
    for extreme in (channel.max(), channel.min()):
        if abs(extreme) < CLIPPED_FROM:
            continue
        # Where runs of the extreme value begin, and where they have ended.
        edges = np.flatnonzero(np.diff(channel == extreme, prepend=False, append=False))
        lengths = edges[1::2] - edges[::2]
        clipped += int(lengths[lengths >= CLIPPED_RUN].sum())
    return clipped / len(channel)
