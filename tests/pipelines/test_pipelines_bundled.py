"""The model that ships: whole, within its budget, credited, measured, and the same every time."""

import torch

import soundwright
from soundwright.audio.loudness import is_silent
from soundwright.pipelines.models import BUNDLED, CARD_FILE, find_model, verify_model


def test_it_is_whole_and_within_its_budget(own_cache):
    folder = find_model(BUNDLED)
    record = verify_model(folder)
    assert set(record.parts) == {"lm", "codec"}
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert weights <= 18_000_000


def test_its_card_credits_the_recordings_and_says_what_was_measured():
    card = (find_model(BUNDLED) / CARD_FILE).read_text(encoding="utf-8")
    assert "## Credits" in card
    assert "CC-BY" in card
    assert "## Measured" in card
    assert "benchmarks/bundled_model.py" in card


def test_nothing_of_fold_4_is_in_it():
    recipe = verify_model(find_model(BUNDLED)).recipe["data"]
    assert "fold4" in recipe["train"]["exclude_splits"]
    assert "fold4" not in recipe["scenes"]["recordings"]["selection"]["splits"]


def test_it_makes_the_same_sound_twice(own_cache, tmp_path):
    files = []
    for name in ("a", "b"):
        model = soundwright.load()
        (sound,) = model.generate("a dog barks", duration=1.0, seed=7)
        files.append(sound.save(tmp_path / f"{name}.wav").read_bytes())
    assert files[0] == files[1]
    assert sound.samples.shape == (1, 16_000)
    assert torch.isfinite(sound.samples).all()
    assert not is_silent(sound.samples)
