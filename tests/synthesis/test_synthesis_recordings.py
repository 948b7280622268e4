from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from soundwright.audio.files import read
from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.synthesis.generators.table import GENERATORS
from soundwright.synthesis.recordings import (
    EventStyle,
    RecordedClip,
    RecordingBank,
    find_events,
    find_spans,
)

RATE = 16000


def recording(label: str, onsets: list[float], *, noise: float = 0.0, duration: float = 5.0):
    """Generated events at known times, and where each truly ends."""
    rng = numpy_stream(7, label)
    generator = GENERATORS[label]
    own = generator.draw(rng)
    samples = noise * rng.standard_normal(round(duration * RATE))
    ends = []
    for onset in onsets:
        one = generator.render(generator.vary(own, rng), rng, RATE)
        start = round(onset * RATE)
        samples[start : start + len(one)] += 0.8 * one[: len(samples) - start]
        ends.append(onset + len(one) / RATE)
    return Sound(torch.from_numpy(samples).float()[None], RATE), ends


@pytest.mark.parametrize(
    ("label", "onsets"),
    [
        ("dog bark", [0.3, 0.9, 1.6, 3.0]),
        ("clock tick", [0.2, 0.7, 1.2, 1.7, 2.2, 2.7]),
        ("door knock", [1.0, 1.3, 1.6]),
        ("hand clap", [0.0, 2.0]),
        ("baby cry", [0.4, 2.4]),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_events_are_found_where_they_are(label, onsets, noise):
    sound, ends = recording(label, onsets, noise=noise)
    found = find_events(sound)
    assert len(found) == len(onsets)
    for (onset, offset), true_onset, true_end in zip(found, onsets, ends, strict=True):
        assert abs(onset - true_onset) < 0.035
        assert onset < offset <= true_end + 0.08
        assert offset - onset > 0.4 * (true_end - true_onset)


def test_events_do_not_overlap_and_are_in_order():
    sound, _ = recording("dog bark", [0.3, 0.5, 0.75, 1.0, 2.0])
    edges = [edge for span in find_events(sound) for edge in span]
    assert edges == sorted(edges)


def test_syllables_become_one_event():
    sound, _ = recording("clock tick", [1.0, 1.2, 1.4, 3.0])
    assert len(find_events(sound, EventStyle(join=0.35))) == 2
    assert len(find_events(sound)) == 4


def test_events_of_the_wrong_length_are_left_out():
    sound, _ = recording("clock tick", [1.0, 2.0])
    assert find_events(sound, EventStyle(shortest=0.5)) == []
    assert find_events(sound, EventStyle(longest=0.005)) == []


def test_faint_events_are_left_out():
    sound, _ = recording("dog bark", [0.5])
    faint, _ = recording("dog bark", [3.0])
    both = Sound(sound.samples + 0.05 * faint.samples, RATE)
    assert len(find_events(both)) == 1


@pytest.mark.parametrize("frames", [0, 10, 80000])
def test_silence_has_no_events_and_no_spans(frames):
    silence = Sound(torch.zeros(1, frames), RATE)
    assert find_events(silence) == []
    assert find_spans(silence) == []


def test_digital_silence_is_trimmed_from_textures():
    samples = torch.zeros(1, 5 * RATE)
    rain = 0.1 * numpy_stream(0).standard_normal(3 * RATE)
    samples[0, RATE // 2 : RATE // 2 + 3 * RATE] = torch.from_numpy(rain)
    spans = find_spans(Sound(samples, RATE))
    assert len(spans) == 1
    assert spans[0] == pytest.approx((0.5, 3.5), abs=0.05)


def test_bank_cuts_by_kind_of_label():
    barks, _ = recording("dog bark", [0.5, 2.0])
    rain = Sound(
        torch.from_numpy(0.1 * numpy_stream(1).standard_normal(4 * RATE)).float()[None], RATE
    )
    silent = Sound(torch.zeros(1, RATE), RATE)
    bank = RecordingBank(
        [
            RecordedClip("a", "dog bark", barks),
            RecordedClip("b", "rain", rain),
            RecordedClip("c", "rooster", silent),
        ]
    )
    assert bank.labels == ("dog bark", "rain")
    assert len(bank.cuts("dog bark")["a"]) == 2
    assert len(bank.cuts("rain")["b"]) == 1
    assert bank.cuts("rooster") == {}
    assert bank.clip_ids == ("a", "b", "c")


def test_bank_keeps_one_rate_and_one_channel():
    barks, _ = recording("dog bark", [0.5])
    stereo = Sound(barks.samples.repeat(2, 1), RATE)
    bank = RecordingBank([RecordedClip("a", "dog bark", stereo)], sample_rate=8000)
    cut = bank.cuts("dog bark")["a"][0]
    samples = bank.samples("a", cut.start, cut.end, sample_rate=8000)
    assert len(samples) == pytest.approx(cut.length * 8000, abs=2)


def test_speed_shortens_and_raises():
    t = np.arange(RATE) / RATE
    tone = torch.from_numpy(0.5 * np.sin(2 * np.pi * 500 * t)).float()[None]
    bank = RecordingBank([RecordedClip("a", "rain", Sound(tone, RATE))])
    fast = bank.samples("a", 0.0, 1.0, speed=1.25, sample_rate=RATE)
    assert len(fast) == pytest.approx(RATE / 1.25, abs=2)
    spectrum = np.abs(np.fft.rfft(fast))
    assert np.argmax(spectrum) * RATE / len(fast) == pytest.approx(625, abs=3)


def test_two_clips_of_one_id_are_refused():
    barks, _ = recording("dog bark", [0.5])
    with pytest.raises(UserError, match="'a'"):
        RecordingBank([RecordedClip("a", "dog bark", barks)] * 2)


def test_real_recordings_give_events_for_every_label():
    beside = Path(__file__).parents[3] / "shared" / "data" / "esc10"
    folder = Path(os.environ.get("SOUNDWRIGHT_ESC10", beside))
    if not (folder / "metadata.csv").is_file():
        pytest.skip("ESC-10 is not here; SOUNDWRIGHT_ESC10 names its folder")
    with (folder / "metadata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["fold"] == "1"]
    bank = RecordingBank(
        RecordedClip(row["file"], row["label"], read(folder / row["file"])) for row in rows
    )
    assert set(bank.labels) == {row["label"] for row in rows}
    for label in ("dog bark", "rooster", "person sneeze", "clock tick", "baby cry"):
        clips = [row["file"] for row in rows if row["label"] == label]
        assert len(bank.cuts(label)) >= 0.9 * len(clips)
    assert all(len(cuts) <= 2 for cuts in bank.cuts("rooster").values())
