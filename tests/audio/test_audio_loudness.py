from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from soundwright.audio.loudness import (
    bandwidth,
    integrated_loudness,
    is_silent,
    k_weighting,
    normalise_loudness,
    normalise_peak,
    peak_db,
    rms_db,
)
from soundwright.core.seeding import torch_stream


def sine(level_db: float, seconds: float, rate: int = 48000, hertz: float = 1000.0) -> torch.Tensor:
    time_s = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return (10 ** (level_db / 20) * torch.sin(2 * torch.pi * hertz * time_s)).float()


def stereo(*parts: tuple[float, float]) -> torch.Tensor:
    return torch.cat([sine(level, seconds) for level, seconds in parts]).expand(2, -1)


def test_filters_are_those_of_the_recommendation() -> None:
    # BS.1770-4, annex 1, tables 1 and 2, at 48 kHz.
    shelf, high_pass = k_weighting(48000)
    assert np.allclose(
        shelf,
        [
            *(1.53512485958697, -2.69169618940638, 1.19839281085285),
            *(1.0, -1.69065929318241, 0.73248077421585),
        ],
        atol=1e-12,
    )
    assert np.allclose(
        high_pass, [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621], atol=1e-12
    )


@pytest.mark.parametrize("rate", [16000, 32000, 44100, 48000, 96000])
def test_full_scale_sine_in_one_channel(rate: int) -> None:
    # BS.1770-4: a 0 dB FS sine of 997 Hz in the left, centre or right channel reads -3.01.
    tone = sine(0.0, 5.0, rate, 997.0)
    loudness = integrated_loudness(torch.stack([tone, 0 * tone]), rate)
    # The filters are tabulated at 48 kHz; elsewhere their shelf is warped a little.
    assert loudness == pytest.approx(-3.01, abs=0.005 if rate == 48000 else 0.045)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # EBU Tech 3341, minimum requirements, cases 1 to 5.
        ([(-23.0, 20.0)], -23.0),
        ([(-33.0, 20.0)], -33.0),
        ([(-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)], -23.0),
        ([(-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)], -23.0),
        ([(-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)], -23.0),
    ],
)
def test_cases_of_the_broadcasting_union(parts: list[tuple[float, float]], expected: float) -> None:
    assert integrated_loudness(stereo(*parts), 48000) == pytest.approx(expected, abs=0.1)


def test_surround_channels_weigh_more() -> None:
    # EBU Tech 3341, case 6: left, right -28, centre -24, surrounds -30 give -23.
    levels = [-28.0, -28.0, -24.0, -30.0, -30.0]
    five = torch.stack([sine(level, 20.0) for level in levels])
    assert integrated_loudness(five, 48000) == pytest.approx(-23.0, abs=0.1)
    effects = torch.stack([*five[:3], sine(0.0, 20.0), *five[3:]])
    assert integrated_loudness(effects, 48000) == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", [16000, 32000, 44100])
def test_agrees_with_pyloudnorm(rate: int) -> None:
    pyloudnorm = pytest.importorskip("pyloudnorm")
    noise = torch.randn(2, round(4.3 * rate), generator=torch_stream(0, "loudness"))
    noise *= torch.linspace(0.001, 0.3, noise.shape[1])
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    expected = meter.integrated_loudness(noise.T.double().numpy())
    assert integrated_loudness(noise, rate) == pytest.approx(expected, abs=0.02)


def test_clip_shorter_than_a_block_is_one_block() -> None:
    short = sine(-20.0, 0.1)[None]
    assert integrated_loudness(short, 48000) == pytest.approx(-23.0, abs=0.2)
    assert math.isfinite(integrated_loudness(short[:, :1000], 48000))


def test_silence_has_no_loudness() -> None:
    for frames in (0, 100, 48000):
        silence = torch.zeros(1, frames)
        assert integrated_loudness(silence, 48000) == -math.inf
        assert peak_db(silence) == rms_db(silence) == -math.inf
        assert is_silent(silence)
        assert torch.equal(normalise_loudness(silence, 48000), silence)
        assert torch.equal(normalise_peak(silence), silence)


def test_levels() -> None:
    tone = sine(0.0, 1.0)[None]
    assert peak_db(tone) == pytest.approx(0.0, abs=1e-4)
    assert rms_db(tone) == pytest.approx(-3.0103, abs=1e-3)
    assert not is_silent(tone * 0.0011)
    assert is_silent(tone * 0.0009)
    assert peak_db(normalise_peak(-0.2 * tone, -6.0)) == pytest.approx(-6.0, abs=1e-4)


def test_loudness_is_reached_unless_the_peak_forbids() -> None:
    tone = sine(-40.0, 2.0)[None]
    assert integrated_loudness(normalise_loudness(tone, 48000, -20.0), 48000) == pytest.approx(
        -20.0, abs=1e-3
    )
    click = torch.zeros(1, 48000)
    click[0, 24000] = 0.9
    loud = normalise_loudness(click, 48000, -10.0, ceiling_db=-1.0)
    assert peak_db(loud) == pytest.approx(-1.0, abs=1e-4)
    assert torch.equal(loud != 0, click != 0)


def test_bandwidth() -> None:
    rate = 16000
    tones = sine(0.0, 1.0, rate, 1000.0) + 0.05 * sine(0.0, 1.0, rate, 5000.0)
    assert bandwidth(tones[None], rate) == pytest.approx(1000, abs=2)
    assert bandwidth(tones[None], rate, share=0.9999) == pytest.approx(5000, abs=2)
    noise = torch.randn(2, rate, generator=torch_stream(0, "bandwidth"))
    assert bandwidth(noise, rate) == pytest.approx(0.99 * rate / 2, rel=0.02)
    assert bandwidth(torch.zeros(1, 100), rate) == bandwidth(torch.zeros(1, 0), rate) == 0
