"""The models that ship: whole, within budget, credited, measured, and the same every time."""

import pytest
import torch

import soundwright
from soundwright.audio.loudness import is_silent
from soundwright.pipelines.models import SHIPPED, find_model, read_card, verify_model

PARTS = {
    "bundled": ({"lm", "codec"}, 18_000_000),
    "bundled-diffusion": ({"vae", "vocoder", "unet"}, 5_000_000),
    "bundled-captioner": ({"tower", "matcher", "captioner"}, 4_000_000),
}
SCRIPTS = {"bundled-captioner": "benchmarks/captioner_study.py"}
SECONDS = {"bundled": 1.0, "bundled-diffusion": 5.0}
every_model = pytest.mark.parametrize("name", SHIPPED)


@every_model
def test_it_is_whole_and_within_its_budget(own_cache, name):
    folder = find_model(name)
    record = verify_model(folder)
    parts, most = PARTS[name]
    assert set(record.parts) == parts
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert weights <= most


@every_model
def test_its_card_credits_the_recordings_and_says_what_was_measured(name):
    card = read_card(find_model(name))
    assert "## Credits" in card
    assert "CC-BY" in card
    assert "## Measured" in card
    assert SCRIPTS.get(name, "benchmarks/bundled_model.py") in card


@every_model
def test_nothing_of_fold_4_is_in_it(name):
    recipe = verify_model(find_model(name)).recipe["data"]
    assert "fold4" in recipe["train"]["exclude_splits"]
    assert "fold4" not in recipe["scenes"]["recordings"]["selection"]["splits"]


@pytest.mark.parametrize("name", SECONDS)
def test_it_makes_the_same_sound_twice(own_cache, tmp_path, name):
    files = []
    for copy in ("a", "b"):
        model = soundwright.load(name)
        (sound,) = model.generate("a dog barks", duration=SECONDS[name], seed=7)
        files.append(sound.save(tmp_path / f"{copy}.wav").read_bytes())
    assert files[0] == files[1]
    assert sound.samples.shape == (1, 16_000 * SECONDS[name])
    assert torch.isfinite(sound.samples).all()
    assert not is_silent(sound.samples)


def test_the_captioner_names_what_it_hears_the_same_way_twice(own_cache):
    (sound,) = soundwright.load("bundled").generate("rain", duration=3.0, seed=1)
    captioner = soundwright.load_captioner()
    (first,), (second,) = captioner.caption([sound.sound]), captioner.caption([sound.sound])
    assert first == second
    assert "rain" in first.text
    (titled,) = captioner.caption([sound.sound], [{"title": "rain on my window"}])
    assert "rain" in titled.text
    assert titled.confidence > first.confidence
