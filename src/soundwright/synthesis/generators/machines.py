"""Machines: pulse trains of cylinders, blades and teeth, coloured by the body around them."""

from __future__ import annotations

import numpy as np

from soundwright.synthesis.generators.primitives import (
    Signal,
    band,
    drift,
    formants,
    noise,
    phase,
    pulses,
    resonance,
    times,
    tone,
)


def engine(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    duration: float,
    speed: float,
    load: float,
    unevenness: float,
) -> Signal:
    """A four-cylinder engine: two firings a turn, and half-orders since cylinders differ."""
    count = round(duration * sample_rate)
    turns = speed / 60 * (1 + 0.015 * drift(rng, count, sample_rate, 1.5))
    firing = pulses(2 * turns, count, sample_rate, 0.9 + 0.07 * load)
    halves = pulses(turns / 2, count, sample_rate, 0.85)
    source = firing / firing.std() + unevenness * halves / halves.std()
    gate = np.maximum(0, np.cos(phase(2 * turns, count, sample_rate))) ** 2
    source += (0.2 + 0.3 * load) * noise(rng, count) * gate
    exhaust = [
        (95, 60, 0.8),
        (260, 120, 0.8),
        (620, 260, 0.8),
        (1500, 700, 0.6),
        (3000, 1500, 0.35),
    ]
    shape = [(f * rng.normal(1, 0.08), width, gain) for f, width, gain in exhaust]
    return formants(source, shape, sample_rate) + 0.03 * band(
        noise(rng, count), 800, 6000, sample_rate
    )


def helicopter(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    duration: float,
    rate: float,
    slap: float,
    turbine: float,
) -> Signal:
    """A helicopter: a thump at each passing blade, chopped air, and a turbine above."""
    count = round(duration * sample_rate)
    passing = rate * (1 + 0.006 * drift(rng, count, sample_rate, 0.5))
    angle = phase(passing, count, sample_rate) + rng.uniform(0, 2 * np.pi)
    blade = np.exp(6.0 * (np.cos(angle) - 1))
    sharp = np.exp(25.0 * (np.cos(angle - 0.25) - 1))
    thump = pulses(passing, count, sample_rate, 0.93)
    thump = band(thump / thump.std(), 30, 160, sample_rate)
    air = band(noise(rng, count, 1.0), 80, 1200, sample_rate) * (0.25 + blade)
    chop = band(noise(rng, count, 0.5), 400, 3500, sample_rate) * sharp
    whine = tone(rng.uniform(1900, 2600), count, sample_rate, (1.0, 0.4))
    whine *= 1 + 0.2 * drift(rng, count, sample_rate, 5)
    sway = 1 + 0.12 * drift(rng, count, sample_rate, 0.4)
    return (0.5 * thump + 1.1 * air + (0.7 + 1.2 * slap) * chop + 0.04 * turbine * whine) * sway


def chainsaw(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    duration: float,
    speed: float,
    cutting: float,
    revving: float,
) -> Signal:
    """A chainsaw: a two-stroke's rasping buzz that bogs down in the wood and screams outside."""
    t = times(duration, sample_rate)
    count = len(t)
    throttle = np.tanh(1.5 * drift(rng, count, sample_rate, 0.6))
    turns = speed / 60 * (1 + 0.3 * revving * throttle + 0.012 * drift(rng, count, sample_rate, 9))
    turns = np.maximum(turns, 25.0)
    buzz = pulses(turns, count, sample_rate, 0.96)
    half = pulses(turns / 2, count, sample_rate, 0.93)
    gate = np.maximum(0, np.cos(phase(turns, count, sample_rate)))
    source = buzz / buzz.std() + 0.35 * half / half.std() + 0.5 * gate * noise(rng, count)
    muffler = [
        (330, 160, 1.0),
        (900, 300, 0.9),
        (1900, 600, 0.75),
        (3400, 1200, 0.6),
        (5600, 2000, 0.4),
    ]
    shape = [(f * rng.normal(1, 0.06), width, gain) for f, width, gain in muffler]
    body = formants(source, shape, sample_rate)
    chain = band(noise(rng, count), 1500, 7000, sample_rate) * (0.7 + 0.3 * gate)
    return (body + 0.25 * cutting * chain) * (1 + 0.12 * throttle)


def hand_saw(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    duration: float,
    rate: float,
    teeth: float,
    pitch: float,
) -> Signal:
    """A hand saw: teeth rasp through wood, hard on the push and light on the pull."""
    t = times(duration, sample_rate)
    count = len(t)
    angle = phase(rate * (1 + 0.04 * drift(rng, count, sample_rate, 1)), count, sample_rate)
    speed = np.sin(angle)
    strength = np.where(speed > 0, 1.0, 0.45) * np.abs(speed)
    bite = 0.5 + 0.5 * np.cos(phase(teeth * (0.25 + np.abs(speed)), count, sample_rate))
    rasp = noise(rng, count) * strength * (0.25 + bite**2)
    board = resonance(rasp, pitch, 0.5 * pitch, sample_rate)
    return board * 1.5 + 0.5 * band(rasp, 1.8 * pitch, 7000, sample_rate)


def vacuum_cleaner(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    duration: float,
    pitch: float,
    air: float,
    whine: float,
) -> Signal:
    """A vacuum cleaner: rushing air and a motor's whine."""
    count = round(duration * sample_rate)
    turning = pitch * (1 + 0.004 * drift(rng, count, sample_rate, 1.0))
    motor = tone(turning, count, sample_rate, (0.8, 0.5, 0.7, 0.3, 0.35, 0.15, 0.2, 0.1))
    motor += 0.35 * tone(rng.uniform(6.5, 8.5) * turning, count, sample_rate, (1.0, 0.3))
    rush = band(noise(rng, count, 0.8), 150, 6500, sample_rate)
    rush += 0.5 * resonance(noise(rng, count), 1100, 900, sample_rate)
    return air * rush + 0.35 * whine * motor
