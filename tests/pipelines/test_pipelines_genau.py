"""Models with FIT, DiT and a U-Net that read vectors and data sets: trained, loaded, asked."""

import json

import pytest
import torch

import soundwright
from latent_models import write_genau_model, write_latent_model
from soundwright.core.errors import ConfigError, UserError
from soundwright.diffusion.fit import FitConfig
from soundwright.pipelines.exporting import export_model
from soundwright.pipelines.models import read_card, read_part, verify_model
from soundwright.pipelines.parts import NetworkChoice, build_network, load_network
from soundwright.pipelines.recipe import list_recipes
from soundwright.pipelines.systems import read_recipe
from soundwright.pipelines.training import train_recipe

KINDS = ("fit", "dit", "unet")
COUNTS = {
    "genau-s": 481.83,
    "genau-l": 1273.99,
    "genau-s-dit": 477.57,
    "genau-s-unet": 478.50,
}
SMALL = {"genau-small": "fit", "genau-small-dit": "dit", "genau-small-unet": "unet"}
FEW = ["data.scenes.clips=6", "data.scenes.validation=2", "training.sample_every=null"]


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    return write_genau_model(tmp_path_factory.mktemp(request.param) / "model", request.param)


@pytest.fixture(scope="module")
def model(folder):
    return soundwright.load(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The finished run of genau-small-tiny, whose codec is trained on the way."""
    out = tmp_path_factory.mktemp("genau") / "run"
    return train_recipe("genau-small-tiny", FEW, out=out).model.parent


def test_an_item_depends_on_its_seed_and_prompt_alone(model):
    prompts = ["rain", "a dog barks and then a bell rings twice", "wind"]
    together = model.generate(prompts, seed=3)
    alone = model.generate(prompts[1], seed=4)[0]
    torch.testing.assert_close(alone.samples, together[1].samples, rtol=0, atol=1e-4)
    again = model.generate(prompts, seed=3)
    assert all(torch.equal(a.samples, b.samples) for a, b in zip(together, again, strict=True))
    for other in (model.generate("rain", seed=4), model.generate("a bell", seed=3)):
        assert float((other[0].samples - together[0].samples).abs().max()) > 1e-5


def test_nothing_is_drawn_from_global_streams(model):
    state = torch.get_rng_state()
    model.generate("rain", seed=1, sampler="ddpm")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("duration", [0.5, 2.3])
def test_sounds_last_as_long_as_was_asked(model, duration):
    sound = model.generate("rain", duration=duration)[0]
    assert sound.samples.shape == (1, round(duration * model.sample_rate))
    assert sound.samples.isfinite().all()


def test_loops_negatives_and_the_best_of_several(model):
    kept = model.generate("rain", seed=5, best_of=2, negative="wind")[0]
    evidence = [one["evidence"] for one in kept.ranking["candidates"]]
    assert evidence[0] != evidence[1]
    plain = model.generate("rain", seed=kept.seed)[0]
    assert float((plain.samples - kept.samples).abs().max()) > 1e-5
    loop = model.generate("rain", duration=1.0, loop=True)[0]
    assert loop.samples.shape == (1, model.sample_rate)


def test_a_sound_beyond_the_learned_positions_is_refused_in_seconds(tmp_path):
    model = soundwright.load(write_genau_model(tmp_path / "short"))
    with pytest.raises(UserError, match="3 s are more") as error:
        model.generate("rain", duration=3.0)
    assert "at most 2.56 s" in str(error.value)
    endless = soundwright.load(write_genau_model(tmp_path / "endless", positions="rotary"))
    assert endless.generate("rain", duration=3.0)[0].duration == pytest.approx(3.0)


def test_other_libraries_have_no_place_for_them(folder, tmp_path):
    with pytest.raises(UserError, match=r"no (class|place)"):
        export_model(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_leaves_a_whole_model_and_its_vectors(run):
    record = verify_model(run / "model")
    assert list(record.parts) == ["vae", "vocoder", "fit"]
    assert record.settings["conditions"]["vector"] == "matcher"
    assert list((run / "vectors").rglob("*.safetensors"))
    card = read_card(run / "model")
    assert "| network | fit |" in card
    assert "| vectors | of matcher |" in card
    sound = soundwright.load(run / "model").generate("a dog barks", duration=1.0)[0]
    assert sound.samples.shape == (1, 16_000)
    assert sound.samples.isfinite().all()


def test_frozen_parts_stay_frozen(run):
    """The codec of the model is, number by number, the one that was trained before it."""
    for part in ("vae", "vocoder"):
        before, after = (read_part(where, part) for where in (run / "codec/model", run / "model"))
        # Stored in fp16 there and as int8 here: what training would move is much more than that.
        for name, value in before.items():
            step = value.abs().max() / 127 + 1e-4
            assert float((value - after[name]).abs().max()) <= float(step), name


@pytest.mark.parametrize(
    "recipe", ["genau-small-dit-tiny", "genau-small-unet-tiny", "genau-s-tiny"]
)
def test_the_other_networks_train_too(run, tmp_path, recipe):
    codec = [f"codec.model={run / 'model'}", "codec.recipe=null"]
    short = ["training.steps=2", "training.optimizer.schedule.warmup=0"]
    trained = train_recipe(recipe, [*FEW, *codec, *short], out=tmp_path / "run")
    (part,) = set(verify_model(trained.model).parts) & set(KINDS)
    assert part == {"dit": "dit", "unet": "unet"}.get(recipe.split("-")[-2], "fit")


def test_fine_tuning_takes_network_and_conditions_over(run, tmp_path):
    recipe = read_recipe("tango", [f"from_model={run / 'model'}", "fit.dropout=0.3"])
    assert recipe.network[0] == "fit"
    assert (recipe.fit.width, recipe.fit.dropout) == (16, 0.3)
    assert recipe.conditions.vector == "matcher"
    assert recipe.unet is None


def test_a_crop_longer_than_the_positions_is_refused_before_training(run, tmp_path):
    codec = [f"codec.model={run / 'model'}", "codec.recipe=null"]
    given = [*FEW, *codec, "fit.max_frames=8"]
    with pytest.raises(ConfigError, match=r"segments\.duration is 1\.28 s") as error:
        train_recipe("genau-small-tiny", given, out=tmp_path / "run")
    assert "fit.max_frames" in str(error.value)
    with pytest.raises(ConfigError, match=r"fit\.channels is 5"):
        train_recipe("genau-small-tiny", [*FEW, *codec, "fit.channels=5"], out=tmp_path / "b")


@pytest.mark.parametrize("given", ["{}", "{unet: {}, fit: {}}"])
def test_a_model_has_exactly_one_network(given):
    import yaml

    with pytest.raises(ConfigError, match="exactly one of unet, dit, fit"):
        NetworkChoice.read(yaml.safe_load(given))


@pytest.mark.parametrize("name", COUNTS)
def test_the_parameter_counts_that_recipes_state_are_true(name):
    _, shape = read_recipe(name).network
    with torch.device("meta"):
        count = sum(value.numel() for value in build_network(shape).parameters()) / 1e6
    assert count == pytest.approx(COUNTS[name], abs=0.005)
    assert f"{COUNTS[name]:.2f} M" in list_recipes()[name].read_text()


@pytest.mark.parametrize("name", SMALL)
def test_small_ones_have_about_three_million_weights(name):
    part, shape = read_recipe(name).network
    with torch.device("meta"):
        count = sum(value.numel() for value in build_network(shape).parameters()) / 1e6
    assert part == SMALL[name]
    assert 2.8 < count < 3.7


def test_the_papers_values_stand_in_its_recipes():
    """Arxiv 2406.19388, appendix; what is not given there is marked as ours in the file."""
    for name, steps, batch in (("genau-s", 210_000, 2048), ("genau-l", 220_000, 3072)):
        recipe = read_recipe(name)
        optimizer, process = recipe.training.optimizer, recipe.fit.process
        assert (recipe.training.steps, recipe.segments.batch) == (steps, batch)
        assert (optimizer.kind, optimizer.lr, optimizer.betas) == ("lamb", 5e-3, (0.9, 0.99))
        assert (optimizer.weight_decay, optimizer.clip) == (0.1, 0.5)
        schedule = optimizer.schedule
        assert (schedule.kind, schedule.warmup) == ("cosine", 5000)
        assert schedule.minimum * optimizer.lr == pytest.approx(1.5e-3)
        assert recipe.training.average is None
        assert (process.prediction, process.beta_start, process.beta_end) == (
            "epsilon",
            0.0015,
            0.0195,
        )
        fit = recipe.fit
        assert (fit.patch, fit.group, fit.latents_per_group) == (1, 32, 32)
        assert fit.max_frames / 32 * fit.latents_per_group == 256
        generation = recipe.generation
        assert (generation.sampler, generation.steps, generation.cfg_scale) == ("ddpm", 200, 3.5)
        assert recipe.conditions.source == "audiocaps"


def test_models_of_before_are_read_as_ever(tmp_path):
    old = write_latent_model(tmp_path / "old")
    path = old / "model.json"
    said = json.loads(path.read_text())
    for key in ("vector_width", "sources"):
        del said["parts"]["unet"][key]
    path.write_text(json.dumps(said))
    record = verify_model(old)
    network = load_network(record, old)
    assert network.player == "unet"
    assert not any("extras" in name for name in network.state_dict())
    assert isinstance(FitConfig().plain(), dict)
