import json

import pytest
import torch

import soundwright
from latent_models import write_latent_model
from soundwright.audio.files import read_metadata
from soundwright.core.errors import CheckpointError, ConfigError, UserError
from soundwright.pipelines.generation import LatentModel, load_lm_model
from soundwright.pipelines.systems import read_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_latent_model(tmp_path_factory.mktemp("latent") / "model")


@pytest.fixture(scope="module")
def model(folder):
    return soundwright.load(folder)


class Loudness:
    name = "loudness"

    def score(self, waveforms, sample_rate, texts=None):
        assert len(texts) == len(waveforms)
        assert sample_rate == 16_000
        return [{"loudness": float(one.square().mean())} for one in waveforms]


def test_same_seed_same_bytes_also_in_a_fresh_model(model, folder, tmp_path):
    for name, source in (("a", model), ("b", soundwright.load(folder))):
        source.generate("a dog barks", seed=7)[0].save(tmp_path / name / "dog.wav")
    for file in ("dog.wav", "dog.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("sampler", ["dpm++", "ddpm", "ddim", "unipc"])
def test_an_item_is_made_alone_as_among_others(model, sampler):
    prompts = ["rain", "a dog barks and then a bell rings twice", "wind"]
    together = model.generate(prompts, seed=3, sampler=sampler)
    alone = model.generate(prompts[1], seed=4, sampler=sampler)[0]
    torch.testing.assert_close(alone.samples, together[1].samples, rtol=0, atol=1e-4)
    assert not torch.equal(together[0].samples, together[1].samples)


def test_each_sound_may_have_a_seed_of_its_own(model):
    together = model.generate(["rain", "wind"], seed=[8, 3])
    for sound, (prompt, seed) in zip(together, (("rain", 8), ("wind", 3)), strict=True):
        assert (sound.prompt, sound.seed) == (prompt, seed)
        alone = model.generate(prompt, seed=seed)[0]
        torch.testing.assert_close(alone.samples, sound.samples, rtol=0, atol=1e-4)
    with pytest.raises(UserError, match="1 seeds for 2 sounds"):
        model.generate("rain", num_samples=2, seed=[8])


def test_words_seeds_and_settings_are_heard(model):
    plain = model.generate("rain", seed=1)[0].samples
    others = (
        model.generate("a dog barks", seed=1),
        model.generate("rain", seed=2),
        model.generate("rain", seed=1, cfg_scale=1),
        model.generate("rain", seed=1, steps=4),
        model.generate("rain", seed=1, negative="wind"),
        model.generate("rain", seed=1, cfg_rescale=0.7),
    )
    for other in others:
        assert (other[0].samples - plain).abs().max() > 1e-4


@pytest.mark.parametrize("duration", [0.03, 1.0, 2.7])
def test_a_sound_has_the_duration_asked_for(model, duration):
    sound = model.generate("rain", duration=duration)[0]
    assert sound.samples.shape == (1, round(duration * model.sample_rate))
    assert torch.isfinite(sound.samples).all()
    assert sound.samples.abs().max() <= 1


def test_the_best_of_several_is_made_again_by_its_seed(model):
    kept = model.generate("rain", seed=5, best_of=3, scorer=Loudness())[0]
    all_three = model.generate("rain", seed=5, num_samples=3)
    powers = [float(one.samples.square().mean()) for one in all_three]
    assert kept.seed == 5 + powers.index(max(powers))
    again = model.generate("rain", seed=kept.seed)[0]
    torch.testing.assert_close(again.samples, kept.samples, rtol=0, atol=1e-4)


def test_the_models_own_evidence_ranks_too(model):
    kept = model.generate("rain", seed=5, best_of=2)[0]
    assert kept.ranking["scorer"] == "text-evidence"
    first, second = (one["evidence"] for one in kept.ranking["candidates"])
    assert first != second
    assert kept.seed == (5 if first > second else 6)


def test_a_loop_ends_where_it_begins(model):
    sound = model.generate("rain", duration=2.0, loop=True)[0]
    assert sound.samples.shape == (1, 2 * model.sample_rate)
    assert sound.settings["loop"] is True


def test_a_file_says_how_it_was_made(model, tmp_path):
    path = model.generate("a bell", seed=2, sampler="ddim", steps=2)[0].save(tmp_path / "bell.flac")
    inside = json.loads(read_metadata(path)["comment"])
    assert inside["settings"]["sampler"] == "ddim"
    assert inside["settings"]["steps"] == 2
    assert inside["model_hash"] == model.hash


def test_a_flow_generates_by_its_own_samplers(tmp_path):
    flow = soundwright.load(write_latent_model(tmp_path / "flow", process="flow"))
    assert isinstance(flow, LatentModel)
    plain, fine = (flow.generate("rain", sampler=one)[0] for one in ("euler", "midpoint"))
    assert (plain.samples - fine.samples).abs().max() > 1e-5
    with pytest.raises(UserError, match="dpm") as error:
        flow.generate("rain", sampler="dpm++")
    assert "euler" in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sampler": "euler"}, "euler"),
        ({"sampler": "dpmpp"}, "dpmpp"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2000}, "2000"),
        ({"duration": -1.0}, "duration is -1"),
        ({"cfg_scale": float("nan")}, "cfg_scale is nan"),
        ({"cfg_rescale": 2.0}, "2"),
        ({"negative": "wind", "cfg_scale": 1}, "no effect without guidance"),
        ({"num_samples": 0}, "num_samples is 0"),
    ],
)
def test_a_setting_that_cannot_be_is_explained(model, given, message):
    with pytest.raises(UserError, match=message):
        model.generate("rain", **given)


def test_what_only_a_language_model_can_do_is_refused(folder):
    with pytest.raises(CheckpointError, match="is a diffusion model"):
        load_lm_model(folder)
    with pytest.raises(UserError, match="int8"):
        soundwright.load(folder, dtype="int8")


def test_fine_tuning_takes_codec_text_and_shape_of_its_model(folder):
    recipe = read_recipe("tango", [f"from_model={folder}"])
    assert recipe.codec.model == str(folder)
    assert recipe.unet.widths == (16, 16)
    assert recipe.from_hash
    with pytest.raises(ConfigError, match="unet"):
        read_recipe("tango", ["unet.width=12"])


def test_channels_that_are_not_the_codecs_are_named(folder, tmp_path):
    from soundwright.pipelines.training import train_recipe

    given = [f"codec.model={folder}", "codec.recipe=null", "unet.channels=8"]
    with pytest.raises(ConfigError, match=r"unet\.channels is 8"):
        train_recipe("tango-tiny", given, out=tmp_path / "run")
