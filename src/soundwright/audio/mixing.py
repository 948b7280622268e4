"""Signals laid over each other at exact times, by chosen gains or as loud as they are heard."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

LEVEL_WINDOW_S = 0.128
"""Windows in which a level is taken: 2048 samples at 16 kHz."""
LEVEL_FLOOR_DB = -80.0


@dataclass(frozen=True)
class Layer:
    """One signal of a mix."""

    samples: Tensor
    """[C, N] float."""
    start: int = 0
    """Sample of the mix at which the layer begins; what lies before 0 is cut."""
    gain_db: float = 0.0


def gain_of(decibels: float) -> float:
    """The factor on the amplitude that a level of `decibels` means."""
    return 10.0 ** (decibels / 20.0)


def add_at(mix: Tensor, samples: Tensor, start: int, gain_db: float = 0.0) -> None:
    """Add `samples` to `mix` in place, from sample `start` on; what sticks out is cut.

    Args:
        mix: [C, N] float.
        samples: [C, M] float, or [1, M] for every channel.
        start: May be negative.
        gain_db: Gain on `samples`.
    """
    first, last = max(0, start), min(mix.shape[-1], start + samples.shape[-1])
    if first < last:
        mix[:, first:last] += samples[:, first - start : last - start] * gain_of(gain_db)


def mix(layers: Iterable[Layer], frames: int, channels: int = 1) -> Tensor:
    """Sum layers into [channels, frames] float32. Nothing is clipped or scaled.

    A layer has `channels` channels, or one that goes to all.
    """
    mixed = torch.zeros(channels, frames)
    for layer in layers:
        add_at(mixed, layer.samples, layer.start, layer.gain_db)
    return mixed


def mix_evenly(first: Layer, second: Layer, frames: int, sample_rate: int) -> Tensor:
    """Lay two signals into [C, frames] so that one is heard as well as the other.

    A peak beyond full scale is turned down to it with everything else; nothing is clipped.
    """
    one, two = (mix([layer], frames, layer.samples.shape[0]) for layer in (first, second))
    mixed = mix_by_level(one, two, sample_rate)
    return mixed / mixed.abs().max().clamp_min(1.0)


def mix_by_level(first: Tensor, second: Tensor, sample_rate: int) -> Tensor:
    """Equations 9 and 10 of Tango: the louder signal is turned down, and the energy is kept.

    With the levels G of `heard_level`, p = 1 / (1 + 10^((G1 - G2) / 20)), and the mix is
    (p x1 + (1 - p) x2) / sqrt(p^2 + (1 - p)^2). Silence has the level of the floor, so that it
    drowns the other signal: leave it out before.

    Args:
        first: x1, [C, N] float.
        second: x2, [C, N] float.
        sample_rate: Samples a second.
    """
    difference = heard_level(first, sample_rate) - heard_level(second, sample_rate)
    share = 1.0 / (1.0 + gain_of(difference))
    return (share * first + (1.0 - share) * second) / math.hypot(share, 1.0 - share)


def heard_level(samples: Tensor, sample_rate: int) -> float:
    """The A-weighted power of a signal's loudest window in dB, at least `LEVEL_FLOOR_DB`.

    Hann windows overlap by half; their length is the power of two next to 128 ms. A shorter
    signal is one window, and a last window that is not whole is left out otherwise. The power is
    the sum of the squared magnitudes of the spectrum, in the mean over channels.

    Args:
        samples: [C, N] float.
        sample_rate: Samples a second.
    """
    length = 1 << round(math.log2(LEVEL_WINDOW_S * sample_rate))
    signal = samples.detach().cpu().double()
    signal = torch.nn.functional.pad(signal, (0, max(0, length - signal.shape[-1])))
    windows = signal.unfold(-1, length, length // 2)
    windows = windows * torch.hann_window(length, dtype=torch.float64)
    power = torch.fft.rfft(windows).abs().square() @ _a_weights(length, sample_rate)
    return max(10.0 * math.log10(max(float(power.mean(0).max()), 1e-300)), LEVEL_FLOOR_DB)


@functools.lru_cache(maxsize=16)
def _a_weights(length: int, sample_rate: int) -> Tensor:
    """The A-weighting (IEC 61672-1, annex E) as a factor on power, for each bin [length // 2 + 1].

    It is 0 dB at 1 kHz.
    """
    square = torch.fft.rfftfreq(length, 1.0 / sample_rate, dtype=torch.float64).square()
    response = (12194.0**2 * square.square()) / (
        (square + 20.6**2)
        * ((square + 107.7**2) * (square + 737.9**2)).sqrt()
        * (square + 12194.0**2)
    )
    return response.square() * 10.0**0.2


def fade(samples: Tensor, fade_in: int = 0, fade_out: int = 0) -> Tensor:
    """Raised-cosine fades over the first `fade_in` and last `fade_out` samples of [..., N]."""
    frames = samples.shape[-1]
    envelope = torch.ones(frames, dtype=samples.dtype, device=samples.device)
    rise, fall = min(fade_in, frames), min(fade_out, frames)
    if rise:
        envelope[:rise] *= _half_cosine(rise).to(samples)
    if fall:
        envelope[frames - fall :] *= _half_cosine(fall).to(samples).flip(0)
    return samples * envelope


def _half_cosine(length: int) -> Tensor:
    phase = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    return (0.5 - 0.5 * torch.cos(torch.pi * phase)).to(torch.float32)
