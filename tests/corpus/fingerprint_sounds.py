"""Sounds of the built-in generators, and fingerprints without any."""

import numpy as np
import torch
from torch import Tensor

from soundwright.core.seeding import numpy_stream
from soundwright.corpus.fingerprints import Fingerprint
from soundwright.synthesis.generators.table import GENERATORS

RATE = 16000


def make(label: str, seed: int = 0, seconds: float = 4.0) -> Tensor:
    """[1, N], so long if it is a texture; no two seeds give the same recording."""
    rng, generator = numpy_stream(seed, label), GENERATORS[label]
    values = generator.draw(rng) | ({"duration": seconds} if generator.is_texture else {})
    return torch.from_numpy(generator.render(values, rng, RATE))[None]


def draw_fingerprint(seed: int, seconds: float = 10.0, landmarks_a_second: int = 20) -> Fingerprint:
    """Landmarks at random times; no two seeds have one in common but by a rare chance."""
    rng = numpy_stream(seed, "landmarks")
    count = round(seconds * landmarks_a_second)
    hashes = rng.integers(1 << 32, size=count, dtype=np.uint32)
    return ordered(hashes, rng.integers(round(100 * seconds), size=count), seconds)


def cut(whole: Fingerprint, start: float, end: float) -> Fingerprint:
    """That of a part of a sound, in seconds."""
    inside = (whole.times >= 100 * start) & (whole.times < 100 * end)
    return ordered(whole.hashes[inside], whole.times[inside] - round(100 * start), end - start)


def join(first: Fingerprint, second: Fingerprint) -> Fingerprint:
    """That of two sounds, one after the other."""
    hashes = np.concatenate([first.hashes, second.hashes])
    times = np.concatenate([first.times, second.times + round(100 * first.duration)])
    return ordered(hashes, times, first.duration + second.duration)


def ordered(hashes: np.ndarray, times: np.ndarray, seconds: float) -> Fingerprint:
    order = np.lexsort((times, hashes))
    return Fingerprint(hashes[order], times[order].astype(np.uint32), seconds)
