"""Change of sample rate with soxr: whole signals, deterministic, of exact length."""

from __future__ import annotations

import math

import numpy as np
import soxr
import torch
from torch import Tensor
from torch.nn.functional import pad

QUALITY = "HQ"
FLUSH_S = 0.02
"""Silence appended before resampling, so that the last output samples exist."""
CONTEXT_S = 0.05
"""Needed on both sides of a part, so that resampling it equals resampling the whole."""


def resampled_length(frames: int, from_rate: int, to_rate: int) -> int:
    """ceil(frames * to_rate / from_rate), in integers: no part of the signal is lost."""
    return -(-frames * to_rate // from_rate)


def resample(samples: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Resample along the last axis.

    Args:
        samples: [..., N] float; the result has its dtype and device. Not differentiable.
        from_rate: Samples a second of the input.
        to_rate: Samples a second of the output.

    Returns:
        [..., M] with M = `resampled_length(N, from_rate, to_rate)`. Sample m is the signal at
        m / to_rate seconds.
    """
    assert from_rate > 0, f"a sample rate of {from_rate}"
    assert to_rate > 0, f"a sample rate of {to_rate}"
    if from_rate == to_rate or samples.numel() == 0:
        length = resampled_length(samples.shape[-1], from_rate, to_rate)
        return samples if from_rate == to_rate else samples.new_zeros((*samples.shape[:-1], length))
    length = resampled_length(samples.shape[-1], from_rate, to_rate)
    flush = int(FLUSH_S * from_rate) + from_rate // to_rate + 1
    signals = pad(samples.detach(), (0, flush)).reshape(-1, samples.shape[-1] + flush)
    # One channel at a time: soxr's result for a signal must not depend on its neighbours.
    rows = [
        soxr.resample(np.ascontiguousarray(row), from_rate, to_rate, quality=QUALITY)[:length]
        for row in signals.cpu().to(torch.float32).numpy()
    ]
    return torch.from_numpy(np.stack(rows)).reshape(*samples.shape[:-1], length).to(samples)


def frames_around(first: int, last: int, from_rate: int, to_rate: int) -> tuple[int, int]:
    """The input frames from which output samples `first` to `last` follow as from the whole.

    They begin where a sample of both rates falls on the same moment, so that the resampler sees
    the phases that it would see in the whole signal.

    Returns:
        The first frame and the one after the last, which may lie beyond the end of the signal.
    """
    if from_rate == to_rate:
        return first, last
    unit, unit_out = _common_units(from_rate, to_rate)
    margin = -(-int(CONTEXT_S * from_rate) // unit)
    return max(0, first // unit_out - margin) * unit, (-(-last // unit_out) + margin) * unit


def resample_part(samples: Tensor, first: int, last: int, from_rate: int, to_rate: int) -> Tensor:
    """Output samples `first` to `last` of a signal of which `frames_around` them is given.

    Args:
        samples: [..., N] float, from the frame that `frames_around` gives.
        first: Counted at `to_rate` from the start of the whole signal.
        last: The one after the last; fewer come back where the signal ends before.
        from_rate: Samples a second of the input.
        to_rate: Samples a second of the output.
    """
    begin, _ = frames_around(first, last, from_rate, to_rate)
    unit, unit_out = _common_units(from_rate, to_rate)
    begin_out = begin // unit * unit_out
    return resample(samples, from_rate, to_rate)[..., first - begin_out : last - begin_out]


def _common_units(from_rate: int, to_rate: int) -> tuple[int, int]:
    """Samples of both rates between two moments on which both have a sample."""
    common = math.gcd(from_rate, to_rate)
    return from_rate // common, to_rate // common
