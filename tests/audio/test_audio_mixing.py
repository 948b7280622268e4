from __future__ import annotations

import pytest
import torch

from soundwright.audio.channels import to_channels
from soundwright.audio.mixing import Layer, add_at, fade, gain_of, mix
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
