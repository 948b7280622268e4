import numpy as np
import torch

from soundwright.audio.sound import Sound

RATE = 8000


def make_sound(seed: int, seconds: float = 0.5, channels: int = 1, rate: int = RATE) -> Sound:
    """Quiet noise: no two seeds sound alike, and no sample is zero by chance."""
    stream = np.random.default_rng(seed)
    samples = stream.uniform(0.01, 0.5, (channels, round(seconds * rate))).astype(np.float32)
    return Sound(torch.from_numpy(samples), rate)
