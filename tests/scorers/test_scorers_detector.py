from dataclasses import replace

import pytest
import torch

from soundwright.core.errors import AudioError, CheckpointError, ConfigError, UserError
from soundwright.core.protocols import StepContext, TrainingTask
from soundwright.core.records import Event
from soundwright.core.seeding import initialising, torch_stream
from soundwright.scorers.augmentation import AugmentationConfig
from soundwright.scorers.detector import Detector, DetectorConfig
from soundwright.scorers.detector_task import DetectorTask, DetectorTaskConfig, vary
from soundwright.scorers.events import EventRule, drop_twins, find_events, find_peaks
from soundwright.scorers.marked_clips import MarkedBatch, MarkedClips
from soundwright.scorers.trunk import TrunkConfig

RATE = 16000
CPU = torch.device("cpu")
TRUNK = TrunkConfig(widths=(4, 8), strides=(2, 1), width=16, dilations=(1, 2))
CONFIG = DetectorConfig(labels=("beep", "hiss"), counted=("beep",), trunk=TRUNK)
STILL = AugmentationConfig(equaliser_db=0, noise=0, band_limit=0, bars=0)


def new_detector(seed: int = 0) -> Detector:
    with initialising(seed, "detector"):
        return Detector(CONFIG)


@pytest.fixture
def detector() -> Detector:
    """One whose heads say something: fresh ones find nothing."""
    detector = new_detector().eval()
    with torch.no_grad():
        for head in (detector.activity, detector.onset):
            head.weight.mul_(10)
            head.bias.zero_()
    return detector


def beeps(onsets: list[float], seconds: float = 2.0) -> torch.Tensor:
    sound = 1e-4 * torch.randn(1, int(seconds * RATE), generator=torch_stream(0, "floor"))
    time = torch.arange(RATE // 10) / RATE
    beep = 0.5 * torch.sin(2 * torch.pi * 1000 * time) * torch.exp(-20 * time)
    for onset in onsets:
        first = round(onset * RATE)
        sound[0, first : first + len(beep)] += beep
    return sound


def hiss(seconds: float = 2.0, seed: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(1, int(seconds * RATE), generator=torch_stream(seed, "hiss"))


def marked(detector: Detector, count: int = 8) -> MarkedClips:
    waveforms, events = [], []
    for number in range(count):
        at = 0.1 + 0.1 * (number % 8)
        onsets = [at, at + 0.6][: 1 + number % 2]
        waveforms.append(beeps(onsets) if number % 3 else hiss(seed=number))
        marks = [Event(label="beep", onset=one, offset=one + 0.1) for one in onsets]
        events.append(marks if number % 3 else [Event(label="hiss", onset=0, offset=2)])
    return MarkedClips(
        waveforms,
        events,
        names=detector.labels,
        levels=detector.levels,
        sample_rate=RATE,
        batch_size=4,
        seed=0,
    )


def test_a_peak_begins_an_event_that_lasts_while_the_label_sounds() -> None:
    onset = torch.zeros(100)
    onset[[10, 11, 50, 90]] = torch.tensor([0.9, 0.6, 0.7, 0.1])
    activity = torch.zeros(100)
    activity[10:30] = activity[48:60] = 0.9
    rule = EventRule(onset=0.5, apart=0.06)
    assert find_peaks(onset, rule, 50) == [0.2, 1.0]
    events = find_events("beep", activity, onset, rule, 50, end=2.0)
    assert events == [
        Event(label="beep", onset=0.2, offset=0.6),
        Event(label="beep", onset=1.0, offset=1.2),
    ]


def test_an_event_ends_at_the_latest_where_the_next_one_begins() -> None:
    onset = torch.zeros(100)
    onset[[10, 20]] = 0.9
    events = find_events("bell", torch.ones(100), onset, EventRule(), 50, end=2.0)
    assert [(event.onset, event.offset) for event in events] == [(0.2, 0.4), (0.4, 2.0)]


def test_of_two_peaks_that_are_too_near_the_likelier_stands() -> None:
    onset = torch.zeros(50)
    onset[[10, 12, 20]] = torch.tensor([0.7, 0.8, 0.6])
    assert find_peaks(onset, EventRule(apart=0.06), 50) == [0.24, 0.4]
    assert find_peaks(onset, EventRule(apart=0.02), 50) == [0.2, 0.24, 0.4]


def test_a_clear_onset_vouches_for_fainter_ones() -> None:
    onset = torch.zeros(50)
    onset[[10, 20, 30]] = torch.tensor([0.6, 0.3, 0.1])
    rule = EventRule(onset=0.5, further=0.2)
    assert find_peaks(onset, rule, 50) == [0.2, 0.4]
    assert find_peaks(onset * 0.8, rule, 50) == []
    assert find_peaks(onset[:0], rule, 50) == []


def test_one_sound_heard_as_two_is_the_likelier_one() -> None:
    knock, bounce, bell = torch.zeros(3, 100)
    knock[[10, 30, 50]] = torch.tensor([0.9, 0.6, 0.9])
    bounce[[10, 31, 50]] = torch.tensor([0.5, 0.8, 0.5])
    bell[[31, 80]] = 0.9
    onsets = {"bounce": bounce, "knock": knock, "bell": bell, "dog": torch.zeros(100)}
    assert drop_twins(onsets, EventRule(twin=0.8), 50) == ["knock", "bell"]
    assert drop_twins({"bounce": bounce}, EventRule(), 50) == ["bounce"]
    assert drop_twins(onsets, EventRule(apart=0.0, twin=0.8), 50) == ["knock", "bounce", "bell"]


def test_a_plateau_is_one_peak() -> None:
    onset = torch.zeros(50)
    onset[10:13] = 0.9
    assert find_peaks(onset, EventRule(), 50) == [0.2]


def test_gaps_are_closed_and_short_textures_left_out() -> None:
    activity = torch.zeros(200)
    activity[0:50] = activity[60:100] = activity[150:155] = 0.8
    events = find_events("rain", activity, None, EventRule(gap=0.3, shortest=0.3), 50, end=4.0)
    assert events == [Event(label="rain", onset=0, offset=2.0)]
    apart = find_events("rain", activity, None, EventRule(gap=0.1, shortest=0.05), 50, end=4.0)
    assert [event.offset for event in apart] == [1.0, 2.0, 3.1]


def test_events_are_sorted_known_and_within_the_sound(detector: Detector) -> None:
    (events,) = detector.detect([beeps([0.3, 1.0])], RATE)
    assert events
    assert [event.onset for event in events] == sorted(event.onset for event in events)
    assert {event.label for event in events} <= set(detector.labels)
    assert all(0 <= event.onset <= event.offset <= 2.0 for event in events)


@pytest.mark.parametrize("samples", [1, 300, 5000, 70001])
def test_every_frame_of_a_sound_of_any_length_is_told_of(detector, samples: int) -> None:
    activity, onset = detector.probabilities(hiss(samples / RATE), RATE)
    assert activity.shape == onset.shape == (2, 1 + samples // 320)
    assert ((activity >= 0) & (activity <= 1)).all()


def test_loudness_channels_and_neighbours_do_not_matter(detector: Detector) -> None:
    sound = beeps([0.4, 0.9])
    alone, _ = detector.probabilities(sound, RATE)
    quiet, _ = detector.probabilities(0.003 * sound, RATE)
    stereo, _ = detector.probabilities(sound.repeat(2, 1), RATE)
    torch.testing.assert_close(alone, quiet, atol=1e-3, rtol=0)
    torch.testing.assert_close(alone, stereo, atol=1e-4, rtol=0)
    together = detector.detect([hiss(), sound, torch.zeros(1, RATE)], RATE)
    assert together[1] == detector.detect([sound], RATE)[0]
    assert detector.count_onsets([hiss(), sound], RATE, "beep")[1:] == detector.count_onsets(
        [sound], RATE, "beep"
    )


def test_digital_silence_has_no_events(detector: Detector) -> None:
    assert detector.detect([torch.zeros(1, RATE)], RATE) == [[]]
    assert detector.count_onsets([torch.zeros(1, RATE)], RATE, "beep") == [0]


@pytest.mark.parametrize(
    ("sound", "reason"),
    [(torch.zeros(1, 0), "no-samples"), (torch.tensor([[0.1, torch.nan]]), "not-finite")],
)
def test_refuses_what_cannot_be_heard(detector: Detector, sound: torch.Tensor, reason: str) -> None:
    with pytest.raises(AudioError) as caught:
        detector.detect([sound], RATE)
    assert caught.value.reason == reason


def test_an_unknown_label_is_named(detector: Detector) -> None:
    with pytest.raises(UserError, match="knows no 'beeep'"):
        detector.count_onsets([hiss()], RATE, "beeep")
    with pytest.raises(ConfigError, match="'bop' is counted and no label"):
        DetectorConfig.read({"labels": ["beep"], "counted": ["bop"]})
    with pytest.raises(ConfigError, match="2 widths go with 1 strides"):
        TrunkConfig.read({"widths": [4, 8], "strides": [2]})


def test_a_saved_detector_hears_alike(detector: Detector, tmp_path) -> None:
    detector.save(tmp_path / "one", notes={"f1": 0.9})
    loaded = Detector.load(tmp_path / "one")
    assert loaded.config == CONFIG
    assert not loaded.training
    for first, second in zip(
        detector.probabilities(beeps([0.5]), RATE),
        loaded.probabilities(beeps([0.5]), RATE),
        strict=True,
    ):
        torch.testing.assert_close(first, second, atol=0.02, rtol=0)
    weights = tmp_path / "one" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="damaged"):
        Detector.load(tmp_path / "one")


def test_targets_stand_where_the_events_are() -> None:
    detector = new_detector()
    clips = MarkedClips(
        [beeps([0.5, 1.0]), hiss(1.0)],
        [
            [Event(label="beep", onset=0.5, offset=0.6), Event(label="other", onset=0, offset=1)],
            [Event(label="hiss", onset=0, offset=1)],
        ],
        names=detector.labels,
        levels=detector.levels,
        sample_rate=RATE,
        batch_size=2,
        seed=0,
    )
    (batch,) = clips.everything()
    assert batch.levels.shape == (2, 64, 101)
    assert batch.activity[0, 0].nonzero()[:, 0].tolist() == list(range(25, 30))
    assert batch.onset[0, 0].argmax() == 25
    assert not batch.activity[0, 1].any()
    assert batch.activity[1, 1].nonzero()[:, 0].tolist() == list(range(50))
    assert (batch.levels[1, :, 51:] == -200).all()


def test_a_clip_and_its_targets_are_moved_together() -> None:
    levels = torch.full((6, 4, 40), -60.0)
    activity, onset = torch.zeros(6, 2, 40), torch.zeros(6, 2, 40)
    levels[:, :, 20] = 0
    activity[:, 0, 20] = onset[:, 0, 20] = 1
    config = DetectorTaskConfig(shift_frames=15, mixture=0, transpose_bands=0, augmentation=STILL)
    moved, sounds, begins = vary(levels, activity, onset, config, torch_stream(0, "draw"))
    places = moved[:, 0].argmax(1)
    assert len(set(places.tolist())) > 2
    assert torch.equal(sounds[:, 0].argmax(1), places)
    assert torch.equal(begins[:, 0].argmax(1), places)


def test_a_mixture_has_the_events_of_both() -> None:
    levels = torch.full((2, 4, 40), -60.0)
    activity = torch.zeros(2, 2, 40)
    levels[0, :, 5] = levels[1, :, 30] = 0
    activity[0, 0, 5] = activity[1, 1, 30] = 1
    config = DetectorTaskConfig(
        shift_frames=0, mixture=1, mixture_db=(0, 0), transpose_bands=0, augmentation=STILL
    )
    for seed in range(9):
        mixed, sounds, _ = vary(levels, activity, activity, config, torch_stream(seed, "draw"))
        if sounds.sum() == 4:
            assert (mixed[0, 0, [5, 30]] > -1).all()
            return
    raise AssertionError("no seed mixed the two")


def losses(detector: Detector, steps: range, data: MarkedClips, **settings: object) -> list[float]:
    config = DetectorTaskConfig.read({"seed": 1, **settings})
    task: TrainingTask[MarkedBatch] = DetectorTask(detector, config)
    optimizer = torch.optim.Adam(detector.parameters(), lr=0.01)
    seen = []
    detector.train()
    for step in steps:
        for turn in task.turns(data[step], StepContext(step, 0, CPU)):
            assert turn.player in task.players
            turn.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen.append(turn.loss.item())
    return seen


def test_learns_to_count_beeps() -> None:
    detector = new_detector()
    seen = losses(detector, range(100), marked(detector, 16), mixture=0, augmentation=STILL.plain())
    assert sum(seen[-5:]) < 0.3 * sum(seen[:5])
    assert detector.count_onsets([beeps([0.35, 1.25]), beeps([0.55]), hiss()], RATE, "beep") == [
        2,
        1,
        0,
    ]
    events = detector.detect([beeps([0.45, 1.35])], RATE)[0]
    onsets = [event.onset for event in events if event.label == "beep"]
    assert onsets == pytest.approx([0.45, 1.35], abs=0.05)


def test_the_draws_of_a_step_follow_from_its_number() -> None:
    whole, halved = new_detector(), new_detector()
    data = marked(whole)
    expected = losses(whole, range(1), data)
    assert losses(halved, range(1), data) == expected
    assert losses(new_detector(), range(1, 2), data) != expected


def test_validation_of_clips_without_events_asks_that_nothing_begins(detector: Detector) -> None:
    batch = marked(detector).everything()[0]
    quiet = replace(
        batch, activity=torch.zeros_like(batch.activity), onset=torch.zeros_like(batch.onset)
    )
    task = DetectorTask(detector, DetectorTaskConfig())
    invented = task.validate(quiet, CPU)["counted"]
    assert 0 <= invented < 1
    with torch.no_grad():
        detector.onset.bias.fill_(-50.0)
    assert task.validate(quiet, CPU)["counted"] == 1


def test_validation_counts_and_draws_nothing() -> None:
    detector = new_detector().train()
    task = DetectorTask(detector, DetectorTaskConfig())
    batch = marked(detector).everything()[0]
    result = task.validate(batch, CPU)
    assert result == task.validate(batch, CPU)
    assert set(result) == {"activity", "onset", "counted"}
    assert detector.training
