"""Signals laid over each other at exact times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


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
