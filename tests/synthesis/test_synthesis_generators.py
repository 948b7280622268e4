from __future__ import annotations

import inspect

import numpy as np
import pytest

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.synthesis.generators.primitives import band, modes, pulses, scatter, tone
from soundwright.synthesis.generators.table import GENERATORS
from soundwright.synthesis.lexicon import LEXICON

RATE = 16000
ESC_10 = (
    "dog bark", "rain", "sea waves", "baby cry", "clock tick", "person sneeze", "helicopter",
    "chainsaw", "rooster", "fire crackling",
)  # fmt: skip


def make(label: str, seed: int = 0, rate: int = RATE, **changes: float) -> np.ndarray:
    rng = numpy_stream(seed, label)
    generator = GENERATORS[label]
    values = generator.draw(rng)
    if generator.is_texture:
        values["duration"] = 2.0
    return generator.render(values | changes, rng, rate)


def centroid(samples: np.ndarray, rate: int = RATE) -> float:
    power = np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2
    return float((power * np.fft.rfftfreq(len(samples), 1 / rate)).sum() / power.sum())


def test_table_covers_what_people_ask_for():
    assert len(GENERATORS) >= 26
    assert set(ESC_10) <= set(GENERATORS)
    assert all(label == generator.label for label, generator in GENERATORS.items())


def test_every_generator_has_words_of_its_kind():
    for label, generator in GENERATORS.items():
        assert LEXICON[label].countable is not generator.is_texture


@pytest.mark.parametrize("label", GENERATORS)
def test_table_names_the_arguments_of_the_function(label):
    generator = GENERATORS[label]
    arguments = list(inspect.signature(generator.synthesise).parameters)
    assert arguments == ["rng", "sample_rate", *(one.name for one in generator.parameters)]
    assert all(one.low < one.high and one.meaning for one in generator.parameters)


@pytest.mark.parametrize("label", GENERATORS)
def test_sound_is_clean(label):
    samples = make(label)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() == pytest.approx(0.95, abs=1e-3)
    rms = float(np.sqrt(np.mean(samples**2)))
    assert rms > 0.01
    assert abs(float(samples.mean())) < 0.05 * rms
    # No click at either edge.
    assert abs(samples[0]) < 0.02
    assert abs(samples[-1]) < 0.02


@pytest.mark.parametrize("label", [one for one in GENERATORS if not GENERATORS[one].is_texture])
def test_impulsive_event_begins_at_once_and_ends_with_its_sound(label):
    for seed in range(3):
        samples = np.abs(make(label, seed))
        assert np.argmax(samples > 10 ** (-30 / 20)) < 0.012 * RATE
        assert samples[-round(0.1 * RATE) :].max() > 10 ** (-60 / 20)


@pytest.mark.parametrize("label", [one for one in GENERATORS if GENERATORS[one].is_texture])
def test_texture_lasts_as_long_as_it_should(label):
    samples = make(label, duration=1.5)
    assert len(samples) == 1.5 * RATE
    quarter = len(samples) // 4
    levels = [np.sqrt(np.mean(part**2)) for part in np.split(samples[: 4 * quarter], 4)]
    assert min(levels) > 0.003


@pytest.mark.parametrize("label", GENERATORS)
def test_same_stream_same_samples_and_other_streams_differ(label):
    first, again, other = make(label, 3), make(label, 3), make(label, 4)
    assert np.array_equal(first, again)
    shorter = min(len(first), len(other))
    assert not np.allclose(first[:shorter], other[:shorter], atol=0.01)


@pytest.mark.parametrize("label", GENERATORS)
def test_renders_at_other_rates(label):
    low, high = make(label, rate=8000), make(label, rate=44100)
    assert np.isfinite(low).all()
    assert np.isfinite(high).all()
    assert len(high) / 44100 > 0.03


@pytest.mark.parametrize(
    "label", ["alarm beep", "siren", "car horn", "rooster", "bird chirp", "baby cry", "engine"]
)
def test_harmonics_do_not_alias(label):
    power = np.abs(np.fft.rfft(make(label).astype(np.float64))) ** 2
    hertz = np.fft.rfftfreq(2 * (len(power) - 1), 1 / RATE)
    assert power[hertz > 0.48 * RATE].sum() / power.sum() < 1e-4


def test_brightness_orders_as_in_the_world():
    order = ["thunder", "dog bark", "rain", "crickets"]
    means = [np.mean([centroid(make(label, seed)) for seed in range(3)]) for label in order]
    assert means == sorted(means)


def test_helicopter_chops_at_its_blade_rate():
    generator = GENERATORS["helicopter"]
    values = {"duration": 4.0, "rate": 13.0, "slap": 0.8, "turbine": 0.3}
    samples = generator.render(values, numpy_stream(0), RATE)
    envelope = np.abs(band(samples.astype(np.float64), 500, 3000, RATE))
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
    hertz = np.fft.rfftfreq(len(envelope), 1 / RATE)
    peak = hertz[(hertz > 5) & (hertz < 20)][np.argmax(spectrum[(hertz > 5) & (hertz < 20)])]
    assert peak == pytest.approx(13.0, rel=0.03)


def test_guitar_is_in_tune():
    values = {"pitch": 220.0, "sustain": 3.0, "brightness": 0.5, "place": 0.2}
    samples = GENERATORS["guitar pluck"].render(values, numpy_stream(1), RATE)
    power = np.abs(np.fft.rfft(samples, 1 << 18)) ** 2
    hertz = np.fft.rfftfreq(1 << 18, 1 / RATE)
    near = (hertz > 180) & (hertz < 260)
    assert hertz[near][np.argmax(power[near])] == pytest.approx(220.0, rel=0.005)


def test_parameters_stay_in_range_and_vary_keeps_close():
    generator = GENERATORS["dog bark"]
    rng = numpy_stream(5)
    for _ in range(50):
        values = generator.draw(rng)
        for parameter in generator.parameters:
            moved = generator.vary(values, rng)[parameter.name]
            assert parameter.low <= values[parameter.name] <= parameter.high
            assert parameter.low <= moved <= parameter.high
            assert abs(moved - values[parameter.name]) < 0.3 * (parameter.high - parameter.low)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pich": 3.0}, "did you mean 'pitch'"),
        ({"pitch": float("nan")}, "nan"),
    ],
)
def test_wrong_parameters_are_named(changes, words):
    with pytest.raises(UserError, match=words):
        make("dog bark", **changes)


def test_missing_parameter_is_named():
    with pytest.raises(UserError, match="'length'"):
        GENERATORS["dog bark"].render({"pitch": 300.0}, numpy_stream(0), RATE)


def test_pulses_equal_the_sum_of_their_harmonics():
    count, rate, frequency, rolloff = 400, 8000, 500.0, 0.8
    angle = 2 * np.pi * frequency * np.arange(1, count + 1) / rate
    harmonics = int(0.46 * rate / frequency)
    literal = sum(rolloff**k * np.cos(k * angle) for k in range(1, harmonics + 1))
    found = pulses(frequency, count, rate, rolloff)
    assert np.allclose(found / (1 - rolloff), literal, atol=1e-9)


def test_tone_leaves_out_what_would_alias():
    assert np.allclose(tone(3000, 100, 8000, (0.0, 1.0)), 0)


def test_modes_decay_as_told():
    samples = modes(1.0, RATE, [400.0], [0.1], [1.0])
    early, late = np.abs(samples[800:1600]).max(), np.abs(samples[2400:3200]).max()
    assert late / early == pytest.approx(np.exp(-1), rel=0.05)


def test_scatter_places_grains_at_their_onsets():
    onsets = np.array([0.1, 0.25])
    found = scatter(
        numpy_stream(0), onsets, lambda: np.ones(1), 1000, 1000, variants=1, spread_db=0.0
    )
    assert np.flatnonzero(found).tolist() == [100, 250]
