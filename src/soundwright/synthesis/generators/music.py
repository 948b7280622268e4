"""Instruments: strings, drums, metal."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from soundwright.synthesis.generators.primitives import (
    Signal,
    band,
    decay,
    modes,
    noise,
    resonance,
    struck,
    times,
    tone,
)

MEMBRANE = np.array([1.0, 1.594, 2.136, 2.296, 2.653, 2.918])
"""Modes of a circular membrane relative to the lowest (zeros of Bessel functions)."""


def guitar_pluck(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    pitch: float,
    sustain: float,
    brightness: float,
    place: float,
) -> Signal:
    """One plucked string (Karplus and Strong 1983, tuned as by Jaffe and Smith 1983)."""
    period = sample_rate / pitch
    whole = int(period - 1)
    share = period - 1 - whole
    count = round(min(2.5, sustain) * sample_rate)
    burst = np.zeros(count)
    burst[:whole] = rng.uniform(-1, 1, whole)
    burst = band(burst, None, 800 + 5000 * brightness, sample_rate, order=1)
    comb = max(1, round(place * period))
    burst[comb:] -= 0.9 * burst[:-comb]
    loss = 10 ** (-3 * period / sample_rate / sustain)
    soft = 0.05 + 0.1 * (1 - brightness)
    damping = np.convolve([soft, 1 - 2 * soft, soft], [1 - share, share])
    feedback = np.zeros(whole + 4)
    feedback[0] = 1.0
    feedback[whole : whole + 4] = -loss * damping
    string = np.asarray(lfilter([1.0], feedback, burst))
    body = resonance(string, 105, 40, sample_rate) + resonance(string, 210, 70, sample_rate)
    return string + 0.6 * body


def piano_note(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, force: float, sustain: float
) -> Signal:
    """One note: stiff strings in detuned pairs, a felt hammer, a short knock of the frame."""
    number = np.arange(1, 17)
    stiffness = 0.0004 * (pitch / 260) ** 1.2
    frequencies = pitch * number * np.sqrt(1 + stiffness * number**2)
    gains = np.abs(np.sin(np.pi * number / 8.3)) + 0.15
    gains = gains * np.exp(-number * (0.55 - 0.3 * force))
    decays = sustain / (1 + 0.25 * number) * (260 / pitch) ** 0.4
    length = min(2.5, 3 * sustain)
    detune = 1 + rng.normal(0, 0.0006)
    strings = modes(length, sample_rate, frequencies, 0.45 * decays, gains)
    strings += 0.6 * modes(length, sample_rate, frequencies * detune, 1.6 * decays, gains)
    knock = noise(rng, len(strings)) * decay(len(strings), sample_rate, 0.001, 0.012)
    return struck(strings + 0.12 * force * band(knock, 80, 1800, sample_rate), 0.0012, sample_rate)


def flute_note(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, length: float, breath: float
) -> Signal:
    """One note of a flute: a few harmonics, vibrato, and breath."""
    t = times(length, sample_rate)
    depth = 0.005 * np.minimum(1, t / 0.3)
    line = pitch * (1 + depth * np.sin(2 * np.pi * rng.uniform(4.5, 5.5) * t))
    air = band(noise(rng, len(t)), 0.8 * pitch, 5 * pitch, sample_rate)
    gains = (1.0, 0.45, 0.25, 0.08, 0.05)
    shape = np.minimum(1, t / 0.05) * np.minimum(1, (length - t) / 0.1)
    return (tone(line, len(t), sample_rate, gains) + 0.3 * breath * air) * shape


def snare_drum(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, snares: float, ring: float
) -> Signal:
    """One stroke: the skin's modes, and the wires that rattle against it."""
    skin = modes(0.5, sample_rate, pitch * MEMBRANE, ring / MEMBRANE, [1, 0.8, 0.4, 0.4, 0.3, 0.2])
    skin = struck(skin, 0.0006, sample_rate)
    count = len(skin)
    wires = noise(rng, count) * decay(count, sample_rate, 0.001, 0.05 + 0.05 * snares)
    return skin + (0.3 + 0.5 * snares) * band(wires, 1400, 7500, sample_rate)


def kick_drum(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, punch: float, ring: float
) -> Signal:
    """One stroke: a low tone that drops as the skin relaxes, and the click of the beater."""
    t = times(5 * ring, sample_rate)
    line = pitch * (1 + (1 + 3 * punch) * np.exp(-t / 0.018))
    low = tone(line, len(t), sample_rate, (1.0, 0.15)) * decay(len(t), sample_rate, 0.001, ring)
    click = noise(rng, len(t)) * decay(len(t), sample_rate, 0.0003, 0.003)
    return low + 0.25 * punch * band(click, 800, 5000, sample_rate)


def cymbal(
    rng: np.random.Generator, sample_rate: int, *, ring: float, brightness: float, wash: float
) -> Signal:
    """One crash: hundreds of modes, so many that they are noise with a few voices."""
    length = min(3.0, 4 * ring)
    count = round(length * sample_rate)
    hiss = noise(rng, count)
    high = band(hiss, 3000 + 1500 * brightness, 7600, sample_rate) * decay(
        count, sample_rate, 0.002, 0.7 * ring
    )
    middle = band(noise(rng, count), 500, 3500, sample_rate) * decay(count, sample_rate, 0.01, ring)
    voices = modes(
        length,
        sample_rate,
        rng.uniform(350, 6500, 40),
        rng.uniform(0.4, 1.0, 40) * ring,
        rng.uniform(0, 1, 40),
    )[:count]
    return high + 0.45 * wash * middle + 0.06 * voices
