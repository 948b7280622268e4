"""Signals made for ears: bells, beeps, sirens, horns, rings."""

from __future__ import annotations

import numpy as np

from soundwright.synthesis.generators.primitives import (
    Signal,
    contour,
    drift,
    formants,
    modes,
    phase,
    pulses,
    struck,
    times,
    tone,
)

CHURCH_BELL = np.array([0.5, 1.0, 1.183, 1.506, 2.0, 2.514, 2.662, 3.011, 4.166, 5.433])
"""Hum, prime, tierce, quint, nominal and upper partials of a minor-third bell."""
BELL_DECAY = np.array([1.0, 0.6, 0.5, 0.35, 0.4, 0.2, 0.2, 0.18, 0.12, 0.08])
BELL_GAIN = np.array([0.7, 0.6, 0.8, 0.35, 1.0, 0.35, 0.4, 0.5, 0.4, 0.3])
SMALL_BELL = np.array([1.0, 2.41, 3.9, 5.2])


def church_bell(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, ring: float, hardness: float
) -> Signal:
    """One stroke of a big bell; its partials are pairs that beat."""
    split = np.concatenate([np.zeros(10), rng.uniform(0.4, 2.0, 10)])
    frequencies = np.tile(pitch * CHURCH_BELL * rng.normal(1, 0.003, 10), 2) + split
    gains = np.tile(BELL_GAIN * rng.uniform(0.7, 1.3, 10), 2)
    gains[10:] *= 0.5
    tail = modes(min(4.0, 3 * ring), sample_rate, frequencies, np.tile(ring * BELL_DECAY, 2), gains)
    return struck(tail, 0.0009 - 0.0006 * hardness, sample_rate)


def doorbell(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, interval: float, ring: float
) -> Signal:
    """Ding, dong: two tuned bars, the second a third lower."""
    ratios = np.array([1.0, 2.76, 5.4])
    total = np.zeros(round((interval + 4 * ring) * sample_rate))
    for start, tuning in ((0.0, 1.0), (interval, rng.choice([0.794, 0.8, 0.84]))):
        note = modes(
            4 * ring,
            sample_rate,
            pitch * tuning * ratios,
            ring * np.array([1, 0.3, 0.1]),
            [1, 0.25, 0.12],
        )
        place = round(start * sample_rate)
        total[place : place + len(note)] += note[: len(total) - place]
    return total


def alarm_beep(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, length: float, hardness: float
) -> Signal:
    """One beep of an alarm clock or a detector."""
    count = round(length * sample_rate)
    detune = 1 + 0.0005 * rng.standard_normal()
    gains = (1.0, 0.0, hardness / 3, 0.0, hardness / 5, 0.0, hardness / 7)
    edge = min(0.25, 0.004 / length)
    return tone(pitch * detune, count, sample_rate, gains) * np.interp(
        np.linspace(0, 1, count), [0, edge, 1 - edge, 1], [0, 1, 1, 0]
    )


def siren(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    duration: float,
    low: float,
    span: float,
    rate: float,
    steps: float,
) -> Signal:
    """A siren through a horn: it wails up and down, or steps between two notes."""
    t = times(duration, sample_rate)
    angle = 2 * np.pi * (rate * t + rng.uniform())
    sweep = (1 - np.cos(angle)) / 2
    if steps > 0.5:
        sweep = (1 + np.tanh(40 * np.sin(angle))) / 2
    pitch = low * span**sweep * (1 + 0.002 * drift(rng, len(t), sample_rate, 4))
    source = pulses(pitch, len(t), sample_rate, 0.72)
    horn = [(750, 500, 1.0), (1500, 700, 0.9), (2800, 1200, 0.5)]
    return formants(source, horn, sample_rate)


def car_horn(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    pitch: float,
    ratio: float,
    length: float,
    brightness: float,
) -> Signal:
    """One honk: two discs a third apart through their trumpets."""
    count = round(length * sample_rate)
    start = contour([(0, 0.97), (min(0.5, 0.04 / length), 1.0), (1, 1.0)], count)
    total = np.zeros(count)
    for tuning in (1.0, ratio * rng.normal(1, 0.003)):
        reed = pulses(pitch * tuning * start, count, sample_rate, 0.8 + 0.14 * brightness)
        total += reed / reed.std()
    trumpet = [(450, 300, 0.8), (1200, 500, 1.0), (2300, 700, 0.9), (3600, 1000, 0.5)]
    edge = min(0.3, 0.015 / length)
    shape = np.interp(np.linspace(0, 1, count), [0, edge, 1 - 2 * edge, 1], [0, 1, 1, 0])
    return formants(total, trumpet, sample_rate) * shape


def phone_ring(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, rate: float, length: float
) -> Signal:
    """One ring of an old telephone: a clapper runs between two small bells."""
    bells = [
        modes(0.5, sample_rate, pitch * tuning * SMALL_BELL * rng.normal(1, 0.005, 4),
              [0.16, 0.09, 0.05, 0.03], [1.0, 0.7, 0.5, 0.3])
        for tuning in (1.0, rng.uniform(1.15, 1.3))
    ]  # fmt: skip
    total = np.zeros(round((length + 0.5) * sample_rate) + 1)
    for number in range(int(length * rate)):
        bell = bells[number % 2]
        start = round((number + 0.06 * rng.uniform()) / rate * sample_rate)
        total[start : start + len(bell)] += rng.uniform(0.85, 1) * bell[: len(total) - start]
    return total


def bicycle_bell(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, ring: float, rattle: float
) -> Signal:
    """One trill of a bicycle bell: a toothed wheel strikes the dome a few times."""
    dome = modes(
        3 * ring, sample_rate, pitch * SMALL_BELL[:3] * rng.normal(1, 0.004, 3),
        ring * np.array([1.0, 0.6, 0.3]), [1.0, 0.6, 0.35],
    )  # fmt: skip
    total = np.zeros(len(dome) + round(0.5 * sample_rate))
    for number in range(rng.integers(3, 7)):
        start = round(number / rattle * sample_rate)
        beat = dome * (0.75 + 0.25 * np.cos(phase(6.0, len(dome), sample_rate)))
        total[start : start + len(dome)] += rng.uniform(0.6, 1) * beat[: len(total) - start]
    return total
