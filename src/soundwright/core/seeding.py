"""Named random streams: every draw has a seed and a purpose, and no draw moves another.

A stream is named by words ("cfg", "epoch", 3). Adding a stream leaves the others as they were,
and nothing reads or moves the global generators of torch, numpy or Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on `seed` and on every name, stable over machines."""
    text = "\x1f".join([str(int(seed)), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def torch_stream(seed: int, *names: str | int, device: str = "cpu") -> torch.Generator:
    """A torch generator for the stream named `names`."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *names))


def numpy_stream(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator (PCG64) for the stream named `names`."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, *names)))


@contextmanager
def initialising(seed: int, *names: str | int) -> Iterator[None]:
    """A block in which torch's own initialisers draw from a named stream.

    Module constructors of torch and transformers draw from the global generator; inside this
    block that generator is seeded, and afterwards it stands where it stood.
    """
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(derive_seed(seed, *names))
    try:
        yield
    finally:
        torch.set_rng_state(state)
