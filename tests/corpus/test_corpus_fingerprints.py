import numpy as np
import pytest
import torch
from fingerprint_sounds import RATE, cut, draw_fingerprint, make
from hypothesis import given
from hypothesis import strategies as st

from soundwright.audio.encoding import encode
from soundwright.audio.files import read
from soundwright.audio.resampling import resample
from soundwright.audio.sound import Sound
from soundwright.core.errors import ConfigError
from soundwright.corpus.fingerprints import FingerprintConfig, find_peaks, fingerprint
from soundwright.corpus.matching import MatchConfig, agreement, match
from soundwright.corpus.sketches import Sketch, SketchFile, write_sketches

NOISY = ("rain", "sea waves", "wind", "fire crackling")


def take(samples, rate=RATE):
    return fingerprint(samples, rate)


@pytest.fixture(scope="module")
def rain():
    return make("rain")


@pytest.fixture(scope="module")
def rain_print(rain):
    return take(rain)


@pytest.mark.parametrize("suffix", [".mp3", ".ogg"])
@pytest.mark.parametrize("label", NOISY)
def test_noise_that_was_coded_matches_itself_and_no_other_noise(tmp_path, label, suffix):
    path = tmp_path / f"coded{suffix}"
    path.write_bytes(encode(Sound(make(label), RATE), suffix))
    coded = take(read(path).samples)
    found = match(take(make(label)), coded)
    assert found is not None
    assert abs(found.offset) < 0.1
    assert match(take(make(label, seed=1)), coded) is None


def test_the_same_sound_agrees_in_all_landmarks(rain_print):
    found = match(rain_print, rain_print)
    assert found is not None
    assert found.landmarks == len(np.unique(rain_print.hashes)) > 100
    assert (found.score, found.offset, found.overlap) == (1.0, 0.0, 4.0)


def test_gain_and_dc_change_nothing_but_rounding(rain, rain_print):
    found = match(rain_print, take(0.25 * rain + 0.1))
    assert found is not None
    assert found.score > 0.97


def test_survives_resampling_and_a_mild_equaliser(rain, rain_print):
    there = resample(rain, RATE, 22050)
    brighter = rain - 0.3 * torch.nn.functional.pad(rain, (1, 0))[:, :-1]
    for changed, rate in ((there, 22050), (brighter, RATE)):
        found = match(rain_print, take(changed, rate))
        assert found is not None
        assert found.score > 0.5


@pytest.mark.parametrize("start", [0.37, 0.375, 1.6])
def test_a_part_is_found_where_it_was_cut(rain, rain_print, start):
    part = take(rain[:, round(start * RATE) :])
    found = match(rain_print, part)
    assert found is not None
    assert found.offset == pytest.approx(start, abs=0.011)
    assert found.overlap == pytest.approx(4 - start, abs=0.011)
    back = match(part, rain_print)
    assert back is not None
    assert back.offset == pytest.approx(-start, abs=0.011)
    assert (back.landmarks, back.score) == (found.landmarks, found.score)


def test_a_sound_within_a_longer_one_is_found():
    crow, longer = make("rooster", 3), make("wind", 5, seconds=3.0)
    joined = torch.cat([0.1 * longer, crow, 0.1 * longer], 1)
    found = match(take(joined), take(crow))
    assert found is not None
    assert found.offset == pytest.approx(3.0, abs=0.02)


def test_another_speed_is_another_sound(rain, rain_print):
    assert match(rain_print, take(rain, round(1.1 * RATE))) is None


def test_two_channels_are_averaged(rain, rain_print):
    both = take(torch.cat([2 * rain, 0 * rain]))
    assert np.array_equal(both.hashes, rain_print.hashes)


@pytest.mark.parametrize(
    "samples",
    [
        torch.zeros(1, 0),
        torch.zeros(1, 5 * RATE),
        torch.full((1, RATE), 0.3),
        torch.randn(1, 20, generator=torch.Generator().manual_seed(0)),
        torch.sin(torch.arange(3 * RATE) * 0.2)[None],
    ],
    ids=["no samples", "silence", "DC", "20 samples", "a steady tone"],
)
def test_what_has_no_peaks_has_no_landmarks_and_matches_nothing(samples, rain_print):
    empty = take(samples)
    assert len(empty) == 0
    assert empty.duration == samples.shape[1] / RATE
    assert match(empty, empty) is None
    assert match(rain_print, empty) is None


def test_twice_the_same(rain, rain_print):
    again = take(rain)
    assert np.array_equal(again.hashes, rain_print.hashes)
    assert np.array_equal(again.times, rain_print.times)
    rows = list(zip(again.hashes.tolist(), again.times.tolist(), strict=True))
    assert rows == sorted(set(rows))


def test_ten_seconds_take_a_few_kilobytes():
    busy = take(make("rain", 2, seconds=10.0))
    assert busy.hashes.nbytes + busy.times.nbytes < 8500


def test_peaks_stand_apart_and_are_not_too_many():
    levels = np.random.default_rng(0).normal(0, 6, (128, 1000)).astype(np.float32)
    frames, bands = find_peaks(levels)
    assert len(frames) > 50
    assert (np.diff(frames) >= 0).all()
    for frame, band in zip(frames, bands, strict=True):
        near = (np.abs(frames - frame) <= 6) & (np.abs(bands - band) <= 4)
        assert near.sum() == 1
    assert max(int((np.abs(frames - middle) <= 25).sum()) for middle in range(1000)) <= 16


def test_a_part_keeps_the_peaks_that_it_has_in_the_whole():
    levels = np.random.default_rng(1).normal(0, 6, (128, 600)).astype(np.float32)
    levels[0, :] = 40.0
    whole = set(zip(*find_peaks(levels), strict=True))
    part = {(frame + 200, band) for frame, band in zip(*find_peaks(levels[:, 200:]), strict=True)}
    inside = {peak for peak in whole if peak[0] >= 320}
    assert len(inside) > 30
    assert inside == {peak for peak in part if peak[0] >= 320}


@given(seed=st.integers(0, 50), start=st.integers(0, 400), length=st.integers(200, 600))
def test_a_part_of_random_landmarks_agrees_in_all_of_its_own(seed, start, length):
    whole = draw_fingerprint(seed)
    part = cut(whole, start / 100, (start + length) / 100)
    found = match(whole, part)
    assert found is not None
    assert (found.offset, found.overlap) == (start / 100, pytest.approx(length / 100))
    assert found.landmarks == len(part)
    assert found.score > 0.9


def test_strangers_do_not_agree():
    config = FingerprintConfig()
    assert agreement(draw_fingerprint(1), draw_fingerprint(2), config) is None
    assert match(draw_fingerprint(1), draw_fingerprint(2)) is None


def test_too_few_agreeing_landmarks_are_chance():
    whole = draw_fingerprint(0)
    three = cut(whole, 0, float(np.sort(whole.times)[3]) / 100)
    assert len(three) == 3
    assert match(whole, three) is None
    assert match(whole, three, MatchConfig(least_landmarks=3)) is not None


def test_a_repeated_landmark_counts_once():
    pattern = draw_fingerprint(4, seconds=1.0, landmarks_a_second=5)
    many = [
        (h, t + 100 * n)
        for h, t in zip(pattern.hashes, pattern.times, strict=True)
        for n in range(20)
    ]
    rows = np.array(sorted(many))
    loop = type(pattern)(rows[:, 0].astype(np.uint32), rows[:, 1].astype(np.uint32), 20.0)
    found = agreement(loop, loop, FingerprintConfig())
    assert found is not None
    assert found.landmarks == 5


def test_a_landmark_must_fit_into_32_bits():
    with pytest.raises(ConfigError, match="does not fit into 32 bits"):
        FingerprintConfig.read({"furthest_frames": 500})


def test_sketches_come_back_and_are_the_same_bytes_twice(tmp_path, rain_print):
    config = FingerprintConfig()
    empty = draw_fingerprint(0, 0.0)
    sketches = [Sketch("ä", "00ff", rain_print, 2), Sketch("b", "", empty)]
    for name in ("one", "two"):
        write_sketches(tmp_path / name, sketches, config)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    file = SketchFile(tmp_path / "one", config)
    assert (len(file), file.ids(), file.preferences.tolist()) == (2, ["ä", "b"], [2, 0])
    assert file.digests[0].any()
    assert not file.digests[1].any()
    for number, sketch in enumerate(sketches):
        again = file.fingerprint(number)
        assert np.array_equal(again.hashes, sketch.fingerprint.hashes)
        assert np.array_equal(again.times, sketch.fingerprint.times)
        assert again.duration == sketch.fingerprint.duration
