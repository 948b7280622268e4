"""What the models are made of: damped modes, noise, band-limited pulses, formants, grains.

All signals are mono float64 arrays [N]; times are seconds, frequencies hertz. Nothing here makes
energy above 0.46 of the sample rate, so that nothing aliases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

Signal = npt.NDArray[np.float64]

HIGHEST = 0.46
"""The highest frequency that is used, as a share of the sample rate."""


def times(duration: float, sample_rate: int) -> Signal:
    """The instants of the samples of `duration` seconds."""
    return np.arange(max(1, round(duration * sample_rate))) / sample_rate


def noise(rng: np.random.Generator, count: int, colour: float = 0.0) -> Signal:
    """Gaussian noise of unit variance whose power falls as 1/f^colour: 1 is pink, 2 brown."""
    white = rng.standard_normal(count)
    if colour == 0 or count < 2:
        return white
    spectrum = np.fft.rfft(white)
    bins = np.arange(len(spectrum))
    spectrum[1:] *= bins[1:] ** (-colour / 2)
    spectrum[0] = 0
    shaped = np.fft.irfft(spectrum, count)
    return shaped / max(float(shaped.std()), 1e-12)


def band(
    signal: Signal, low: float | None, high: float | None, sample_rate: int, order: int = 2
) -> Signal:
    """Butterworth band-pass, or low-pass or high-pass where one edge is None."""
    top = HIGHEST * sample_rate
    if high is not None and high >= top:
        high = None
    if low is not None:
        low = min(low, 0.9 * (high or top))
    if low is None and high is None:
        return signal
    if low is None:
        sections = butter(order, high, "lowpass", fs=sample_rate, output="sos")
    elif high is None:
        sections = butter(order, low, "highpass", fs=sample_rate, output="sos")
    else:
        sections = butter(order, [low, high], "bandpass", fs=sample_rate, output="sos")
    return np.asarray(sosfilt(sections, signal))


def resonance(signal: Signal, frequency: float, bandwidth: float, sample_rate: int) -> Signal:
    """A two-pole resonator of unit gain at its centre; silence where it lies too high."""
    if frequency >= HIGHEST * sample_rate:
        return np.zeros_like(signal)
    radius = np.exp(-np.pi * bandwidth / sample_rate)
    cosine = np.cos(2 * np.pi * frequency / sample_rate)
    poles = [1.0, -2 * radius * cosine, radius * radius]
    return np.asarray(
        lfilter([(1 - radius * radius) / 2, 0, -(1 - radius * radius) / 2], poles, signal)
    )


Formant = tuple[float, float, float]
"""Centre in hertz, bandwidth in hertz, linear gain."""


def formants(source: Signal, shape: Sequence[Formant], sample_rate: int) -> Signal:
    """A vocal tract: resonators in parallel with alternating signs (Klatt 1980, section II.B)."""
    total = np.zeros_like(source)
    for number, (frequency, bandwidth, gain) in enumerate(shape):
        sign = -1.0 if number % 2 else 1.0
        total += sign * gain * resonance(source, frequency, bandwidth, sample_rate)
    return total


def moving_formants(
    source: Signal, shapes: Sequence[tuple[float, Sequence[Formant]]], sample_rate: int
) -> Signal:
    """A vocal tract that moves through `shapes`, each given with its moment from 0 to 1."""
    position = np.linspace(0, 1, len(source))
    moments = [moment for moment, _ in shapes]
    total = np.zeros_like(source)
    for number, (_, shape) in enumerate(shapes):
        peak = np.zeros(len(shapes))
        peak[number] = 1.0
        total += np.interp(position, moments, peak) * formants(source, shape, sample_rate)
    return total


def modes(
    duration: float,
    sample_rate: int,
    frequencies: Sequence[float] | Signal,
    decays: Sequence[float] | Signal,
    gains: Sequence[float] | Signal,
) -> Signal:
    """Modal synthesis: a sum of damped sines, each with a frequency, a time to 1/e, and a gain.

    The last fifth is faded, so that a mode that still rings does not end in a click.
    """
    t = times(duration, sample_rate)
    total = np.zeros_like(t)
    for frequency, decay, gain in zip(frequencies, decays, gains, strict=True):
        if frequency < HIGHEST * sample_rate:
            total += gain * np.exp(-t / decay) * np.sin(2 * np.pi * frequency * t)
    return total * np.minimum(1.0, 5 * (1 - np.arange(len(t)) / len(t)))


def struck(signal: Signal, contact: float, sample_rate: int) -> Signal:
    """A modal response to a blow that lasts `contact` seconds: a soft blow takes the highs away."""
    count = max(2, round(contact * sample_rate))
    pulse = np.sin(np.pi * (np.arange(count) + 0.5) / count)
    return fftconvolve(signal, pulse / pulse.sum())


def phase(frequency: Signal | float, count: int, sample_rate: int) -> Signal:
    """The running phase in radians of an oscillator whose frequency may change."""
    return 2 * np.pi * np.cumsum(np.broadcast_to(frequency, count)) / sample_rate


def pulses(frequency: Signal | float, count: int, sample_rate: int, rolloff: float = 0.9) -> Signal:
    """A band-limited pulse train: harmonic k has amplitude rolloff^k (Moorer 1976, equation 2).

    Args:
        frequency: Fundamental, constant or [N].
        count: N.
        sample_rate: Samples a second.
        rolloff: Between 0 and 1; near 1 is bright.
    """
    angle = phase(frequency, count, sample_rate)
    harmonics = max(1, int(HIGHEST * sample_rate / float(np.max(frequency))))
    upper = rolloff ** (harmonics + 1)
    cosine = np.cos(angle)
    numerator = (
        rolloff * cosine
        - rolloff**2
        - upper * np.cos((harmonics + 1) * angle)
        + upper * rolloff * np.cos(harmonics * angle)
    )
    return numerator / (1 - 2 * rolloff * cosine + rolloff**2) * (1 - rolloff)


def tone(
    frequency: Signal | float, count: int, sample_rate: int, gains: Sequence[float] = (1.0,)
) -> Signal:
    """A few harmonics with given gains; those that would alias are left out."""
    angle = phase(frequency, count, sample_rate)
    top = float(np.max(frequency))
    total = np.zeros(count)
    for number, gain in enumerate(gains, start=1):
        if gain and number * top < HIGHEST * sample_rate:
            total += gain * np.sin(number * angle)
    return total


def contour(points: Sequence[tuple[float, float]], count: int, *, corner: float = 0.025) -> Signal:
    """A curve through (moment from 0 to 1, value); its corners are rounded over 2 * `corner`."""
    moments, values = zip(*points, strict=True)
    line = np.interp(np.linspace(0, 1, count), moments, values)
    width = max(1, round(count * corner))
    padded = np.pad(line, (width, width), mode="edge")
    return np.convolve(padded, np.ones(2 * width + 1) / (2 * width + 1), mode="valid")


def drift(rng: np.random.Generator, count: int, sample_rate: int, speed: float) -> Signal:
    """A slow random curve of unit variance that changes about `speed` times a second."""
    knots = max(4, int(count / sample_rate * speed * 2) + 4)
    values = rng.standard_normal(knots)
    place = np.linspace(1, knots - 2, count)
    left = place.astype(int)
    fraction = place - left
    smooth = (1 - np.cos(np.pi * fraction)) / 2
    return values[left] * (1 - smooth) + values[np.minimum(left + 1, knots - 1)] * smooth


def decay(count: int, sample_rate: int, attack: float, fall: float) -> Signal:
    """An envelope that rises over `attack` seconds and then falls to 1/e in `fall` seconds."""
    t = np.arange(count) / sample_rate
    return np.minimum(1.0, t / max(attack, 1e-5)) * np.exp(-np.maximum(0.0, t - attack) / fall)


def arrivals(rng: np.random.Generator, rate: float, duration: float) -> Signal:
    """The instants of a Poisson process of `rate` events a second."""
    return np.sort(rng.uniform(0, duration, rng.poisson(rate * duration)))


def scatter(
    rng: np.random.Generator,
    onsets: Signal,
    grain: Callable[[], Signal],
    count: int,
    sample_rate: int,
    *,
    variants: int = 16,
    spread_db: float = 6.0,
) -> Signal:
    """Granular synthesis: add grains at `onsets`, with gains spread in decibels.

    Args:
        rng: Draws which grain falls where, and how loud.
        onsets: Seconds.
        grain: Makes a new grain; it is called `variants` times.
        count: Length of the result in samples.
        sample_rate: Samples a second.
        variants: Number of different grains.
        spread_db: Standard deviation of the grains' levels.
    """
    grains = [grain() for _ in range(variants)]
    total = np.zeros(count + max(len(one) for one in grains))
    gains = 10 ** (rng.normal(0, spread_db, len(onsets)) / 20)
    choices = rng.integers(variants, size=len(onsets))
    for onset, gain, choice in zip(onsets, gains, choices, strict=True):
        start = int(onset * sample_rate)
        one = grains[choice]
        total[start : start + len(one)] += gain * one
    return total[:count]
