"""Cross-fades, loops, the limiter, and functions applied piece by piece."""

import math

import pytest
import torch

from soundwright.audio.joining import (
    best_lag,
    check_loop,
    close_loop,
    cross_fade,
    needed_for_loop,
    stretch_periodic,
)
from soundwright.audio.limiting import limit
from soundwright.audio.overlapping import Overlapped
from soundwright.core.errors import UserError
from soundwright.core.seeding import torch_stream

RATE = 8_000


def noise(channels, samples, seed=0):
    return 0.1 * torch.randn(channels, samples, generator=torch_stream(seed, "test"))


def tone(hertz, samples):
    return torch.sin(2 * math.pi * hertz * torch.arange(samples, dtype=torch.float64) / RATE)[
        None
    ].float()


def test_a_cross_fade_goes_from_one_to_the_other():
    old, new = noise(2, 1000), noise(2, 1000, seed=1)
    faded = cross_fade(old, new)
    torch.testing.assert_close(faded[:, 0], old[:, 0], rtol=0, atol=1e-4)
    torch.testing.assert_close(faded[:, -1], new[:, -1], rtol=0, atol=1e-4)


def test_equal_sounds_stay_as_they_are():
    old = noise(1, 1000)
    torch.testing.assert_close(cross_fade(old, old), old)
    silence = torch.zeros(1, 100)
    assert torch.equal(cross_fade(silence, silence), silence)


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_the_level_stays_through_a_cross_fade(alike):
    first, other = noise(1, 200_000), noise(1, 200_000, seed=1)
    faded = cross_fade(first, alike * first + math.sqrt(1 - alike**2) * other)
    levels = faded.unfold(1, 20_000, 20_000).square().mean(dim=-1).sqrt()
    torch.testing.assert_close(levels, torch.full_like(levels, 0.1), rtol=0.03, atol=0)


def test_opposite_sounds_do_not_blow_up():
    old = noise(1, 1000)
    assert cross_fade(old, -old).abs().max() <= math.sqrt(2) * old.abs().max()


@pytest.mark.parametrize("lag", [0, 13, 60])
def test_the_lag_is_found_whatever_the_level(lag):
    wanted = noise(2, 200)
    within = 0.1 * noise(2, 260, seed=1)
    within[:, lag : lag + 200] += 0.5 * wanted
    assert best_lag(wanted, within) == lag


def test_silence_meets_itself_in_the_middle():
    assert best_lag(torch.zeros(1, 50), torch.zeros(1, 70)) == 10


@pytest.mark.parametrize("length", [3990, 4000, 4010])
def test_stretching_keeps_a_period_a_period(length):
    period = tone(RATE * 7 / 4000, 4000)
    expected = torch.sin(2 * math.pi * 7 * torch.arange(length, dtype=torch.float64) / length)
    torch.testing.assert_close(
        stretch_periodic(period, length), expected[None].float(), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("hertz", [50.0, 123.4, 1000.3])
def test_a_tone_loops_without_a_seam(hertz):
    length, fade = RATE, RATE // 4
    looped = close_loop(tone(hertz, needed_for_loop(length, fade, RATE)), length, fade, RATE)
    assert looped.shape == (1, length)
    twice = torch.cat([looped, looped], dim=1)[0]
    # A sine obeys x[n + 1] + x[n - 1] = 2 cos(w) x[n]; a seam does not.
    error = (twice[2:] + twice[:-2] - 2 * math.cos(2 * math.pi * hertz / RATE) * twice[1:-1]).abs()
    seam = error[length - 50 : length + 50].max()
    assert seam < 0.02
    assert looped.abs().max() < 1.02
    naive = tone(hertz, length)
    jump = (torch.cat([naive, naive], dim=1)[0].diff()[length - 1] - naive[0].diff()[-1]).abs()
    assert hertz == 50.0 or seam < jump


def test_noise_loops_at_its_level():
    length, fade = 4 * RATE, RATE
    looped = close_loop(noise(1, needed_for_loop(length, fade, RATE)), length, fade, RATE)
    levels = looped.unfold(1, RATE // 2, RATE // 2).square().mean(dim=-1).sqrt()
    torch.testing.assert_close(levels, torch.full_like(levels, 0.1), rtol=0.1, atol=0)


def test_a_loop_ends_as_the_sound_was_before_its_beginning():
    sound = noise(2, needed_for_loop(RATE, 800, RATE))
    # A copy of the beginning, one loop later: the lag is 0, and nothing is stretched.
    sound[:, RATE : RATE + 800] = sound[:, :800]
    looped = close_loop(sound, RATE, 800, RATE)
    torch.testing.assert_close(looped, sound[:, 800 : 800 + RATE])


@pytest.mark.parametrize("duration", [0.0, 0.99])
def test_a_loop_that_its_fades_would_fill_is_refused(duration):
    with pytest.raises(UserError, match=r"two cross-fades(.|\n)*at least 1 s"):
        check_loop(duration, 0.5)
    check_loop(1.0, 0.5)


def test_the_limiter_turns_down_peaks_and_leaves_the_rest():
    sound = noise(2, 4000)
    assert limit(sound, 0.99, 200) is sound
    loud = sound.clone()
    loud[0, 2000], loud[1, 2050] = 3.0, -2.0
    limited = limit(loud, 0.99, 200)
    assert limited.abs().max() <= 0.99
    assert limited[0, 2000] == pytest.approx(0.99, abs=1e-6)
    far = torch.ones(4000, dtype=torch.bool)
    far[1800:2251] = False
    torch.testing.assert_close(limited[:, far], loud[:, far], rtol=1e-6, atol=0)
    gain = limited[0] / loud[0]
    assert gain.diff().abs().max() < 0.02
    # Both channels get one gain.
    torch.testing.assert_close(limited[1] / loud[1], gain, rtol=1e-4, atol=1e-5)


def smooth(signal):
    """A mean over 5 neighbours and the position itself, zeros beyond the ends."""
    return torch.nn.functional.avg_pool1d(signal, 11, stride=1, padding=5)


@pytest.mark.parametrize("sizes", [[50], [1] * 50, [3, 20, 0, 27], [49, 1]])
def test_a_function_piece_by_piece_gives_the_whole(sizes):
    signal = noise(1, 50)
    overlapped, given, held = Overlapped(smooth, 5), [], []
    pieces = signal.split(sizes, dim=1)
    for number, piece in enumerate(pieces):
        result = overlapped.push(piece, last=number == len(pieces) - 1)
        if result is not None:
            given.append(result)
        held.append(sum(sizes[: number + 1]) - sum(part.shape[1] for part in given))
    torch.testing.assert_close(torch.cat(given, dim=1), smooth(signal))
    assert held[-1] == 0
    assert all(waiting <= 5 for waiting in held)


def test_a_factor_and_no_reach():
    signal = noise(1, 20)
    doubled = Overlapped(lambda part: part.repeat_interleave(2, dim=-1), 3, 2)
    results = [doubled.push(signal[:, :10]), doubled.push(None), doubled.push(signal[:, 10:])]
    assert [None if part is None else part.shape[1] for part in results] == [14, None, 20]
    parts = [part for part in [*results, doubled.push(None, last=True)] if part is not None]
    assert torch.equal(torch.cat(parts, dim=1), signal.repeat_interleave(2, dim=-1))
    waiting = Overlapped(smooth, None)
    assert waiting.push(None) is None
    assert waiting.push(signal[:, :10]) is None
    whole = waiting.push(signal[:, 10:], last=True)
    assert torch.equal(whole, smooth(signal))
