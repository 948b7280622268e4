import pytest
import torch
from torch import Tensor

from soundwright.audio.resampling import resample
from soundwright.core.errors import UserError
from soundwright.core.seeding import torch_stream
from soundwright.scorers.copies import CopyConfig, CopyDetector, Reference

RATE = 16000
SECONDS = 3


def chirps(seed: int) -> Tensor:
    """A bird-like line: short sweeps of random pitch at random times, no two seeds alike."""
    generator = torch_stream(seed, "chirps")
    sound = torch.zeros(SECONDS * RATE)
    for _ in range(8):
        start, low, high, length = torch.rand(4, generator=generator).tolist()
        time = torch.arange(int((0.1 + 0.2 * length) * RATE)) / RATE
        begin = int(start * (len(sound) - len(time)))
        pitch = 600 + 2500 * low + (4000 * high - 2000) * time
        sound[begin : begin + len(time)] += torch.sin(
            2 * torch.pi * pitch * time
        ) * torch.hann_window(len(time))
    return 0.2 * sound[None]


def hiss(seed: int) -> Tensor:
    generator = torch_stream(seed, "hiss")
    swell = 1 + 0.5 * torch.sin(
        torch.linspace(0, 9 * torch.rand(1, generator=generator).item(), SECONDS * RATE)
    )
    return 0.1 * swell * torch.randn(1, SECONDS * RATE, generator=generator)


def references() -> list[Reference]:
    return [
        Reference(f"{label}-{number}", make(number), label, str(number % 2))
        for label, make in (("bird", chirps), ("rain", hiss))
        for number in range(4)
    ]


@pytest.fixture(scope="module")
def detector() -> CopyDetector:
    return CopyDetector(references(), RATE)


@pytest.fixture(scope="module")
def one_speed() -> CopyDetector:
    return CopyDetector(references(), RATE, CopyConfig(speeds=(1.0,)))


def varied(sound: Tensor) -> Tensor:
    """Shifted by a third of a second, quieter, in slight noise."""
    shifted = torch.cat([0.02 * hiss(77)[:, : RATE // 3], sound], 1)[:, : sound.shape[1]]
    level = shifted.square().mean().sqrt()
    grain = torch.randn(shifted.shape, generator=torch_stream(5, "grain"))
    return 0.1 * (shifted + 0.05 * level * grain)


@pytest.mark.parametrize(("make", "label"), [(chirps, "bird"), (hiss, "rain")])
def test_finds_a_shifted_quieter_noisy_copy(detector: CopyDetector, make, label: str) -> None:
    (match,) = detector.find([varied(make(3))], RATE)
    assert match.is_copy
    assert match.reference == f"{label}-3"
    assert match.similarity > 0.5


def test_a_copy_within_a_longer_sound_is_found(detector: CopyDetector) -> None:
    longer = torch.cat([hiss(50) * 0.1, chirps(2), hiss(51) * 0.1], 1)
    (match,) = detector.find([longer], RATE)
    assert match.is_copy
    assert match.reference == "bird-2"


@pytest.mark.parametrize("speed", [0.78, 0.9, 1.1, 1.24])
@pytest.mark.parametrize(("make", "label"), [(chirps, "bird"), (hiss, "rain")])
def test_a_copy_at_another_speed_is_found(
    detector: CopyDetector, one_speed: CopyDetector, make, label: str, speed: float
) -> None:
    played = resample(make(2), round(RATE * speed), RATE)
    (match,) = detector.find([played], RATE)
    assert match.is_copy
    assert match.reference == f"{label}-2"
    assert one_speed.similarity([played], RATE).amax() < match.similarity


@pytest.mark.parametrize("start", [0.0, 0.9, 3.4])
def test_a_piece_at_another_time_in_silence_is_found(detector: CopyDetector, start: float) -> None:
    sound = torch.zeros(1, 5 * RATE)
    begin = round(start * RATE)
    sound[:, begin : begin + RATE * 3 // 2] = chirps(1)[:, RATE // 2 : 2 * RATE]
    (match,) = detector.find([sound], RATE)
    assert (match.reference, match.is_copy) == ("bird-1", True)


def test_another_sound_of_the_class_is_no_copy(detector: CopyDetector) -> None:
    matches = detector.find([*map(hiss, range(100, 104)), *map(chirps, range(100, 104))], RATE)
    assert not any(match.is_copy for match in matches)


def test_neither_gain_nor_equalisation_hides_a_copy(detector: CopyDetector) -> None:
    sound = chirps(1)
    brighter = sound - 0.8 * torch.nn.functional.pad(sound, (1, 0))[:, :-1]
    plain, quieter, (match,) = (detector.find([it], RATE) for it in (sound, 0.01 * sound, brighter))
    assert (match.reference, match.is_copy) == ("bird-1", True)
    assert quieter[0].similarity == pytest.approx(plain[0].similarity, abs=1e-3)


def test_a_sound_is_most_similar_to_itself_and_independent_of_others(detector) -> None:
    together = detector.similarity([chirps(0), hiss(9), hiss(0)], RATE)
    assert together.shape == (3, 8)
    assert 0.95 < together[0, 0] <= 1
    assert 0.8 < together[2, 4] <= 1  # Even noise has little contrast within 32 bands.
    assert together[[0, 2]].argmax(1).tolist() == [0, 4]
    exact = CopyDetector(references(), RATE, CopyConfig(faint_db=0, speeds=(1.0,)))
    assert exact.similarity([hiss(0)], RATE)[0, 4].item() == pytest.approx(1, abs=1e-4)
    alone = detector.similarity([hiss(9)], RATE)
    torch.testing.assert_close(together[1], alone[0], atol=1e-5, rtol=0)


def test_the_threshold_comes_from_pairs_of_different_groups(detector: CopyDetector) -> None:
    given = references()
    # A copy within the group of its original must not raise the threshold; across groups it does.
    within = CopyDetector([*given, Reference("bird-x", varied(chirps(2)), "bird", "0")], RATE)
    across = CopyDetector([*given, Reference("bird-x", varied(chirps(2)), "bird", "1")], RATE)
    assert within.threshold < detector.threshold + 1
    assert across.threshold > 2 * within.threshold


def test_fewer_accepted_false_alarms_raise_the_threshold() -> None:
    limits = [
        CopyDetector(references(), RATE, CopyConfig(speeds=(1.0,), false_alarms=chance)).threshold
        for chance in (0.8, 0.05)
    ]
    assert limits[0] < limits[1]


def test_silence_and_very_short_sounds_are_no_copies(detector: CopyDetector) -> None:
    silent, short = detector.similarity([torch.zeros(1, RATE), chirps(0)[:, :1]], RATE)
    assert not silent.any()
    assert short.isfinite().all()
    assert not detector.find([torch.zeros(1, RATE)], RATE)[0].is_copy
    assert detector.find([], RATE) == []


def test_a_label_of_one_group_is_refused() -> None:
    with pytest.raises(UserError, match="'bird' are of one group"):
        CopyDetector([item for item in references() if item.group == "0"], RATE)


def test_a_silent_recording_is_refused() -> None:
    with pytest.raises(UserError, match="'quiet' is silent"):
        CopyDetector([*references(), Reference("quiet", torch.zeros(1, RATE), "rain", "0")], RATE)


def test_too_few_recordings_of_other_groups_are_refused() -> None:
    with pytest.raises(UserError, match="2 recordings of other groups than '0'"):
        CopyDetector([item for item in references() if item.label == "bird"], RATE)


def test_no_recordings_are_refused() -> None:
    with pytest.raises(UserError, match="no recordings"):
        CopyDetector([], RATE)
