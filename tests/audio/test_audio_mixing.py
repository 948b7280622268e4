from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from soundwright.audio.channels import to_channels
from soundwright.audio.mixing import (
    Layer,
    add_at,
    fade,
    gain_of,
    heard_level,
    mix,
    mix_by_level,
    mix_evenly,
)
from soundwright.audio.sound import Sound


def test_layers_lie_at_their_samples() -> None:
    ones = torch.ones(1, 3)
    mixed = mix([Layer(ones, 1), Layer(ones, 2, 20.0), Layer(2 * ones, 8)], 10)
    assert mixed.tolist() == [[0, 1, 11, 11, 10, 0, 0, 0, 2, 2]]


def test_what_sticks_out_is_cut() -> None:
    ramp = torch.tensor([[1.0, 2.0, 3.0]])
    assert mix([Layer(ramp, -2)], 2).tolist() == [[3, 0]]
    assert mix([Layer(ramp, -5), Layer(ramp, 2), Layer(ramp, 90)], 2).tolist() == [[0, 0]]


def test_one_channel_goes_to_all() -> None:
    mixed = mix([Layer(torch.ones(1, 2)), Layer(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))], 2, 2)
    assert mixed.tolist() == [[1, 1], [2, 2]]


def test_layers_stay_as_they_are() -> None:
    layer, target = torch.ones(1, 4), torch.zeros(1, 4)
    add_at(target, layer, 1, gain_db=-20.0)
    assert torch.equal(layer, torch.ones(1, 4))
    assert target[0].tolist() == pytest.approx([0, 0.1, 0.1, 0.1])
    assert gain_of(-6.0205999) == pytest.approx(0.5)


def test_fades_rise_and_fall() -> None:
    faded = fade(torch.ones(2, 100), 20, 30)
    assert faded[:, 20:70].eq(1).all()
    assert (faded[0, :20].diff() > 0).all()
    assert (faded[0, 70:].diff() < 0).all()
    assert faded[0, 0] < 0.01
    assert faded[0, -1] < 0.01
    # Two fades across each other keep the amplitude.
    assert torch.allclose(fade(torch.ones(50), 50) + fade(torch.ones(50), 0, 50), torch.ones(50))
    assert fade(torch.ones(1, 3), 10, 10).shape == (1, 3)


def test_channels_down_and_up() -> None:
    four = torch.tensor([[1.0], [10.0], [3.0], [30.0]])
    assert to_channels(four, 1).tolist() == [[11]]
    assert to_channels(four, 2).tolist() == [[2], [20]]
    assert to_channels(torch.tensor([[1.0], [2.0]]), 5).flatten().tolist() == [1, 2, 1, 2, 1]
    assert to_channels(four, 4) is four
    assert to_channels(torch.ones(7, 1, 5), 2).shape == (7, 2, 5)


def test_sound_refuses_other_shapes() -> None:
    sound = Sound(torch.zeros(2, 8000), 16000)
    assert (sound.channels, sound.frames, sound.duration) == (2, 8000, 0.5)
    with pytest.raises(AssertionError):
        Sound(torch.zeros(8000), 16000)
    with pytest.raises(AssertionError):
        Sound(torch.zeros(1, 8000, dtype=torch.float64), 16000)


def literal_level(samples: np.ndarray, rate: int, length: int) -> float:
    """The reference's words, number by number in float64."""
    best = 0.0
    for start in range(0, len(samples) - length + 1, length // 2):
        power = 0.0
        window = [0.5 - 0.5 * math.cos(2 * math.pi * n / length) for n in range(length)]
        spectrum = np.fft.fft(samples[start : start + length] * window)
        for k in range(length // 2 + 1):
            f = k * rate / length
            response = 12194**2 * f**4 / (f**2 + 20.6**2) / (f**2 + 12194**2)
            response /= math.sqrt((f**2 + 107.7**2) * (f**2 + 737.9**2))
            power += abs(spectrum[k]) ** 2 * response**2 * 10 ** (2.0 / 10)
        best = max(best, power)
    return max(10 * math.log10(best), -80.0)


def test_levels_are_mixed_by_tango_s_equations_9_and_10() -> None:
    stream = np.random.default_rng(0)
    quiet = 0.01 * stream.standard_normal(5000)
    loud = np.sin(np.arange(5000) * 0.7) * np.linspace(0.1, 0.8, 5000)
    g1, g2 = literal_level(quiet, 16000, 2048), literal_level(loud, 16000, 2048)
    p = 1 / (1 + 10 ** ((g1 - g2) / 20))
    expected = (p * quiet + (1 - p) * loud) / math.sqrt(p**2 + (1 - p) ** 2)
    one, two = torch.from_numpy(quiet)[None], torch.from_numpy(loud)[None]
    assert heard_level(one, 16000) == pytest.approx(g1, abs=1e-9)
    assert heard_level(two, 16000) == pytest.approx(g2, abs=1e-9)
    mixed = mix_by_level(one, two, 16000)
    np.testing.assert_allclose(mixed[0].numpy(), expected, rtol=0, atol=1e-12)
    assert torch.allclose(mixed, mix_by_level(two, one, 16000), atol=1e-12)
    assert p > 0.95, "the quiet one is kept"


def test_levels_hear_as_people_do() -> None:
    time = torch.arange(16000, dtype=torch.float64)[None] / 16000
    kilohertz, low = (torch.sin(2 * torch.pi * f * time) for f in (1000.0, 100.0))
    # The table of IEC 61672-1: -19.1 dB at 100 Hz, 0 dB at 1 kHz.
    difference = heard_level(low, 16000) - heard_level(kilohertz, 16000)
    assert difference == pytest.approx(-19.1, abs=0.2)
    assert heard_level(0.1 * low, 16000) == pytest.approx(heard_level(low, 16000) - 20)
    assert heard_level(torch.zeros(2, 9000), 16000) == heard_level(torch.zeros(1, 0), 8000) == -80
    # A loud moment decides, wherever it is, and a channel more changes nothing.
    late = torch.cat([0 * low, low], 1)
    assert heard_level(late, 16000) == pytest.approx(heard_level(low, 16000), abs=1e-6)
    assert heard_level(low.expand(2, -1), 16000) == pytest.approx(heard_level(low, 16000))
    assert heard_level(low[:, :100], 16000) > -80


def test_even_mixes_keep_within_full_scale() -> None:
    one = torch.ones(1, 4000)
    loud = mix_evenly(Layer(one), Layer(one), 4000, 16000)
    assert loud.abs().max() == 1.0
    apart = mix_evenly(Layer(one), Layer(one[:, :1000], 2500), 4000, 16000)
    assert apart.abs().max() == 1.0
    quiet = mix_evenly(Layer(0.1 * one), Layer(0.1 * one), 4000, 16000)
    assert torch.allclose(quiet, torch.full((1, 4000), 0.1 * 2**0.5))
    assert mix_evenly(Layer(one), Layer(one[:, :7]), 5000, 16000).shape == (1, 5000)
