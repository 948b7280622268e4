"""Scores of clips against what their samples are made of."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import firwin, lfilter

from soundwright.audio.resampling import resample
from soundwright.audio.sound import Sound
from soundwright.corpus.probing import highest_band, probe_sound

RATE = 16000


def noise(seconds=2.0, channels=1, level=0.1, rate=RATE):
    draws = np.random.default_rng(3).standard_normal((channels, round(seconds * rate)))
    return (level * draws).astype(np.float32)


def probe(samples, rate=RATE):
    return probe_sound(Sound(torch.from_numpy(np.atleast_2d(samples).astype(np.float32)), rate))


def test_a_full_scale_sine_has_the_levels_of_the_textbook():
    # 997 Hz in 10 s: whole periods, of which no sample is zero or on a crest too often.
    samples = np.sin(0.3 + 2 * np.pi * 997 * np.arange(10 * 48000) / 48000)
    scores = probe(samples, 48000)
    assert scores["peak_db"] == pytest.approx(0.0, abs=1e-3)
    assert scores["rms_db"] == pytest.approx(-3.0103, abs=1e-3)
    assert scores["crest_db"] == pytest.approx(3.0103, abs=1e-3)
    # BS.1770 calibrates its meter with this tone.
    assert scores["loudness"] == pytest.approx(-3.01, abs=0.01)
    assert scores["bandwidth"] == pytest.approx(1000, abs=260)
    assert scores["dc_offset"] == pytest.approx(0.0, abs=1e-6)
    for name in ("silent_share", "zero_share", "clipped_share"):
        assert scores[name] == 0.0
    assert "same_share" not in scores


def test_silence_has_finite_scores():
    scores = probe(np.zeros((2, RATE)))
    assert scores == {
        "silent_share": 1.0,
        "zero_share": 1.0,
        "clipped_share": 0.0,
        "dc_offset": 0.0,
        "bandwidth": 0.0,
        "peak_db": -120.0,
        "rms_db": -120.0,
        "crest_db": 0.0,
        "loudness": -120.0,
        "same_share": 1.0,
    }


def test_silent_windows_and_zeros_are_counted():
    samples = noise(1.0)[0]
    samples[:4800] = 0.0  # 15 of 50 windows, digital
    samples[4800:8000] = 0.0009 * np.where(np.arange(3200) % 2, 1, -1)  # 10 more, at -60.9 dBFS
    samples[8000:9600] = 0.0011 * np.where(np.arange(1600) % 2, 1, -1)  # -59.2 dBFS
    scores = probe(samples)
    assert scores["silent_share"] == 0.5
    assert scores["zero_share"] == pytest.approx(0.3)
    # A channel that is heard makes a window heard, and a moment is zero in all channels.
    both = probe(np.stack([samples, noise(1.0)[0]]))
    assert (both["silent_share"], both["zero_share"]) == (0.0, 0.0)
    # What is left over of a last window does not count, and a short clip is one window.
    assert probe(np.concatenate([samples, np.zeros(319)]))["silent_share"] == 0.5
    assert [probe(np.full(9, level))["silent_share"] for level in (0.0009, 0.1)] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("samples", "clipped"),
    [
        ([0, 1, 1, 1, 0, -1, -1, -1, -1, 0], 7),
        ([0, 1, 1, 0, 1, 1, 0, -1, -1, 0], 0),
        ([1, 1, 1, 0, 0.5, 0.5, 0.5, 0, 0, 0], 3),
        ([0, 0, 0, 0, 0, 0, 0, 0.97, 0.97, 0.97], 3),
        ([0, 0, 0, 0, 0, 0, 0, 0.94, 0.94, 0.94], 0),
        ([0, 2.5, 2.5, 2.5, 1, 1, 1, -1, -1, -1], 6),
    ],
)
def test_runs_at_the_peak_are_clipping(samples, clipped):
    assert probe(samples)["clipped_share"] == pytest.approx(clipped / 10)
    stereo = probe([samples, [0.1] * 10])
    assert stereo["clipped_share"] == pytest.approx(clipped / 20)


def test_a_signal_driven_into_its_limits_is_clipped():
    driven = np.clip(3 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE), -1, 1)
    # |3 sin| > 1 for 1 - 2 asin(1/3) / pi of the time.
    expected = 1 - 2 * math.asin(1 / 3) / math.pi
    assert probe(driven)["clipped_share"] == pytest.approx(expected, abs=0.01)


def test_the_largest_offset_of_a_channel_is_told():
    samples = noise(channels=2)
    samples -= samples.mean(-1, keepdims=True)
    samples += np.float32([[0.01], [-0.25]])
    assert probe(samples)["dc_offset"] == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("edge", [1000, 4000, 8000, 11025, 16000, 19000])
@pytest.mark.parametrize("kind", ["white", "red"])
def test_bandwidth_is_where_a_low_pass_has_cut(edge, kind):
    rate = 44100
    source = noise(3.0, rate=rate)[0]
    if kind == "red":
        source = lfilter([0.05], [1.0, -0.995], source)
    low = lfilter(firwin(1025, edge, fs=rate, window=("kaiser", 12.0)), [1.0], source)
    stored = np.round(low * 32768) / 32768
    assert probe(stored, rate)["bandwidth"] == pytest.approx(edge, abs=260)
    assert probe(source, rate)["bandwidth"] == rate / 2


def test_bandwidth_tells_what_was_sampled_at_a_lower_rate():
    low = resample(torch.from_numpy(noise()), 16000, 44100)
    assert probe_sound(Sound(low, 44100))["bandwidth"] == pytest.approx(8000, abs=260)


def test_what_does_not_depend_on_gain_and_time_does_not_change():
    samples = noise(channels=2)
    scores, quiet = probe(samples), probe(samples / 8)
    for name in ("crest_db", "bandwidth", "zero_share", "same_share"):
        assert quiet[name] == pytest.approx(scores[name], abs=1e-6)
    for name in ("peak_db", "rms_db", "loudness"):
        assert quiet[name] == pytest.approx(scores[name] - 20 * math.log10(8), abs=1e-6)
    assert quiet["dc_offset"] == pytest.approx(scores["dc_offset"] / 8)
    shifted = probe(np.roll(samples, 320 * 7, axis=-1))
    for name in set(scores) - {"loudness"}:
        assert shifted[name] == pytest.approx(scores[name], abs=1e-4)
    assert shifted["loudness"] == pytest.approx(scores["loudness"], abs=0.1)


def test_equal_channels_are_told():
    left, right = noise(channels=2)
    right[:RATE] = left[:RATE]
    assert probe([left, right])["same_share"] == 0.5
    assert probe([left, left, left])["same_share"] == 1.0


def test_many_channels_and_single_samples_have_scores():
    wide = probe(np.tile(noise(), (8, 1)))
    assert wide["loudness"] == pytest.approx(probe(noise())["loudness"], abs=1e-6)
    single = probe([0.5])
    assert single["peak_db"] == pytest.approx(-6.0206, abs=1e-4)
    assert all(math.isfinite(score) for score in single.values())
    assert highest_band(np.full((1, 1), 0.5, np.float32), 8000) == 250.0
