import pytest
import torch

from soundwright.core.errors import CheckpointError, ConfigError, UserError
from soundwright.lm.model import AudioLm
from soundwright.pipelines.lm_recipe import LmRecipe
from soundwright.pipelines.recipe import compare_recipes, compose_recipe, list_recipes
from soundwright.pipelines.systems import read_recipe
from soundwright.preference.system import ALL_SYSTEMS

NO_TWIN = {"synth-tiny", "synth-codec"}
"""The first look, which is tiny itself, and its first stage."""


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_composes_and_validates(name, tiny_model, tiny_captioner):
    values = compose_recipe(name)
    given = [f"from_model={tiny_model}"] if values.get("from_model") else []
    if (values.get("start") or {}).get("model"):
        given = [f"start.model={tiny_captioner}"]
    recipe = read_recipe(name, given, ALL_SYSTEMS)
    assert recipe.name == name
    assert recipe.description
    assert ALL_SYSTEMS[recipe.kind].recipe.read(recipe.plain()) == recipe


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_has_a_tiny_twin_of_its_kind(name):
    if name.endswith("-tiny") or name in NO_TWIN:
        return
    twin = compose_recipe(f"{name}-tiny")
    assert twin["kind"] == compose_recipe(name)["kind"]
    assert twin["training"]["steps"] <= 12


@pytest.mark.parametrize(
    ("name", "rate", "seconds"), [("rr-sound-300m", 16_000, 10), ("rr-music-300m", 32_000, 30)]
)
def test_the_papers_values_stand_in_its_recipes(name, rate, seconds):
    """Sections 3 and 4.2, and the best row of table 1."""
    recipe = read_recipe(name)
    assert isinstance(recipe, LmRecipe)
    training, optimizer = recipe.training, recipe.training.optimizer
    assert (training.steps, training.precision) == (100_000, "bf16")
    assert (optimizer.betas, optimizer.weight_decay, optimizer.clip) == ((0.9, 0.95), 0.1, 1.0)
    assert (optimizer.schedule.kind, optimizer.schedule.warmup) == ("cosine", 4000)
    assert training.average is not None
    assert training.average.decay == 0.99
    assert (recipe.segments.batch, recipe.segments.duration) == (192, seconds)
    task = recipe.task
    assert (task.text_dropping, task.regularizer.weight, task.regularizer.pooling) == (
        0.1,
        3,
        "max",
    )
    assert (recipe.generation.top_k, recipe.generation.temperature) == (250, 1.0)
    codec = compose_recipe(recipe.codec.recipe)["codec"]["encodec"]
    assert codec["sample_rate"] == rate
    assert rate / torch.tensor(codec["ratios"]).prod() == 50
    assert (codec["filters"], len(codec["ratios"]), codec["causal"]) == (64, 4, False)
    assert (codec["quantizer"]["codebooks"], codec["quantizer"]["codebook_size"]) == (4, 2048)


def test_the_parameter_count_that_the_recipe_states_is_true():
    recipe = read_recipe("rr-sound-300m")
    assert isinstance(recipe, LmRecipe)
    with torch.device("meta"):
        count = sum(p.numel() for p in AudioLm(recipe.lm).parameters())
    assert round(count / 1e6, 2) == 420.37
    assert "420.37 M" in list_recipes()["rr-sound-300m"].read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lm.dimm=8", "did you mean 'dim'"),
        ("lm.dim=wide", "lm.dim"),
        ("training.optimizer.learning_rate=1", "unknown key"),
        ("kind=languagemodel", "the kind 'languagemodel'"),
        ("codec.model=bundled", "exactly one of model and recipe"),
        ("name=../x", "name"),
        ("lm.dim", "key=value"),
    ],
)
def test_a_wrong_override_is_explained(override, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe("bundled-lm-tiny", [override])


def test_an_unknown_recipe_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'rr-sound-300m'"):
        read_recipe("rr-sound-300")


def test_a_recipe_of_ones_own_extends_a_shipped_one(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: bundled-lm-tiny\nname: mine\nlm: {layers: 5}\n")
    recipe = read_recipe(str(tmp_path / "mine.yaml"), ["lm.heads=4"])
    assert isinstance(recipe, LmRecipe)
    assert (recipe.name, recipe.lm.layers, recipe.lm.heads, recipe.lm.dim) == ("mine", 5, 4, 32)


def test_fine_tuning_takes_codec_text_and_shape_of_its_model(tiny_model):
    recipe = read_recipe("finetune", [f"from_model={tiny_model}", "lm.dropout=0.3"])
    assert isinstance(recipe, LmRecipe)
    assert recipe.codec.model == str(tiny_model)
    assert (recipe.lm.dim, recipe.lm.codebooks, recipe.lm.dropout) == (32, 4, 0.3)
    assert recipe.text.encoder.kind == "minilm"


def test_fine_tuning_needs_a_language_model(tiny_run):
    with pytest.raises(CheckpointError, match="is a codec"):
        read_recipe("finetune", [f"from_model={tiny_run / 'codec' / 'model'}"])
    with pytest.raises(UserError, match="no model 'nowhere'"):
        read_recipe("finetune", ["from_model=nowhere"])


def test_differences_are_named_by_dotted_keys():
    first = {"a": {"b": 1, "c": [1]}, "d": 2}
    second = {"a": {"b": 1, "c": [2]}, "e": 3}
    assert compare_recipes(first, second) == {"a.c": ([1], [2]), "d": (2, None), "e": (None, 3)}
