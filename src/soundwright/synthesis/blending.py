"""Two recordings of one label made into a third sound of that label, which neither of them is.

Recordings are few, and a model that hears each of them hundreds of times learns them by heart. A
blend keeps what makes the label and takes away what makes the recording.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from soundwright.audio.mixing import gain_of

Samples = npt.NDArray[np.float64]

WINDOW_S = 0.032
HOP_S = 0.004
LIFTER_S = 0.0012
"""Quefrencies below this are the envelope: it follows formants, not harmonics above 400 Hz."""
SMOOTHING_S = 0.02
DEPTH_DB = 60.0
"""Levels further than this below a sound's peak count as this far below."""
MOST_DB = 24.0
"""How far a morph lifts or lowers any place of the spectrum."""


def overlay(first: Samples, second: Samples, gain_db: float) -> Samples:
    """Both at once, for sounds without a single source: two rains are one rain.

    Args:
        first: [N], which sets the length.
        second: [M]; repeated from its begin where it is too short.
        gain_db: Power of `second` relative to `first`.

    Returns:
        [N].
    """
    if not len(second):
        return first
    other = np.resize(second, len(first))
    power = float(np.mean(other**2))
    if not power:
        return first
    return first + other * (gain_of(gain_db) * (float(np.mean(first**2)) / power) ** 0.5)


def morph(
    first: Samples, second: Samples, share: float, sample_rate: int, *, steady: bool = False
) -> Samples:
    """The pitch and grain of one sound under the spectral envelope of both.

    Args:
        first: [N], which gives the fine structure and the length.
        second: [M], stretched in time to the length of the first.
        share: 0 leaves the first as it is; 1 gives it the second's envelope.
        sample_rate: Samples a second of both.
        steady: Take the second's mean envelope instead of its course in time: for textures with
            a rhythm of their own, such as a rotor's.

    Returns:
        [N].
    """
    size = 2 * round(WINDOW_S * sample_rate / 2)
    transform = ShortTimeFFT(hann(size, sym=False), round(HOP_S * sample_rate), sample_rate)
    if min(len(first), len(second)) < size:
        return first
    spectrum = transform.stft(first)
    own, other = _envelope(spectrum, transform), _envelope(transform.stft(second), transform)
    if steady:
        difference = (other.mean(1) - own.mean(1))[:, None]
    else:
        places = np.linspace(0, other.shape[1] - 1, own.shape[1])
        before = places.astype(int)
        after = np.minimum(before + 1, other.shape[1] - 1)
        part = places - before
        difference = other[:, before] * (1 - part) + other[:, after] * part - own
    limit = MOST_DB * np.log(10) / 20
    gains = np.exp(np.clip(share * difference, -limit, limit))
    return np.asarray(transform.istft(spectrum * gains, k1=len(first)), dtype=np.float64)


def _envelope(spectrum: npt.NDArray[np.complex128], transform: ShortTimeFFT) -> Samples:
    """Log magnitudes [F, T], smooth in frequency and time, without the sound's overall level."""
    levels = np.abs(spectrum)
    levels = np.log(np.maximum(levels / max(levels.max(), 1e-12), gain_of(-DEPTH_DB)))
    cepstrum = np.fft.irfft(levels, axis=0)
    kept = round(LIFTER_S * transform.fs)
    cepstrum[kept + 1 : -kept] = 0
    smooth = np.fft.rfft(cepstrum, axis=0).real
    frames = max(1, round(SMOOTHING_S / HOP_S))
    return uniform_filter1d(smooth, frames, axis=1, mode="nearest")
