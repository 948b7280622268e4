"""Weights made by a formula of their names and shapes, for parity without published weights.

The same formula fills a module of another project where golden numbers are recorded, and ours where
they are compared. It is integer arithmetic (splitmix64), so that it gives the same bits everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

GOLDEN, FIRST, SECOND = (
    np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def fill(state: Mapping[str, Tensor], gain: float = 1) -> dict[str, Tensor]:
    """A state dictionary with the same names and shapes, filled; integers stay as they are.

    Matrices and kernels multiply the variance of what goes through them by `gain` squared: by 1,
    or by more in deep networks of ReLUs, whose outputs would else hardly depend on their inputs.
    Scales and variances lie around 1, biases and means around 0.
    """
    return {
        name: fill_tensor(name, tensor, gain) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }


def fill_tensor(name: str, tensor: Tensor, gain: float = 1) -> Tensor:
    """The filling of one tensor, fp32."""
    values = uniform(name, tensor.numel()).reshape(tuple(tensor.shape))
    if tensor.ndim > 1:
        values *= gain * (3 / max(1, tensor[0].numel())) ** 0.5
    elif name.endswith(("weight", "running_var")):
        values = 1 + values / 4
    else:
        values /= 4
    return torch.from_numpy(values.astype(np.float32))


def waveform(name: str, samples: int) -> Tensor:
    """A sound [samples] in [-1, 1]: noise that swells and fades, with a tone."""
    time = np.arange(samples) / max(1, samples)
    noise = uniform(name, samples) * np.sin(np.pi * time) ** 2
    tone = np.sin(0.1 * np.arange(samples) * (1 + time))
    return torch.from_numpy((0.5 * noise + 0.3 * tone).astype(np.float32))


def uniform(name: str, count: int) -> np.ndarray:
    """`count` numbers in [-1, 1), float64, from a stream named `name`."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    with np.errstate(over="ignore"):
        mixed = np.uint64(seed) + GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * SECOND
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2**52 - 1
