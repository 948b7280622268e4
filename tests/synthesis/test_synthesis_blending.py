from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfiltfilt

from soundwright.audio.sound import Sound
from soundwright.core.records import SceneEvent
from soundwright.core.seeding import numpy_stream
from soundwright.synthesis.blending import morph, overlay
from soundwright.synthesis.recordings import RecordedClip, RecordingBank
from soundwright.synthesis.rendering import render_scene
from soundwright.synthesis.scenes import ComposerConfig, compose_scene

RATE = 16_000
ONLY_SINGLE = {
    "single": 1, "several": 0, "count": 0, "sequence": 0, "overlap": 0, "background": 0,
    "absence": 0,
}  # fmt: skip


def tone(frequency: float, seconds: float = 0.5) -> np.ndarray:
    """Harmonics of `frequency` up to 7 kHz, all equally strong."""
    t = np.arange(round(seconds * RATE)) / RATE
    return sum(
        (np.sin(2 * np.pi * k * frequency * t + k * k) for k in range(1, int(7000 / frequency))),
        np.zeros(len(t)),
    )


def part_above(samples: np.ndarray, hertz: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(power[np.fft.rfftfreq(len(samples), 1 / RATE) > hertz].sum() / power.sum())


def pitch(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples, 2 * len(samples))) ** 2
    course = np.fft.irfft(spectrum)
    lag = int(np.argmax(course[RATE // 1000 : RATE // 300])) + RATE // 1000
    return RATE / lag


def low(samples: np.ndarray) -> np.ndarray:
    return sosfiltfilt(butter(4, 1500, fs=RATE, output="sos"), samples)


def test_morph_of_nothing_is_the_first_sound():
    first, second = tone(500), low(tone(420))
    inner = slice(800, -800)
    assert np.allclose(morph(first, second, 0.0, RATE)[inner], first[inner], atol=1e-9)


@pytest.mark.parametrize("steady", [False, True])
def test_morph_keeps_the_pitch_and_takes_the_spectrum(steady):
    first, second = tone(500), low(tone(420, 0.8))
    both = morph(first, second, 0.8, RATE, steady=steady)
    assert len(both) == len(first)
    assert pitch(both) == pytest.approx(500, rel=0.02)
    assert part_above(both, 3000) < 0.1 * part_above(first, 3000)


def test_morph_follows_the_other_sound_in_time_unless_it_is_steady():
    first, second = tone(500), low(tone(420))
    changing = np.concatenate([second[:4000], tone(420)[4000:]])
    followed = morph(first, changing, 1.0, RATE)
    steady = morph(first, changing, 1.0, RATE, steady=True)
    assert part_above(followed[4800:], 3000) > 20 * part_above(followed[:3200], 3000)
    assert part_above(steady[4800:], 3000) < 2 * part_above(steady[:3200], 3000)


def test_overlay_sets_the_power_and_repeats_what_is_short():
    rng = numpy_stream(0, "overlay")
    first, second = rng.standard_normal(8000), rng.standard_normal(3000)
    both = overlay(first, second, -6.0)
    added = both - first
    assert 10 * np.log10(np.mean(added**2) / np.mean(first**2)) == pytest.approx(-6.0)
    assert np.allclose(added[:3000], added[3000:6000])


@pytest.mark.parametrize("nothing", [np.zeros(0), np.zeros(500)])
def test_silence_adds_nothing(nothing):
    first = tone(500)
    assert np.array_equal(overlay(first, nothing, 0.0), first)
    assert np.isfinite(morph(first, nothing, 0.5, RATE)).all()


def clip(label: str, number: int) -> RecordedClip:
    """Noise: two bursts for a dog, five seconds of it for rain."""
    samples = numpy_stream(number, label).standard_normal(5 * RATE) * 0.1
    if label == "dog bark":
        t = np.arange(5 * RATE) / RATE
        samples *= np.exp(-20 * ((t - 1) % 2)) + 1e-5
    sound = Sound(torch.from_numpy(samples).float()[None], RATE)
    return RecordedClip(f"{label}-{number}", label, sound)


@pytest.fixture(scope="module")
def bank() -> RecordingBank:
    return RecordingBank(
        [clip(label, number) for label in ("dog bark", "rain") for number in range(3)], RATE
    )


def composed(bank: RecordingBank, label: str, blend: float, count: int = 6) -> list[SceneEvent]:
    config = ComposerConfig.read({"labels": [label], "forms": ONLY_SINGLE, "blend": blend})
    scenes = [compose_scene(config, seed, bank) for seed in range(count)]
    for scene in scenes:
        assert np.isfinite(render_scene(scene, bank, RATE).samples.numpy()).all()
    return [event for scene in scenes for event in scene.events]


@pytest.mark.parametrize(("label", "how"), [("dog bark", "morph"), ("rain", "overlay_db")])
def test_blends_are_of_two_recordings_of_one_label(bank, label, how):
    events = composed(bank, label, 1.0)
    for event in events:
        assert event.partner.startswith(f"clip:{label}-")
        assert event.partner != event.source
        assert how in event.parameters
    assert len({(event.source, event.partner) for event in events}) > 2


def test_without_blends_scenes_are_as_they_were(bank):
    events = composed(bank, "dog bark", 0.0)
    assert all(not event.partner for event in events)
    assert all(set(event.parameters) == {"start", "end", "speed"} for event in events)


def test_a_lonely_recording_stays_alone():
    alone = RecordingBank([clip("dog bark", 0)], RATE)
    assert all(not event.partner for event in composed(alone, "dog bark", 1.0))
