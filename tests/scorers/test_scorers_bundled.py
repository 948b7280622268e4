"""The scorers that ship beside the judge: whole, small, and right about sounds made here."""

import csv
import os
from pathlib import Path

import pytest
import torch

from soundwright.audio.files import read
from soundwright.core.protocols import AudioEncoder, TextAudioEncoder
from soundwright.core.records import Scene, SceneEvent
from soundwright.core.seeding import numpy_stream
from soundwright.scorers.detector import Detector, detector_folder
from soundwright.scorers.matching import Matcher, matcher_folder
from soundwright.scorers.tagger import Tagger, judge_folder, tagger2_folder
from soundwright.synthesis.generators.table import GENERATORS
from soundwright.synthesis.lexicon import entry_of
from soundwright.synthesis.rendering import render_scene

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "esc10"
ESC10 = Path(os.environ.get("SOUNDWRIGHT_ESC10", BESIDE))
RATE = 16_000


def scene(*events: tuple[str, float], seconds: float = 4.0, seed: int = 1) -> torch.Tensor:
    """Synthesised sounds at their onsets; textures last two seconds."""
    made = []
    for number, (label, onset) in enumerate(events):
        values = GENERATORS[label].draw(numpy_stream(seed, label))
        if GENERATORS[label].is_texture:
            values["duration"] = 2.0
        made.append(
            SceneEvent(
                label=label,
                onset=onset,
                offset=min(onset + 2.0, seconds),
                source=f"synthesis:{label}",
                group=number,
                seed=seed,
                parameters=values,
            )
        )
    return render_scene(Scene(duration=seconds, seed=seed, events=tuple(made))).samples


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(detector_folder())


def test_they_are_whole_small_and_credited() -> None:
    folders = [judge_folder(), tagger2_folder(), matcher_folder(), detector_folder()]
    assert sum((folder / "model.safetensors").stat().st_size for folder in folders) < 3.0e6
    for folder in folders[1:]:
        card = (folder / "card.md").read_text(encoding="utf-8")
        assert "## Credits" in card
        assert "## Measured" in card
        assert "Apache-2.0" in card
        assert "CC-Sampling" not in card.split("## Credits")[1].split("## Recipe")[0]


def test_they_know_every_label_of_the_generators(detector: Detector) -> None:
    assert set(detector.labels) == set(GENERATORS)
    assert set(Tagger.load(tagger2_folder()).labels) == set(GENERATORS)
    assert set(detector.config.counted) == {one for one in GENERATORS if entry_of(one).countable}


def test_they_are_named_as_ours() -> None:
    tagger, matcher = Tagger.load(tagger2_folder()), Matcher.load(matcher_folder())
    assert isinstance(tagger, AudioEncoder)
    assert isinstance(matcher, TextAudioEncoder)
    assert tagger.identity != Tagger.load(judge_folder()).identity
    for encoder in (tagger, matcher):
        assert encoder.name.startswith("soundwright-")
        assert "Soundwright" in encoder.facts["weights"]


@pytest.mark.parametrize("seed", range(3))
def test_the_detector_counts_knocks(detector: Detector, seed: int) -> None:
    sound = scene(("door knock", 0.5), ("door knock", 0.8), ("door knock", 1.1), seed=seed)
    assert detector.count_onsets([sound], RATE, "door knock") == [3]


def test_the_detector_tells_when_a_horn_sounds(detector: Detector) -> None:
    sound = scene(("car horn", 0.5), ("car horn", 1.9), ("car horn", 3.1), seconds=5.0)
    (events,) = detector.detect([sound], RATE)
    assert {event.label for event in events} == {"car horn"}
    assert [event.onset for event in events] == pytest.approx([0.5, 1.9, 3.1], abs=0.06)


def test_the_detector_hears_what_comes_first(detector: Detector) -> None:
    for order in (("dog bark", "church bell"), ("church bell", "dog bark")):
        sound = scene((order[0], 0.4), (order[1], 2.6), seconds=5.0)
        (events,) = detector.detect([sound], RATE)
        first = {event.label: event.onset for event in reversed(events)}
        assert first[order[0]] < first[order[1]]


def test_the_detector_hears_nothing_where_nothing_is(detector: Detector) -> None:
    assert detector.detect([torch.zeros(1, RATE)], RATE) == [[]]


@pytest.mark.parametrize("label", ["siren", "sea waves", "frog croak", "phone ring"])
def test_the_second_tagger_names_synthesised_sounds(label: str) -> None:
    tagger = Tagger.load(tagger2_folder())
    heard = tagger.recognise([scene((label, 0.2), seed=seed) for seed in range(3)], RATE)
    assert heard.count(label) >= 2


def test_the_matcher_knows_what_a_text_names() -> None:
    matcher = Matcher.load(matcher_folder())
    texts = ["a dog barks", "rain is falling", "a church bell rings", "a siren wails"]
    sounds = [scene((label, 0.2)) for label in ("dog bark", "rain", "church bell", "siren")]
    cosines = (
        torch.stack([one.vector for one in matcher.encode(sounds)]) @ matcher.embed_texts(texts).T
    )
    assert cosines.argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.skipif(
    not (ESC10 / "metadata.csv").is_file(), reason="ESC-10 is not here (SOUNDWRIGHT_ESC10)"
)
def test_the_second_tagger_knows_recordings_that_it_never_heard() -> None:
    tagger = Tagger.load(tagger2_folder())
    with (ESC10 / "metadata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["fold"] == "4"]
    ten = sorted({row["label"] for row in rows})
    scores = [
        tagger.score([read(ESC10 / row["file"], sample_rate=RATE, channels=1).samples], RATE)[0]
        for row in rows
    ]
    known = [
        max(ten, key=score.__getitem__) == row["label"]
        for row, score in zip(rows, scores, strict=True)
    ]
    assert sum(known) / len(known) >= 0.8
