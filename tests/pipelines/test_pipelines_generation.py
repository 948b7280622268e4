import json

import pytest
import torch

import soundwright
from soundwright.audio.files import read, read_metadata, write
from soundwright.audio.sound import Sound
from soundwright.core.errors import CheckpointError, UserError


@pytest.fixture(scope="module")
def model(tiny_model):
    return soundwright.load(tiny_model)


def test_same_seed_same_bytes_also_in_a_fresh_model(model, tiny_model, tmp_path):
    for name, source in (("a", model), ("b", soundwright.load(tiny_model))):
        source.generate("a dog barks", duration=1.0, seed=7)[0].save(tmp_path / name / "dog.wav")
    for file in ("dog.wav", "dog.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_each_item_can_be_made_again_alone(model):
    together = model.generate(["a dog barks", "rain"], num_samples=2, seed=3, duration=1.0)
    assert [(sound.prompt, sound.seed) for sound in together] == [
        ("a dog barks", 3),
        ("a dog barks", 4),
        ("rain", 5),
        ("rain", 6),
    ]
    alone = model.generate("rain", seed=6, duration=1.0)[0]
    torch.testing.assert_close(alone.samples, together[3].samples, rtol=0, atol=1e-5)
    assert not torch.equal(together[0].samples, together[1].samples)


def test_each_sound_may_have_a_seed_of_its_own(model):
    asked = [("rain", 9), ("a dog barks", 2), ("rain", 2**40)]
    together = model.generate(
        [prompt for prompt, _ in asked], seed=[seed for _, seed in asked], duration=1.0
    )
    assert [(sound.prompt, sound.seed) for sound in together] == asked
    for sound in together:
        alone = model.generate(sound.prompt, seed=sound.seed, duration=1.0)[0]
        torch.testing.assert_close(alone.samples, sound.samples, rtol=0, atol=1e-5)
        assert alone.describe() == sound.describe()


def test_with_candidates_a_seed_is_that_of_the_first_of_each_sound(model):
    settings = {"duration": 0.5, "best_of": 2}
    together = model.generate("rain", num_samples=2, seed=[30, 5], **settings)
    for sound, seed in zip(together, (30, 5), strict=True):
        [alone] = model.generate("rain", seed=seed, **settings)
        assert (sound.seed, sound.seed - seed in (0, 1)) == (alone.seed, True)
        candidates = [one["seed"] for one in sound.ranking["candidates"]]
        assert sorted(candidates) == [seed, seed + 1]


@pytest.mark.parametrize("seeds", [[], [1], [1, 2, 3]])
def test_seeds_that_are_not_one_for_each_sound_are_refused(model, seeds):
    with pytest.raises(UserError, match=f"{len(seeds)} seeds for 2 sounds"):
        model.generate(["rain", "wind"], seed=seeds, duration=0.5)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_cannot_be_written_is_refused(model, text):
    with pytest.raises(UserError, match="The prompt holds a NUL or half a character"):
        model.generate(text, duration=0.5)
    with pytest.raises(UserError, match="The negative prompt holds"):
        model.generate("rain", negative=text, duration=0.5)


def test_batches_do_not_change_what_comes_out(model):
    prompts = ["rain", "a dog barks and then a bell rings twice", "wind"]
    whole = model.generate(prompts, seed=1, duration=1.0)
    parts = model.generate(prompts, seed=1, duration=1.0, batch_size=1)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one.samples, other.samples, rtol=0, atol=1e-5)


@pytest.mark.parametrize("duration", [0.03, 0.5, 1.0, 2.7])
def test_a_sound_has_the_duration_asked_for(model, duration):
    sound = model.generate("rain", duration=duration)[0]
    assert sound.samples.shape == (1, round(duration * model.sample_rate))
    assert torch.isfinite(sound.samples).all()
    assert sound.samples.abs().max() <= 1


def test_a_file_says_how_it_was_made(model, tmp_path):
    sound = model.generate("a bell", seed=2, duration=0.5, temperature=0.8)[0]
    path = sound.save(tmp_path / "bell.flac")
    assert read(path).samples.shape == sound.samples.shape
    inside = read_metadata(path)
    beside = json.loads((tmp_path / "bell.json").read_text())
    assert inside["title"] == "a bell"
    assert beside == {"file": "bell.flac", **json.loads(inside["comment"])}
    assert (beside["seed"], beside["prompt"], beside["model_hash"]) == (2, "a bell", model.hash)
    assert beside["settings"]["temperature"] == 0.8
    again = model.generate(
        beside["prompt"],
        seed=beside["seed"],
        duration=beside["settings"]["duration"],
        temperature=beside["settings"]["temperature"],
    )[0]
    assert torch.equal(again.samples, sound.samples)


def test_a_continuation_begins_with_the_sound_itself(model, tmp_path):
    beginning = Sound(torch.sin(torch.arange(16_000) * 0.1)[None] * 0.5, 16_000)
    sound = model.generate("a bell", duration=2.0, continue_from=beginning)[0]
    assert sound.duration == 2.0
    kept = 16_000 // 640 * 640 - 320
    torch.testing.assert_close(sound.samples[:, :kept], beginning.samples[:, :kept])
    write(tmp_path / "in.wav", beginning, bits=32)
    from_file = model.generate("a bell", duration=2.0, continue_from=tmp_path / "in.wav")[0]
    assert torch.equal(from_file.samples, sound.samples)
    assert "continued" in sound.settings


def test_a_continuation_must_leave_something_to_make(model):
    beginning = Sound(torch.zeros(1, 16_000), 16_000)
    with pytest.raises(UserError, match="longer duration"):
        model.generate("a bell", duration=1.0, continue_from=beginning)
    with pytest.raises(UserError, match="too short"):
        model.generate("a bell", continue_from=Sound(torch.zeros(1, 100), 16_000))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"duration": 0.0}, "duration is 0 s"),
        ({"duration": -1.0}, "duration is -1 s"),
        ({"duration": 3600.0}, r"duration is 3600 s(.|\n)*at most 600 s"),
        ({"duration": float("nan")}, "duration is nan"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"cfg_scale": -0.5}, "cfg_scale is -0.5"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_a_setting_that_cannot_be_is_named(model, settings, message):
    with pytest.raises(UserError, match=message):
        model.generate("rain", **settings)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "no prompt"),
        ("", "The prompt is empty"),
        (["rain", " \n "], "Prompt 2 of 2 is empty"),
        ("x" * 5000, "5000 characters"),
    ],
)
def test_a_prompt_that_cannot_be_is_named(model, prompts, message):
    with pytest.raises(UserError, match=message):
        model.generate(prompts)


def test_progress_ends_with_everything(model):
    seen = []
    model.generate(["rain", "wind", "bell"], duration=0.4, batch_size=2, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


def test_prompts_go_through_the_models_preparation(model, monkeypatch):
    renderer = model._renderer
    plain = model.generate("rain", duration=0.4)[0].samples
    assert not torch.equal(model.generate("thunder", duration=0.4)[0].samples, plain)
    without = renderer._preparation.model_copy(update={"stop_words": "en-1", "lower_case": True})
    monkeypatch.setattr(renderer, "_preparation", without)
    assert torch.equal(model.generate("The RAIN", duration=0.4)[0].samples, plain)


def test_a_codec_alone_does_not_generate(tiny_run):
    with pytest.raises(CheckpointError, match="is a codec"):
        soundwright.load(tiny_run / "codec" / "model")


def test_importing_the_package_imports_no_torch(run_python):
    code = "import sys, soundwright; print('torch' in sys.modules, dir(soundwright))"
    assert run_python("-c", code).stdout.startswith("False ['GeneratedSound', 'Model'")
