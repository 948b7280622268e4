"""People: crying, sneezing, whistling."""

from __future__ import annotations

import numpy as np

from soundwright.synthesis.generators.animals import voice
from soundwright.synthesis.generators.primitives import (
    Signal,
    band,
    contour,
    decay,
    drift,
    formants,
    moving_formants,
    noise,
    tone,
)


def baby_cry(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    pitch: float,
    length: float,
    distress: float,
) -> Signal:
    """One wail: a rising and falling tone through a short vocal tract."""
    count = round(length * sample_rate)
    t = np.arange(count) / sample_rate
    line = contour([(0, 0.8), (0.15, 1.0), (0.4, 1.12), (0.7, 1.05), (1, 0.78)], count)
    line *= 1 + 0.015 * np.sin(2 * np.pi * rng.uniform(5, 7) * t + rng.uniform(0, 6))
    source = voice(
        rng, sample_rate, line * pitch, rolloff=0.87, breath=0.06, roughness=0.35 * distress
    )
    open_ = [(1050, 180, 1.0), (1900, 260, 0.55), (3300, 350, 0.8), (4900, 500, 0.25)]
    close = [(700, 180, 1.0), (1500, 260, 0.4), (3000, 350, 0.35), (4600, 500, 0.1)]
    mouth = moving_formants(
        source, [(0, close), (0.2, open_), (0.7, open_), (1, close)], sample_rate
    )
    return mouth * contour([(0, 0), (0.05, 0.6), (0.2, 1), (0.7, 0.9), (0.92, 0.35), (1, 0)], count)


def sneeze(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, burst: float, voicing: float
) -> Signal:
    """One sneeze: a short vowel, then air bursts out, and the voice falls away."""
    vowel_length, tail_length = rng.uniform(0.08, 0.16), burst + 0.2
    vowel_count = round(vowel_length * sample_rate)
    tune = contour([(0, 0.9), (1, 1.3)], vowel_count) * pitch
    vowel = formants(
        voice(rng, sample_rate, tune, rolloff=0.85, breath=0.2),
        [(750, 120, 1.0), (1250, 160, 0.6), (2600, 250, 0.3)],
        sample_rate,
    )
    vowel *= contour([(0, 0), (0.15, 0.8), (0.8, 1), (1, 0.3)], vowel_count) / max(
        vowel.std(), 1e-9
    )
    count = round(tail_length * sample_rate)
    air = noise(rng, count) * decay(count, sample_rate, 0.006, burst / 2.5)
    rush = band(air, 1300, 6800, sample_rate) + 0.5 * band(air, 400, 1500, sample_rate)
    fall = contour([(0, 1.4), (0.3, 1.1), (1, 0.7)], count) * pitch
    moan = moving_formants(
        voice(rng, sample_rate, fall, rolloff=0.85, breath=0.3),
        [(0, [(400, 100, 1.0), (2000, 200, 0.5)]), (1, [(350, 90, 1.0), (900, 150, 0.4)])],
        sample_rate,
    )
    moan *= contour([(0, 0.2), (0.2, 1), (1, 0)], count) / max(moan.std(), 1e-9)
    return np.concatenate([0.35 * voicing * vowel, 3.0 * rush + 0.4 * voicing * moan])


def whistle(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, glide: float, length: float
) -> Signal:
    """One whistle of the lips: a pure tone that glides, with a little air around it."""
    count = round(length * sample_rate)
    line = contour(
        [(0, 1 - 0.5 * glide), (0.35, 1.0), (0.65, 1 + glide), (1, 1 + 0.4 * glide)], count
    )
    line *= 1 + 0.004 * drift(rng, count, sample_rate, 8)
    lips = tone(pitch * line, count, sample_rate, (1.0, 0.04))
    air = 0.25 * band(noise(rng, count), 0.8 * pitch, 2.2 * pitch, sample_rate)
    return (lips + 0.2 * air) * contour([(0, 0), (0.06, 0.8), (0.4, 1), (0.85, 0.8), (1, 0)], count)
