"""Recipes of alignment, run whole: model folders like the base's, rewards, kills, refusals."""

import itertools
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from preference_models import make_pairs, write_token_model
from typer.testing import CliRunner

import soundwright
from forks import Fork
from latent_models import write_genau_model, write_latent_model
from soundwright.cli.main import app
from soundwright.core.errors import CheckpointError, ConfigError, UserError
from soundwright.core.files import hash_file, read_json
from soundwright.pipelines.models import read_part, read_record, verify_model, write_model
from soundwright.pipelines.systems import read_recipe
from soundwright.pipelines.training import train_recipe
from soundwright.preference.recipe import PreferenceRecipe, keep_widest
from soundwright.preference.record_files import write_records
from soundwright.preference.system import ALL_SYSTEMS

RECIPES = {"lm": "prefer-lm-tiny", "unet": "tango2-tiny", "fit": "tango2-tiny"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preference")
    write_token_model(folder / "lm")
    write_latent_model(folder / "unet")
    write_genau_model(folder / "fit")
    make_pairs(folder / "pairs", 5)
    return folder


def given(place: Path, part: str, *more: str) -> list[str]:
    return [f"from_model={place / part}", f"pairs={place / 'pairs'}", "training.device=cpu", *more]


def align(place: Path, part: str, out: Path, *more: str, **options):
    recipe = RECIPES[part]
    return train_recipe(recipe, given(place, part, *more), out=out, systems=ALL_SYSTEMS, **options)


@pytest.mark.parametrize("part", RECIPES)
def test_an_aligned_model_is_a_folder_like_its_base_with_one_part_changed(part, place, tmp_path):
    trained = align(place, part, tmp_path / "run")
    base, record = read_record(place / part), verify_model(trained.model)
    assert record.kind == base.kind
    assert (record.parts, record.settings) == (base.parts, base.settings)
    assert record.licence == base.licence
    changed = {
        name
        for name in record.parts
        if record.files[f"{name}.safetensors"] != base.files[f"{name}.safetensors"]
    }
    assert changed == {part}
    assert {"accuracy", "margin", "drift/winner", "drift/loser"} <= set(trained.result.validation)
    card = (trained.model / "card.md").read_text()
    assert f"Aligned from {base.name} ({base.hash}, Apache-2.0)." in card
    model = soundwright.load(trained.model)
    assert torch.isfinite(model.generate("rain", seed=1)[0].samples).all()


def test_the_command_aligns_and_says_what_came_of_it(place, tmp_path):
    words = ["prefer", "train", place / "pairs", "--recipe", "prefer-lm-tiny", "--model"]
    more = [place / "lm", "--set", "training.steps=2", "--out", tmp_path / "run", "--json"]
    result = CliRunner().invoke(app, [str(word) for word in (*words, *more)])
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["recipe"], said["steps"]) == ("prefer-lm-tiny", 2)
    assert verify_model(Path(said["model"])).recipe["pairs"] == str(place / "pairs")
    shown = CliRunner().invoke(app, ["recipes", "show", "tango2", "--json"])
    assert json.loads(shown.stdout)["recipe"]["loss"]["beta"] == 2000
    refused = CliRunner().invoke(app, ["prefer", "loop", "prefer-lm-tiny"])
    assert refused.exit_code == 2
    assert "has no loop" in refused.stderr


@pytest.mark.parametrize("part", RECIPES)
def test_live_and_cached_references_train_the_same_weights(part, place, tmp_path):
    cached = align(place, part, tmp_path / "cached")
    live = align(place, part, tmp_path / "live", "reference.scores=live")
    assert list((tmp_path / "cached" / "reference").rglob("*.safetensors"))
    assert not (tmp_path / "live" / "reference").exists()
    one, other = (read_part(trained.model, part) for trained in (cached, live))
    # Tokens have one score a sound, computed beside other batch mates.
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=1e-6, msg=name)
    assert cached.result.validation == pytest.approx(live.result.validation, abs=1e-4)


@pytest.mark.parametrize("part", RECIPES)
def test_an_adapter_is_trained_against_the_model_without_it_and_merged(part, place, tmp_path):
    trained = align(
        place, part, tmp_path / "run", "adapter.rank=2", "reference.scores=live", "sft_epochs=0"
    )
    base, found = read_part(place / part, part), read_part(trained.model, part)
    assert base.keys() == found.keys()
    moved = {name for name, value in found.items() if not torch.equal(value, base[name])}
    assert moved
    assert all(base[name].dim() == 2 for name in moved)


def test_the_best_weights_by_a_held_out_reward_are_kept_and_training_ends(place, tmp_path):
    """With a learning rate of next to nothing nothing is gained, and patience ends it."""
    run = tmp_path / "run"
    trained = align(
        place, "lm", run, "stopping.judge=loudness", "stopping.patience=2", "stopping.samples=2",
        "training.sample_every=1", "training.checkpoint_every=1", "training.optimizer.lr=1e-12",
        "training.steps=5",
    )  # fmt: skip
    rewards = {int(step): value for step, value in read_json(run / "reward/rewards.json").items()}
    assert sorted(rewards) == [0, 1, 2]
    assert trained.result.step == 2
    assert "held-out reward | loudness" in (trained.model / "card.md").read_text()
    base, found = read_part(place / "lm", "lm"), read_part(trained.model, "lm")
    assert all(torch.equal(value, base[name]) for name, value in found.items())
    # It has ended, and stays so.
    again = align(
        place, "lm", run, "stopping.judge=loudness", "stopping.patience=2", "stopping.samples=2",
        "training.sample_every=1", "training.checkpoint_every=1", "training.optimizer.lr=1e-12",
        "training.steps=5", resume=True,
    )  # fmt: skip
    assert again.result.step == 2


def test_epochs_make_the_steps_unless_they_are_given(place):
    few = read_recipe("prefer-lm", given(place, "lm", "batch=2"), ALL_SYSTEMS)
    assert isinstance(few, PreferenceRecipe)
    train, held = few.select(make_pairs(place / "pairs", 5))
    assert (len(train), len(held)) in {(4, 1), (3, 2)}
    assert few.training.steps == -(-5 * len(train) // 2)
    assert few.tuning_steps(len(train)) == -(-len(train) // 2)
    assert few.from_hash == read_record(place / "lm").hash
    assert few.pairs_hash
    told = read_recipe("prefer-lm", given(place, "lm", "training.steps=7"), ALL_SYSTEMS)
    assert told.training.steps == 7


def test_the_papers_values_stand_in_tango2():
    recipe = read_recipe("tango2", systems=ALL_SYSTEMS)
    assert isinstance(recipe, PreferenceRecipe)
    optimizer = recipe.training.optimizer
    assert (recipe.sft_epochs, recipe.epochs) == (1, 4)
    assert recipe.batch * recipe.training.accumulate == 32
    assert (optimizer.lr, optimizer.schedule.kind, optimizer.schedule.warmup) == (
        9.6e-7,
        "linear",
        200,
    )
    assert (recipe.loss.kind, recipe.loss.beta, recipe.loss.noise_steps) == ("dpo", 2000, None)
    assert (recipe.noise.reduction, recipe.noise.shared) == ("mean", True)
    assert recipe.reference.model is None


def test_strategies_and_the_widest_of_several_pairs_can_be_chosen(place):
    pairs = make_pairs(place / "pairs", 5)
    recipe = read_recipe("prefer-lm-tiny", given(place, "lm", "strategies=[S2]"), ALL_SYSTEMS)
    assert isinstance(recipe, PreferenceRecipe)
    assert {pair.strategy for part in recipe.select(pairs) for pair in part} == {"S2"}
    wide = pairs[0].model_copy(
        update={"id": "wide", "scores": {"clap": pairs[0].scores["clap"].model_copy(
            update={"winner": 0.9})}}
    )  # fmt: skip
    assert [pair.id for pair in keep_widest([pairs[0], wide, pairs[1]])] == ["wide", "pair1"]
    none = read_recipe(
        "prefer-lm-tiny", given(place, "lm", "strategies=[S3]", "training.steps=1"), ALL_SYSTEMS
    )
    with pytest.raises(ConfigError, match="None of 5 pairs is of S3"):
        none.select(pairs)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["pairs="], "does not say pairs"),
        (["from_model="], "does not say from_model"),
        (["loss.kind=kto", "batch=1"], "batch must be at least 2"),
        (["adapter.dropout=0.1"], "adapter.dropout must be 0"),
        (["stopping.judge=matcher"], "stopping needs training.sample_every"),
        (["sft_epochs=0", "epochs=0"], "nothing to train"),
        (["stopping.judge=tagger", "training.sample_every=1"], "The tagger is the judge"),
        (["from_model=nowhere"], "no model 'nowhere'"),
    ],
)
def test_a_recipe_that_cannot_be_run_says_why(changes, says, place, tmp_path):
    with pytest.raises(UserError, match=says):
        align(place, "lm", tmp_path / "run", *changes)


def test_a_judge_that_chose_the_pairs_gives_no_reward(place, tmp_path):
    pairs = make_pairs(tmp_path / "pairs", 4)
    scored = [
        pair.model_copy(update={"scores": {"loudness": pair.scores["clap"]}}) for pair in pairs
    ]
    write_records(tmp_path / "pairs" / "pairs.jsonl", "pairs", "f", {}, scored)
    changes = [f"pairs={tmp_path / 'pairs'}", "stopping.judge=loudness", "training.sample_every=1"]
    with pytest.raises(UserError, match="loudness chose these pairs"):
        align(place, "lm", tmp_path / "run", *changes)


def test_a_reference_of_another_shape_or_kind_is_refused(place, tmp_path):
    write_token_model(tmp_path / "wide", dim=24)
    with pytest.raises(UserError, match="another shape"):
        align(place, "lm", tmp_path / "a", f"reference.model={tmp_path / 'wide'}")
    with pytest.raises(UserError, match="does not read the sounds and texts"):
        align(place, "lm", tmp_path / "b", f"reference.model={place / 'unet'}")


def test_only_models_that_generate_can_be_aligned(place, tmp_path):
    base = read_record(place / "lm")
    parts = {"codec": (base.parts["codec"], read_part(place / "lm", "codec"))}
    write_model(
        tmp_path / "codec", kind="codec", name="c", settings={}, recipe={}, licence="",
        parts=parts, card="",
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="is a codec"):
        align(place, "lm", tmp_path / "run", f"from_model={tmp_path / 'codec'}")


@pytest.mark.parametrize("part", RECIPES)
def test_killed_anywhere_it_ends_with_the_same_bytes(part, place, tmp_path):
    whole = align(place, part, tmp_path / "whole", *SHORT)
    limit = 3
    while (ended := Fork(align_and_die, place, part, tmp_path / "killed", limit).wait(600)).status:
        assert ended.status == -signal.SIGKILL, ended
        limit = limit * 5 // 3
    assert limit > 10
    files = [f"{part}.safetensors", "model.json", "card.md"]
    assert [hash_file(whole.model / name) for name in files] == [
        hash_file(tmp_path / "killed" / "model" / name) for name in files
    ]


SHORT = ("training.steps=3", "training.checkpoint_every=1", "training.validate_every=")


def align_and_die(place: Path, part: str, run: Path, limit: int) -> None:
    """Go on with a run, and die when the next file would get its name, after so many."""
    rename, count = Path.replace, itertools.count(1)

    def rename_or_die(self, target):
        if next(count) == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.replace = rename_or_die
    align(place, part, run, *SHORT, resume=(run / "recipe.json").is_file())
