"""How loud a sound is: BS.1770-4 loudness, peak, RMS, silence, and its bandwidth."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import sosfilt
from torch import Tensor

from soundwright.audio.mixing import gain_of

BLOCK_S = 0.4
STEP_S = 0.1
ABSOLUTE_GATE = -70.0
RELATIVE_GATE = -10.0
OFFSET = -0.691
"""LUFS of a mean square of one after the K-weighting (BS.1770-4, annex 1, equation 2)."""
CHANNEL_WEIGHTS: dict[int, tuple[float, ...]] = {
    1: (1.0,),
    2: (1.0, 1.0),
    3: (1.0, 1.0, 1.0),
    4: (1.0, 1.0, 1.41, 1.41),
    5: (1.0, 1.0, 1.0, 1.41, 1.41),
    6: (1.0, 1.0, 1.0, 0.0, 1.41, 1.41),
}
"""Left, right, centre, (low frequency effects,) left surround, right surround."""

SILENCE_DB = -60.0


def integrated_loudness(samples: Tensor, sample_rate: int) -> float:
    """Gated loudness of BS.1770-4, annex 1.

    Blocks of 400 ms that overlap by 75 % are gated at -70 LUFS and at 10 LU below the mean of
    what remains. A clip shorter than 400 ms, for which the recommendation defines nothing, is
    one block of its own length; a last block that is not whole is left out otherwise.

    Args:
        samples: [C, N] float with C from 1 to 6, in the order of `CHANNEL_WEIGHTS`.
        sample_rate: Samples a second.

    Returns:
        LUFS; minus infinity where no block passes the absolute gate.
    """
    assert samples.shape[0] in CHANNEL_WEIGHTS, f"{samples.shape[0]} channels"
    if samples.shape[-1] == 0:
        return -math.inf
    signal = samples.detach().cpu().double().numpy()
    weighted = np.asarray(sosfilt(k_weighting(sample_rate), signal, axis=-1))
    weights = np.asarray(CHANNEL_WEIGHTS[samples.shape[0]])
    power = weights @ _block_power(weighted, sample_rate)
    power = power[_level(power) > ABSOLUTE_GATE]
    if power.size == 0:
        return -math.inf
    power = power[_level(power) > _level(power.mean()) + RELATIVE_GATE]
    return float(_level(power.mean()))


@functools.lru_cache(maxsize=16)
def k_weighting(sample_rate: int) -> NDArray[np.float64]:
    """The K-weighting as second-order sections [2, 6]: high shelf, then high pass.

    BS.1770-4 tabulates both filters at 48 kHz only. The analogue parameters below give those
    coefficients there; at other rates they are the bilinear transform of the same analogue
    filters, as meters of the field do it (997 Hz reads 0.04 LU higher at 16 kHz).
    """
    return np.stack([_high_shelf(sample_rate), _high_pass(sample_rate)])


def peak_db(samples: Tensor) -> float:
    """Largest absolute sample in dB below full scale; minus infinity for silence."""
    return _decibels(float(samples.abs().max()) if samples.numel() else 0.0)


def rms_db(samples: Tensor) -> float:
    """Root mean square over all channels in dB; a full-scale sine has -3.01."""
    return _decibels(float(samples.double().square().mean().sqrt()) if samples.numel() else 0.0)


def is_silent(samples: Tensor, threshold_db: float = SILENCE_DB) -> bool:
    """Whether no sample reaches `threshold_db`; an empty signal is silent."""
    return peak_db(samples) < threshold_db


def normalise_peak(samples: Tensor, target_db: float = -1.0) -> Tensor:
    """Scale so that the peak is `target_db`; silence stays as it is."""
    peak = peak_db(samples)
    return samples if math.isinf(peak) else samples * gain_of(target_db - peak)


def normalise_loudness(
    samples: Tensor, sample_rate: int, target: float = -23.0, ceiling_db: float = -1.0
) -> Tensor:
    """Scale to a loudness of `target` LUFS, or less where the peak would pass `ceiling_db`.

    The peak is kept by less gain, never by clipping. A signal below the absolute gate stays as
    it is. Shapes as in `integrated_loudness`.
    """
    loudness = integrated_loudness(samples, sample_rate)
    if math.isinf(loudness):
        return samples
    return samples * gain_of(min(target - loudness, ceiling_db - peak_db(samples)))


def bandwidth(samples: Tensor, sample_rate: int, share: float = 0.99) -> float:
    """The frequency in Hz below which `share` of the energy lies; 0 for silence.

    Args:
        samples: [..., N] float; the energy is summed over all channels.
        sample_rate: Samples a second.
        share: Part of the energy, between 0 and 1.
    """
    if samples.shape[-1] == 0:
        return 0.0
    spectrum = torch.fft.rfft(samples.double()).abs().square()
    energy = spectrum.reshape(-1, spectrum.shape[-1]).sum(0).cumsum(0)
    if energy[-1] <= 0:
        return 0.0
    index = int(torch.searchsorted(energy, share * energy[-1]))
    return index * sample_rate / samples.shape[-1]


def _block_power(weighted: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Mean squares [C, blocks] of the gating blocks of [C, N]."""
    frames = weighted.shape[-1]
    block = round(BLOCK_S * sample_rate)
    if frames < block:
        return np.square(weighted).mean(-1, keepdims=True)
    count = int((frames - block) / (STEP_S * sample_rate) + 1e-9) + 1
    starts = np.minimum(np.rint(np.arange(count) * STEP_S * sample_rate), frames - block)
    starts = starts.astype(np.int64)
    total = np.concatenate([np.zeros((len(weighted), 1)), np.square(weighted).cumsum(-1)], axis=-1)
    return (total[:, starts + block] - total[:, starts]) / block


def _level(power: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return OFFSET + 10.0 * np.log10(np.maximum(power, 0.0))


def _decibels(amplitude: float) -> float:
    return 20.0 * math.log10(amplitude) if amplitude > 0 else -math.inf


def _high_shelf(sample_rate: int) -> NDArray[np.float64]:
    gain = 10.0 ** (3.999843853973347 / 20.0)
    mid_gain = gain**0.4996667741545416
    k, q = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196
    scale = 1.0 + k / q + k * k
    return np.array(
        [
            (gain + mid_gain * k / q + k * k) / scale,
            2.0 * (k * k - gain) / scale,
            (gain - mid_gain * k / q + k * k) / scale,
            1.0,
            2.0 * (k * k - 1.0) / scale,
            (1.0 - k / q + k * k) / scale,
        ]
    )


def _high_pass(sample_rate: int) -> NDArray[np.float64]:
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    scale = 1.0 + k / q + k * k
    return np.array(
        [1.0, -2.0, 1.0, 1.0, 2.0 * (k * k - 1.0) / scale, (1.0 - k / q + k * k) / scale]
    )
