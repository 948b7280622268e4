"""From a scene record to samples: each event made again, levelled, placed, and added."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import butter, fftconvolve, sosfilt

from soundwright.audio.loudness import k_weighting
from soundwright.audio.mixing import gain_of
from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError, nearest
from soundwright.core.records import Scene, SceneEvent
from soundwright.core.seeding import numpy_stream
from soundwright.synthesis.blending import morph, overlay
from soundwright.synthesis.generators.model import faded
from soundwright.synthesis.generators.primitives import band
from soundwright.synthesis.generators.table import GENERATORS
from soundwright.synthesis.lexicon import entry_of
from soundwright.synthesis.recordings import RecordingBank

GENERATED = "synthesis:"
RECORDED = "clip:"
PARTNER = "partner_"
"""Prefix of the parameters that say which part of `SceneEvent.partner` is played, and how fast."""
LEVEL_DB = -20.0
"""Level, K-weighted, of an event's loudest tenth of a second, before its own gain."""
HIGHEST_PEAK = 0.5
"""Peak of an event before its own gain; clicks stay below LEVEL_DB for it."""
CEILING = 0.97
WINDOW_S = 0.1
FAR_HZ = 2200.0
ROOM_S = 0.9
"""Reverberation time (to -60 dB) around a far event."""
ROOM_SHARE = 0.6
"""Energy of the room's answer relative to the far event itself."""
NEAR_HZ = 3000.0
RUMBLE_HZ = 40.0
"""Below this a recording holds wind and handling noise."""

Samples = npt.NDArray[np.float32]


def render_scene(
    scene: Scene, bank: RecordingBank | None = None, sample_rate: int = 16000
) -> Sound:
    """Render a scene by addition. The same record gives the same samples.

    Args:
        scene: What to render.
        bank: The recordings that its events name; None where there are none.
        sample_rate: Samples a second of the result.

    Returns:
        [1, N] with N = round(duration * sample_rate) and peak at most 0.97: a scene that would
        be louder is turned down as a whole. Each event begins at its onset, to the sample. A
        far event rings past its offset, as in a room.

    Raises:
        UserError: A recording that the bank lacks, or an unknown generator or parameter.
    """
    mix = np.zeros(round(scene.duration * sample_rate))
    for event in scene.events:
        samples = _placed_far_or_near(
            event, event_samples(event, bank, sample_rate), scene, sample_rate
        )
        start = round(event.onset * sample_rate)
        end = min(len(mix), start + len(samples))
        mix[start:end] += samples[: end - start] * gain_of(event.gain_db)
    mix = faded(mix, sample_rate, rise=0.0, fall=0.008)
    peak = float(np.abs(mix).max(initial=0.0))
    if peak > CEILING:
        mix *= CEILING / peak
    return Sound(torch.from_numpy(mix.astype(np.float32))[None], sample_rate)


def event_samples(event: SceneEvent, bank: RecordingBank | None, sample_rate: int) -> Samples:
    """An event alone: dry, at the common level, from its onset to its offset.

    Returns:
        [N] float32. N is what the source gives, at most `offset - onset`.

    Raises:
        UserError: As in `render_scene`.
    """
    samples = source_samples(event, bank, sample_rate).astype(np.float64)
    longest = round((event.offset - event.onset) * sample_rate)
    if len(samples) > longest:
        samples = faded(samples[:longest], sample_rate, rise=0.0, fall=0.06)
    return (samples * _levelling(samples, sample_rate)).astype(np.float32)


def source_samples(event: SceneEvent, bank: RecordingBank | None, sample_rate: int) -> Samples:
    """What the event's source gives, whole and at any level.

    Raises:
        UserError: As in `render_scene`.
    """
    if event.source.startswith(GENERATED):
        name = event.source.removeprefix(GENERATED)
        if name not in GENERATORS:
            raise UserError(f"There is no generator {name!r}.", expected=nearest(name, GENERATORS))
        stream = numpy_stream(event.seed, "event")
        return GENERATORS[name].render(event.parameters, stream, sample_rate)
    if bank is None:
        named = event.source.removeprefix(RECORDED)
        raise UserError(f"The scene needs the recording {named!r}, and no recordings were given.")
    samples = _recorded(event, event.source, "", bank, sample_rate)
    entry = entry_of(event.label)
    if event.partner:
        other = _recorded(event, event.partner, PARTNER, bank, sample_rate)
        if entry.diffuse:
            samples = overlay(samples, other, event.parameters["overlay_db"])
        else:
            share = event.parameters["morph"]
            samples = morph(samples, other, share, sample_rate, steady=not entry.countable)
    rise, fall = (0.002, 0.03) if entry.countable else (0.02, 0.08)
    return faded(samples, sample_rate, rise=rise, fall=fall).astype(np.float32)


def _recorded(
    event: SceneEvent, source: str, prefix: str, bank: RecordingBank, sample_rate: int
) -> npt.NDArray[np.float64]:
    """The part of a recording that the event's parameters with this prefix name."""
    start, end = event.parameters[f"{prefix}start"], event.parameters[f"{prefix}end"]
    speed = event.parameters.get(f"{prefix}speed", 1.0)
    clip_id = source.removeprefix(RECORDED)
    samples = bank.samples(clip_id, start, end, speed=speed, sample_rate=sample_rate)
    return band(samples.astype(np.float64), RUMBLE_HZ, None, sample_rate)


def _levelling(samples: npt.NDArray[np.float64], sample_rate: int) -> float:
    """The factor that brings a dry event to the common level."""
    weighted = np.asarray(sosfilt(k_weighting(sample_rate), samples)) ** 2
    window = round(WINDOW_S * sample_rate)
    padded = np.concatenate([np.zeros(1), np.cumsum(weighted), np.full(window, weighted.sum())])
    loudest = float(np.max(padded[window:] - padded[:-window])) / window
    peak = float(np.abs(samples).max())
    return min(gain_of(LEVEL_DB) / max(loudest, 1e-12) ** 0.5, HIGHEST_PEAK / max(peak, 1e-9))


def _placed_far_or_near(
    event: SceneEvent, samples: Samples, scene: Scene, sample_rate: int
) -> npt.NDArray[np.float64]:
    """Near is brighter and dry; far is dull, in a room that all events of the group share."""
    signal = samples.astype(np.float64)
    if event.distance == "near":
        edge = min(NEAR_HZ, 0.4 * sample_rate)
        high = butter(1, edge, "highpass", fs=sample_rate, output="sos")
        return signal + 0.6 * np.asarray(sosfilt(high, signal))
    if event.distance == "far":
        low = butter(2, FAR_HZ, "lowpass", fs=sample_rate, output="sos")
        rng = numpy_stream(scene.seed, "room", event.group)
        count = round(ROOM_S * sample_rate)
        t = np.arange(count) / sample_rate
        answer = rng.standard_normal(count) * 10 ** (-3 * t / ROOM_S) * np.minimum(1, t / 0.02)
        answer *= (ROOM_SHARE / float(np.sum(answer**2))) ** 0.5
        answer[0] += 1.0
        return np.asarray(sosfilt(low, fftconvolve(signal, answer)))
    return signal
