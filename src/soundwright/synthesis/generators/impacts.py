"""Things that hit things: modal models of balls, doors, hands, shoes, glass, keys, drops."""

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
    phase,
    scatter,
    struck,
    times,
)

PLATE = np.array([1.0, 1.53, 2.19, 2.71, 3.44, 4.35, 5.6])
"""Modes of a clamped wooden plate relative to the lowest."""
GLASS = np.array([1.0, 2.32, 4.25, 6.63, 9.38])
"""Bending modes of a wine glass relative to the lowest (French 1983)."""


def _click(
    rng: np.random.Generator, sample_rate: int, length: float, low: float, high: float
) -> Signal:
    """Noise between two frequencies that dies away within `length`."""
    count = max(8, round(6 * length * sample_rate))
    return band(
        noise(rng, count) * decay(count, sample_rate, 0.0003, length), low, high, sample_rate
    )


def _layered(*layers: Signal) -> Signal:
    total = np.zeros(max(len(layer) for layer in layers))
    for layer in layers:
        total[: len(layer)] += layer
    return total


def ball_bounce(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, hardness: float, ring: float
) -> Signal:
    """One bounce on a wooden floor: plate modes, the ball's own low mode, a contact click."""
    spread = rng.normal(1, 0.02, len(PLATE))
    floor = modes(
        0.45,
        sample_rate,
        pitch * PLATE * spread,
        ring / PLATE**0.6,
        rng.uniform(0.5, 1, len(PLATE)),
    )
    ball = 0.7 * modes(0.45, sample_rate, [0.55 * pitch], [1.2 * ring], [1.0])
    contact = 0.0018 - 0.0014 * hardness
    click = (0.15 + 0.3 * hardness) * _click(rng, sample_rate, 0.003, 800, 5000)
    return _layered(struck(floor + ball, contact, sample_rate), click)


def door_knock(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, hardness: float, ring: float
) -> Signal:
    """One rap of knuckles on a wooden door."""
    ratios = np.concatenate([PLATE, PLATE[2:] * 1.9])
    spread = rng.normal(1, 0.03, len(ratios))
    gains = rng.uniform(0.4, 1, len(ratios)) / ratios**0.35
    door = modes(0.4, sample_rate, pitch * ratios * spread, ring / ratios**0.75, gains)
    click = (0.25 + 0.3 * hardness) * _click(rng, sample_rate, 0.004, 500, 3500)
    return _layered(struck(door, 0.0014 - 0.0009 * hardness, sample_rate), click)


def hand_clap(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, width: float, room: float
) -> Signal:
    """One clap: a burst around the resonance of the cupped hands, and a little room."""
    count = round(0.25 * sample_rate)
    burst = noise(rng, count) * decay(count, sample_rate, 0.0006, 0.007)
    body = band(burst, pitch / width, pitch * width, sample_rate)
    snap = 0.35 * band(burst, 2500, 7000, sample_rate)
    tail = noise(rng, count) * decay(count, sample_rate, 0.004, 0.035)
    return body + snap + room * band(tail, 500, 3500, sample_rate)


def applause(
    rng: np.random.Generator, sample_rate: int, *, duration: float, people: float, excitement: float
) -> Signal:
    """Many hands: claps of all kinds as a Poisson process."""
    count = round(duration * sample_rate)

    def clap() -> Signal:
        pitch, width = rng.uniform(700, 2200), rng.uniform(1.3, 2.0)
        one = hand_clap(rng, sample_rate, pitch=pitch, width=width, room=0.2)
        return one[: round(0.08 * sample_rate)]

    rate = people * (1.8 + 3.0 * excitement)
    onsets = arrivals(rng, rate, duration)
    return scatter(rng, onsets, clap, count, sample_rate, variants=32, spread_db=5)


def footstep(
    rng: np.random.Generator, sample_rate: int, *, surface: float, weight: float, scuff: float
) -> Signal:
    """One step: the heel strikes, then the sole rolls down."""
    count = round(0.3 * sample_rate)
    base = 230 - 100 * weight
    thump = modes(
        0.3, sample_rate, base * PLATE[:5], 0.03 / PLATE[:5] ** 0.5, [1, 0.8, 0.6, 0.4, 0.3]
    )
    heel = struck(thump, 0.0025 - 0.0018 * surface, sample_rate)
    click = (0.35 + 0.6 * surface) * _click(rng, sample_rate, 0.005, 900, 2500 + 3500 * surface)
    sole = noise(rng, count) * decay(count, sample_rate, 0.02, 0.035)
    delay = np.zeros(round(rng.uniform(0.06, 0.1) * sample_rate))
    sole = np.concatenate([delay, scuff * 0.2 * band(sole, 600, 4500, sample_rate)])
    return _layered(heel, click, sole)


def hammer_blow(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, ring: float, wood: float
) -> Signal:
    """A hammer drives a nail: bright metal over a wooden thud."""
    ratios = np.array([1.0, 1.48, 2.07, 2.76, 3.9])
    metal = modes(
        0.5, sample_rate, pitch * ratios * rng.normal(1, 0.01, 5), ring / ratios**0.5,
        rng.uniform(0.4, 1, 5),
    )  # fmt: skip
    thud = wood * modes(
        0.5, sample_rate, 170 * PLATE[:4], [0.04, 0.03, 0.02, 0.02], [1, 0.8, 0.6, 0.4]
    )
    return _layered(
        struck(metal + thud, 0.0004, sample_rate), _click(rng, sample_rate, 0.003, 1500, 6500)
    )


def glass_clink(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, ring: float, brightness: float
) -> Signal:
    """Two glasses touch: each mode is a pair a few hertz apart, which beats."""
    frequencies, decays, gains = [], [], []
    for glass in (1.0, rng.uniform(1.06, 1.35)):
        for number, ratio in enumerate(GLASS):
            for split in (0.0, rng.uniform(3, 9)):
                frequencies.append(pitch * glass * ratio * rng.normal(1, 0.004) + split)
                decays.append(ring / (1 + 0.7 * number))
                gains.append(rng.uniform(0.4, 1) * brightness**number)
    ring_out = modes(min(2.0, 5 * ring), sample_rate, frequencies, decays, gains)
    return _layered(ring_out, 0.5 * _click(rng, sample_rate, 0.0015, 3000, 7000))


def clock_tick(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, body: float, spread: float
) -> Signal:
    """One tick of an escapement: two or three tiny blows inside a small case."""
    total = np.zeros(round(0.09 * sample_rate))
    for delay, gain in ((0.0, 0.7), (spread, 1.0), (2.3 * spread, 0.35)):
        ratios = np.array([1.0, 1.37, 1.81, 2.6])
        frequencies = pitch * ratios * rng.normal(1, 0.03, 4)
        blow = modes(
            0.05, sample_rate, frequencies, [0.004, 0.003, 0.0025, 0.002], [1, 0.8, 0.7, 0.5]
        )
        case = body * modes(0.05, sample_rate, [0.28 * pitch], [0.007], [1.0])
        start = round(delay * sample_rate)
        hit = gain * struck(blow + case, 0.0002, sample_rate)
        total[start : start + len(hit)] += hit[: len(total) - start]
    return total


def _bubble(sample_rate: int, pitch: float, rise: float, fall: float) -> Signal:
    """A bubble's damped, rising sine (van den Doel 2005)."""
    t = times(7 * fall, sample_rate)
    frequency = np.minimum(pitch * (1 + rise * t / fall), 0.45 * sample_rate)
    return np.sin(phase(frequency, len(t), sample_rate)) * np.exp(-t / fall)


def water_drop(
    rng: np.random.Generator, sample_rate: int, *, pitch: float, rise: float, fall: float
) -> Signal:
    """A drop falls into water: a tiny splash, then the bubble that it encloses sings."""
    splash = 0.25 * _click(rng, sample_rate, 0.002, 1500, 7000)
    delay = np.zeros(round(rng.uniform(0.004, 0.012) * sample_rate))
    second = 0.4 * _bubble(sample_rate, pitch * rng.uniform(1.2, 1.7), rise, 0.6 * fall)
    later = np.zeros(round(rng.uniform(0.02, 0.06) * sample_rate))
    first = _bubble(sample_rate, pitch, rise, fall)
    return _layered(splash, np.concatenate([delay, first]), np.concatenate([delay, later, second]))


def stream(
    rng: np.random.Generator, sample_rate: int, *, duration: float, bubbles: float, pitch: float
) -> Signal:
    """Running water: many bubbles of all sizes over a soft rush."""
    count = round(duration * sample_rate)

    def bubble() -> Signal:
        centre = pitch * 2 ** rng.normal(0, 0.7)
        return _bubble(sample_rate, centre, rng.uniform(0, 0.3), rng.uniform(0.006, 0.02))

    onsets = arrivals(rng, bubbles, duration)
    water = scatter(rng, onsets, bubble, count, sample_rate, variants=48, spread_db=7)
    rush = band(noise(rng, count, 0.6), 400, 5000, sample_rate)
    return water + 0.25 * rush * (1 + 0.2 * drift(rng, count, sample_rate, 2.0))


def typing(
    rng: np.random.Generator, sample_rate: int, *, duration: float, speed: float, depth: float
) -> Signal:
    """Fingers on a keyboard: each key clicks down, thuds, and clicks up again."""
    count = round(duration * sample_rate)

    def key() -> Signal:
        tilt = rng.normal(1, 0.12)
        press = _click(rng, sample_rate, 0.0025, 1800 * tilt, 6000)
        thud = depth * modes(0.06, sample_rate, [260 * tilt, 610 * tilt], [0.01, 0.007], [1, 0.7])
        gap = np.zeros(round(rng.uniform(0.05, 0.09) * sample_rate))
        return _layered(press, thud, np.concatenate([gap, 0.35 * press]))

    gaps = rng.gamma(4, 1 / (4 * speed), int(2 * speed * duration) + 8)
    gaps += (rng.uniform(size=len(gaps)) < 0.07) * rng.uniform(0.2, 0.5, len(gaps))
    onsets = np.cumsum(gaps) - gaps[0]
    onsets = onsets[onsets < duration - 0.05]
    return scatter(rng, onsets, key, count, sample_rate, variants=24, spread_db=2.5)
