"""Animals: a band-limited voice source with a pitch contour, through a moving vocal tract."""

from __future__ import annotations

import numpy as np

from soundwright.synthesis.generators.primitives import (
    Signal,
    band,
    contour,
    decay,
    drift,
    formants,
    moving_formants,
    noise,
    pulses,
    tone,
)


def voice(
    rng: np.random.Generator,
    sample_rate: int,
    pitch: Signal,
    *,
    rolloff: float,
    breath: float = 0.05,
    roughness: float = 0.0,
) -> Signal:
    """A larynx or syrinx: pulses with jitter, breath noise and, when forced, a broken tone.

    Args:
        rng: Draws jitter and breath.
        sample_rate: Samples a second.
        pitch: [N], hertz.
        rolloff: Brightness of the pulses, see `primitives.pulses`.
        breath: Share of noise.
        roughness: From 0 to 1: irregular cycles and a tone an octave lower.
    """
    count = len(pitch)
    jitter = 1 + (0.004 + 0.03 * roughness) * drift(rng, count, sample_rate, 60)
    source = pulses(pitch * jitter, count, sample_rate, rolloff)
    source = source / max(float(source.std()), 1e-9)
    if roughness:
        growl = pulses(pitch * jitter / 2, count, sample_rate, rolloff)
        source += 0.8 * roughness * growl / max(float(growl.std()), 1e-9)
        source *= 1 + 0.5 * roughness * drift(rng, count, sample_rate, 90)
    return source + breath * noise(rng, count)


def dog_bark(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    pitch: float,
    length: float,
    roughness: float,
    size: float,
) -> Signal:
    """One bark: the mouth snaps open and shut over a forced, falling tone."""
    count = round(length * sample_rate)
    tune = contour([(0, 0.75), (0.18, 1.0), (0.5, 0.9), (1, 0.5)], count) * pitch
    source = voice(rng, sample_rate, tune, rolloff=0.88, breath=0.45, roughness=roughness)
    scale = 1.25 - 0.5 * size
    closed = [(420 * scale, 150, 1.0), (1150 * scale, 250, 0.35), (2600 * scale, 400, 0.12)]
    opened = [(820 * scale, 220, 1.0), (1650 * scale, 300, 0.8), (3000 * scale, 500, 0.35)]
    mouth = moving_formants(
        source, [(0, closed), (0.2, opened), (0.55, opened), (1, closed)], sample_rate
    )
    shape = contour([(0, 0), (0.06, 0.9), (0.25, 1), (0.55, 0.55), (0.8, 0.12), (1, 0)], count)
    return mouth * shape


def cat_meow(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, length: float, whine: float
) -> Signal:
    """One meow: m, ee, ow."""
    count = round(length * sample_rate)
    tune = contour([(0, 0.8), (0.3, 1.0 + 0.25 * whine), (0.6, 1.0), (1, 0.7)], count) * pitch
    source = voice(rng, sample_rate, tune, rolloff=0.84, breath=0.04, roughness=0.08)
    hum = [(350, 120, 1.0), (1200, 300, 0.15), (2800, 400, 0.05)]
    bright = [(900, 180, 1.0), (2300, 260, 0.9), (3600, 400, 0.4)]
    round_ = [(750, 180, 1.0), (1300, 220, 0.5), (3000, 400, 0.1)]
    mouth = moving_formants(
        source, [(0, hum), (0.22, bright), (0.5, bright), (0.8, round_), (1, hum)], sample_rate
    )
    return mouth * contour(
        [(0, 0), (0.04, 0.35), (0.25, 1), (0.6, 0.9), (0.9, 0.25), (1, 0)], count
    )


def rooster_crow(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, length: float, roughness: float
) -> Signal:
    """One crow: three short syllables, then a long one that climbs, breaks and falls."""
    count = round(length * sample_rate)
    tune = contour(
        [(0, 0.62), (0.1, 0.78), (0.13, 0.7), (0.22, 0.85), (0.25, 0.72), (0.36, 0.95),
         (0.4, 0.85), (0.5, 1.05), (0.7, 1.0), (0.88, 0.8), (1, 0.55)],
        count,
        corner=0.012,
    ) * pitch  # fmt: skip
    source = voice(rng, sample_rate, tune, rolloff=0.9, breath=0.12, roughness=roughness)
    throat = [(850, 200, 0.6), (1500, 260, 1.0), (2700, 350, 0.7), (4100, 500, 0.25)]
    shape = contour(
        [(0, 0), (0.02, 0.55), (0.09, 0.5), (0.115, 0.04), (0.135, 0.6), (0.2, 0.5), (0.225, 0.05),
         (0.25, 0.75), (0.34, 0.6), (0.37, 0.08), (0.41, 0.95), (0.55, 1), (0.8, 0.75), (0.93, 0.3),
         (1, 0)],
        count,
        corner=0.008,
    )  # fmt: skip
    return formants(source, throat, sample_rate) * shape


def bird_chirp(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    pitch: float,
    sweep: float,
    length: float,
    trill: float,
) -> Signal:
    """One chirp: a whistled sweep that may tremble."""
    count = round(length * sample_rate)
    bend = rng.uniform(0.3, 0.7)
    line = contour(
        [(0, 1 - sweep), (bend, 1 + 0.6 * sweep), (1, 1 + sweep * rng.uniform(-1, 1))], count
    )
    rate = rng.uniform(25, 45)
    tremble = 1 + 0.06 * trill * np.sin(2 * np.pi * rate * np.arange(count) / sample_rate)
    call = tone(
        np.minimum(pitch * line * tremble, 0.45 * sample_rate), count, sample_rate, (1.0, 0.12)
    )
    return call * contour([(0, 0), (0.12, 0.9), (0.45, 1), (0.8, 0.6), (1, 0)], count)


def owl_hoot(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, length: float, breath: float
) -> Signal:
    """One hoot: a soft, low, almost pure tone."""
    count = round(length * sample_rate)
    line = contour([(0, 0.93), (0.15, 1.0), (0.7, 1.0), (1, 0.92)], count)
    line *= 1 + 0.006 * np.sin(2 * np.pi * 6 * np.arange(count) / sample_rate)
    call = tone(pitch * line, count, sample_rate, (1.0, 0.12, 0.06))
    air = breath * band(noise(rng, count), pitch, 3 * pitch, sample_rate)
    return (call + air) * contour([(0, 0), (0.1, 0.8), (0.3, 1), (0.75, 0.85), (1, 0)], count)


def frog_croak(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, rate: float, length: float
) -> Signal:
    """One croak: a train of throaty pulses that speeds up a little."""
    count = round(length * sample_rate)
    line = rate * contour([(0, 0.85), (0.6, 1.1), (1, 1.0)], count)
    source = voice(rng, sample_rate, line, rolloff=0.985, breath=0.02)
    sac = [(pitch, 110, 1.0), (2.1 * pitch, 200, 0.6), (3.3 * pitch, 300, 0.25)]
    return formants(source, sac, sample_rate) * contour(
        [(0, 0.6), (0.1, 0.7), (0.7, 1), (1, 0)], count
    )


def crickets(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    duration: float,
    pitch: float,
    rate: float,
    insects: float,
) -> Signal:
    """Crickets in the grass: each rubs three or four pulses a chirp, again and again."""
    count = round(duration * sample_rate)
    total = 0.004 * band(noise(rng, count), 1000, 6000, sample_rate)
    pulse = decay(round(0.018 * sample_rate), sample_rate, 0.007, 0.004)
    for number in range(max(1, round(insects))):
        own_pitch = pitch * rng.normal(1, 0.03)
        own_rate = rate * rng.normal(1, 0.08)
        pulse_rate = rng.uniform(28, 38)
        envelope = np.zeros(count + len(pulse))
        start = rng.uniform(0, 0.15)
        while start < duration:
            for beat in range(rng.integers(3, 5)):
                place = round((start + beat / pulse_rate) * sample_rate)
                if place < count:
                    envelope[place : place + len(pulse)] += pulse
            start += rng.normal(1, 0.04) / own_rate
        song = tone(own_pitch, count, sample_rate, (1.0, 0.05)) * envelope[:count]
        total += song * (1.0 if number == 0 else rng.uniform(0.1, 0.5))
    return total
