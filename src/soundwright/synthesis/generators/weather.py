"""Weather, water and fire: shaped noise with slow motion, and grains."""

from __future__ import annotations

import numpy as np

from soundwright.synthesis.generators.primitives import (
    Signal,
    arrivals,
    band,
    decay,
    drift,
    modes,
    noise,
    scatter,
    times,
)


def rain(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    duration: float,
    intensity: float,
    drops: float,
    surface: float,
) -> Signal:
    """Rain: a wide hiss of far drops, and near drops that tick on the ground or on a roof."""
    count = round(duration * sample_rate)
    hiss = band(noise(rng, count, 0.35), 600, 7600, sample_rate)
    hiss += 0.25 * band(noise(rng, count, 1.0), 120, 900, sample_rate)
    hiss *= 1 + 0.06 * drift(rng, count, sample_rate, 1.5)

    def drop() -> Signal:
        pitch = (1200 + 3500 * surface) * 2 ** rng.normal(0, 0.45)
        fall = rng.uniform(0.0015, 0.006)
        tick = modes(8 * fall, sample_rate, [pitch, 1.7 * pitch], [fall, 0.6 * fall], [1.0, 0.6])
        return tick + 0.4 * noise(rng, len(tick)) * decay(len(tick), sample_rate, 0.0003, 0.001)

    near = scatter(
        rng, arrivals(rng, drops, duration), drop, count, sample_rate, variants=48, spread_db=7
    )
    return (0.25 + 0.75 * intensity) * 0.5 * hiss + 0.55 * near


def wind(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    duration: float,
    pitch: float,
    gusts: float,
    whistling: float,
) -> Signal:
    """Wind: noise whose bands swell as gusts pass; strong wind howls higher."""
    count = round(duration * sample_rate)
    strength = drift(rng, count, sample_rate, 0.7) + 0.35 * drift(rng, count, sample_rate, 2.5)
    place = 1.6 + 0.9 * gusts * strength
    total = np.zeros(count)
    for number, ratio in enumerate((0.4, 0.7, 1.1, 1.7, 2.6)):
        weight = np.exp(-0.5 * ((number - place) / 0.9) ** 2) / ratio**0.7
        part = noise(rng, count)
        total += weight * band(part, 0.8 * ratio * pitch, 1.25 * ratio * pitch, sample_rate)
        narrow = band(part, 0.985 * ratio * pitch, 1.015 * ratio * pitch, sample_rate, order=1)
        total += 2.0 * whistling * weight * narrow
    return total * np.exp(0.55 * gusts * strength)


def sea_waves(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    duration: float,
    period: float,
    roughness: float,
    foam: float,
) -> Signal:
    """Waves on a beach: each swells, breaks and runs out in foam."""
    t = times(duration, sample_rate)
    count = len(t)
    swell, spray = np.full(count, 0.12), np.full(count, 0.05)
    crest = rng.uniform(0.15, 0.55) * period - period
    while crest < duration + period:
        height = rng.uniform(0.6, 1.0)
        rise, run = rng.uniform(0.22, 0.32) * period, rng.uniform(0.25, 0.4) * period
        before, after = np.minimum(t - crest, 0), np.maximum(t - crest, 0)
        swell += height * np.exp(before / rise * 1.6) * np.exp(-after / run * 1.5)
        spray += height * np.exp(before / (0.35 * rise)) * np.exp(-after / run)
        crest += period * rng.normal(1, 0.12)
    rumble = band(noise(rng, count, 1.2), 60, 700, sample_rate) * swell
    crash = band(noise(rng, count, 0.5), 300, 3000, sample_rate) * swell**1.5
    hiss = band(noise(rng, count), 1500, 7500, sample_rate) * spray
    grain = 1 + 0.25 * roughness * drift(rng, count, sample_rate, 12)
    return (1.1 * rumble + 0.9 * crash + 0.28 * foam * hiss) * grain


def thunder(
    rng: np.random.Generator, sample_rate: int, *, length: float, nearness: float, rumble: float
) -> Signal:
    """One clap: a crack, then a long rumble as sound arrives from along the bolt."""
    t = times(length, sample_rate)
    count = len(t)
    envelope = np.exp(-t / (0.3 * length)) * 0.5
    for _ in range(rng.integers(4, 9)):
        start, fall = rng.uniform(0, 0.6 * length), rng.uniform(0.12, 0.5)
        late = np.maximum(t - start, 0)
        burst = np.where(t >= start, np.minimum(1, late / 0.03) * np.exp(-late / fall), 0)
        envelope += rng.uniform(0.2, 0.8) * burst * np.exp(-start / length)
    low = band(noise(rng, count, 1.6), 35, 180 + 250 * rumble, sample_rate)
    middle = band(noise(rng, count, 0.8), 120, 1500, sample_rate) * np.exp(-t / (0.25 * length))
    crack = band(noise(rng, count), 500, 6500, sample_rate)
    crack *= decay(count, sample_rate, 0.002, 0.05 + 0.12 * nearness)

    def snap() -> Signal:
        length = round(0.01 * sample_rate)
        shape = decay(length, sample_rate, 0.001, 0.003)
        return band(noise(rng, length), 300, 3500, sample_rate) * shape

    onsets = arrivals(rng, 70 * nearness + 1, 0.35 * length)
    crackle = scatter(rng, onsets, snap, count, sample_rate, variants=8)
    crackle *= np.exp(-t / (0.12 * length))
    body = (1.3 * low + 0.5 * middle) * envelope
    attack = np.minimum(1, t / 0.008)
    return attack * (body + (0.1 + 0.5 * nearness) * crack + 0.25 * nearness * crackle)


def fire_crackling(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    duration: float,
    rate: float,
    snap: float,
    roar: float,
) -> Signal:
    """A wood fire: sharp cracks of all strengths, hissing gas, and the low breath of flames."""
    count = round(duration * sample_rate)

    def crack() -> Signal:
        length = max(24, round(rng.uniform(0.003, 0.02) * sample_rate))
        pop = noise(rng, length) * decay(length, sample_rate, 0.0002, rng.uniform(0.0006, 0.003))
        low = rng.uniform(500, 2600)
        return band(pop, low, low * rng.uniform(2, 4), sample_rate)

    onsets = arrivals(rng, rate, duration)
    clusters = np.repeat(onsets[rng.uniform(size=len(onsets)) < 0.3], 3)
    clusters = clusters + rng.exponential(0.02, len(clusters))
    onsets = np.concatenate([onsets, clusters[clusters < duration]])
    cracks = scatter(rng, onsets, crack, count, sample_rate, variants=48, spread_db=6 + 6 * snap)
    flames = band(noise(rng, count, 1.0), 40, 400, sample_rate)
    flames *= 1 + 0.35 * drift(rng, count, sample_rate, 7)
    hiss = band(noise(rng, count), 2000, 7000, sample_rate)
    hiss *= 0.6 + 0.3 * np.abs(drift(rng, count, sample_rate, 4))
    return cracks + 0.16 * roar * flames + 0.018 * hiss
