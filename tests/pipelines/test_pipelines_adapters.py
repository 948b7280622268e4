"""Adapters from training to sound: folders, bases, stacks, merged models."""

import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

import soundwright
from soundwright.audio.files import read
from soundwright.cli.main import app
from soundwright.core.errors import CheckpointError, ConfigError, UserError
from soundwright.data.manifest import read_manifest
from soundwright.data.tokens import tokenize
from soundwright.pipelines.adapters import (
    gather_adapters,
    parse_choice,
    read_adapter,
    verify_adapter,
)
from soundwright.pipelines.merging import merge_model
from soundwright.pipelines.models import read_card, read_part, read_record, verify_model
from soundwright.pipelines.parts import load_codec, load_lm
from soundwright.pipelines.storage import read_weights
from soundwright.pipelines.training import train_recipe
from soundwright.training.checkpoints import list_checkpoints

RECIPE = "finetune-lora-tiny"


@pytest.fixture(scope="module")
def given(tiny_run, tiny_model, tmp_path_factory):
    """Overrides with which the recipe runs: the model, and tokens of its codec."""
    (folder,) = (tiny_run / "data").iterdir()
    codec, _, _ = load_codec(tiny_model)
    manifest = read_manifest(folder / "manifest.jsonl")
    store = tokenize(manifest, codec, tmp_path_factory.mktemp("tokens") / "store")
    # Dropout, and a rate at which six steps are heard.
    return [
        f"from_model={tiny_model}",
        f"tokens={store.folder}",
        "adapter.dropout=0.1",
        "training.optimizer.lr=0.02",
    ]


@pytest.fixture(scope="module")
def rain(given, tmp_path_factory):
    """A finished run."""
    return train_recipe(RECIPE, given, out=tmp_path_factory.mktemp("rain") / "run").model


@pytest.fixture(scope="module")
def bells(given, tmp_path_factory):
    """Another one, of fewer layers, without RR."""
    changes = [
        "name=bells",
        "adapter.targets=[qkv,heads]",
        "adapter.alpha=8",
        "task.regularizer.where=none",
        "lm.checkpointing=true",
    ]
    return train_recipe(RECIPE, [*given, *changes], out=tmp_path_factory.mktemp("b") / "run").model


def logits(model, adapters=(), seed=3):
    """What a model says to random tokens, in fp32."""
    below, added = gather_adapters(model, adapters)
    _, record, folder = load_codec(below)
    lm = load_lm(record, folder, added)
    stream = torch.Generator().manual_seed(seed)
    shape = (2, lm.config.codebooks, 20)
    tokens = torch.randint(lm.config.codebook_size, shape, generator=stream)
    text = torch.randn(2, 5, lm.config.text_width, generator=stream)
    with torch.no_grad():
        return lm(tokens, text, torch.ones(2, 5, dtype=torch.bool)).logits


def test_a_run_leaves_a_folder_that_says_what_it_is_for(rain, tiny_model):
    record, base = verify_adapter(rain), read_record(tiny_model)
    assert (record.name, record.adapter["rank"], record.storage) == (RECIPE, 4, "fp16")
    assert (record.base.name, record.base.hash) == (str(tiny_model), base.hash)
    assert sorted(path.name for path in rain.iterdir()) == [
        "adapter.json",
        "adapter.safetensors",
        "card.md",
    ]
    card = read_card(rain)
    assert f"An adapter for bundled-lm-tiny ({base.hash}" in card
    assert "LoRA of rank 4, alpha 16" in card


def test_checkpoints_hold_the_adapter_alone(rain):
    checkpoint = list_checkpoints(rain.parent / "checkpoints")[-1]
    for name in ("weights-lm.safetensors", "average-lm.safetensors"):
        assert all("lora_" in key for key in read_weights(checkpoint / name))


def test_a_run_that_was_killed_ends_with_the_same_bytes(rain, given, tmp_path):
    run = shutil.copytree(rain.parent, tmp_path / "run")
    shutil.rmtree(run / "model")
    shutil.rmtree(list_checkpoints(run / "checkpoints")[-1])
    trained = train_recipe(RECIPE, given, out=run, resume=True)
    assert trained.result.step == 6
    weights = "adapter.safetensors"
    assert (trained.model / weights).read_bytes() == (rain / weights).read_bytes()


def test_it_is_not_resumed_over_another_base(rain, given, tiny_model, tmp_path):
    run = shutil.copytree(rain.parent, tmp_path / "run")
    other = other_model(tiny_model, tmp_path)
    with pytest.raises(ConfigError, match="from_hash: "):
        train_recipe(RECIPE, [*given, f"from_model={other}"], out=run, resume=True)


def test_an_adapter_stands_for_its_base_with_itself(rain, tiny_model):
    assert torch.equal(logits(rain), logits(tiny_model, [rain]))
    assert not torch.allclose(logits(rain), logits(tiny_model), atol=1e-3)
    torch.testing.assert_close(logits(tiny_model, [(rain, 0.0)]), logits(tiny_model))


def test_a_stack_is_the_sum_in_any_order(rain, bells, tiny_model):
    both = logits(tiny_model, [rain, (bells, 0.5)])
    torch.testing.assert_close(both, logits(tiny_model, [(bells, 0.5), rain]), rtol=0, atol=1e-5)
    torch.testing.assert_close(both, logits(rain, [(bells, 0.5)]))
    base = read_part(tiny_model, "lm")
    below, added = gather_adapters(tiny_model, [rain, (bells, 0.5)])
    weights = load_lm(read_record(below), below, added).state_dict()
    name = "blocks.0.self_attention.qkv"
    expected = base[f"{name}.weight"].double()
    for folder, scale in ((rain, 16 / 4), (bells, 0.5 * 8 / 4)):
        adapter = read_weights(folder / "adapter.safetensors")
        up, down = (adapter[f"{name}.lora_{half}"].double() for half in ("up", "down"))
        expected += scale * up @ down
    torch.testing.assert_close(weights[f"{name}.weight"].double(), expected, rtol=0, atol=1e-6)


def test_a_merged_model_says_what_the_stack_says(rain, bells, tiny_model, tmp_path):
    record = merge_model(tiny_model, [rain, (bells, 0.5)], tmp_path / "mixed")
    assert verify_model(tmp_path / "mixed") == record
    stacked = logits(tiny_model, [rain, (bells, 0.5)])
    torch.testing.assert_close(logits(tmp_path / "mixed"), stacked, rtol=0, atol=1e-5)
    assert record.settings == read_record(tiny_model).settings
    assert record.recipe["merged"]["adapters"][1]["weight"] == 0.5
    assert "| bells |" in read_card(tmp_path / "mixed")
    sound = soundwright.load(tmp_path / "mixed").generate("rain", duration=0.4)
    stack = soundwright.load(tiny_model, adapters=[rain, (bells, 0.5)])
    assert torch.equal(sound[0].samples, stack.generate("rain", duration=0.4)[0].samples)
    # A merged model is a base of its own.
    with pytest.raises(UserError, match="another model"):
        soundwright.load(tmp_path / "mixed", adapters=[rain])


def test_a_sound_says_which_adapters_made_it(rain, bells, tiny_model):
    model = soundwright.load(tiny_model, adapters=[(bells, 0.5)])
    made = model.generate("rain", duration=0.4)[0].describe()
    hash_ = read_adapter(bells).hash
    assert made["model"] == "bundled-lm-tiny + 0.5 bells"
    assert made["settings"]["adapters"] == [{"name": "bells", "hash": hash_, "weight": 0.5}]
    hashes = {made["model_hash"], read_record(tiny_model).hash, soundwright.load(bells).hash}
    assert len(hashes) == 3


def test_another_base_is_refused_with_both_hashes(rain, tiny_model, tmp_path):
    other = other_model(tiny_model, tmp_path)
    hashes = read_record(tiny_model).hash, read_record(other).hash
    with pytest.raises(UserError, match=rf"{hashes[0]}(.|\n)*{hashes[1]}"):
        soundwright.load(other, adapters=[rain])


def test_a_base_that_has_moved_is_asked_for(rain, tiny_model, tmp_path):
    moved = shutil.copytree(rain, tmp_path / "adapter")
    record = json.loads((moved / "adapter.json").read_text())
    record["base"]["name"] = "nowhere"
    (moved / "adapter.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"is not here(.|\n)*--model DIR --adapter"):
        soundwright.load(moved)
    assert torch.equal(logits(tiny_model, [moved]), logits(rain))


def test_damage_is_named(rain, tiny_model, tmp_path):
    broken = shutil.copytree(rain, tmp_path / "adapter")
    content = bytearray((broken / "adapter.safetensors").read_bytes())
    content[-2] ^= 1
    (broken / "adapter.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"adapter\.safetensors is damaged"):
        soundwright.load(tiny_model, adapters=[broken])
    (broken / "adapter.safetensors").write_bytes(bytes(content[:100]))
    with pytest.raises(CheckpointError, match=r"adapter\.safetensors is damaged"):
        soundwright.load(broken)
    (broken / "adapter.json").write_text('{"format_version": 9}')
    with pytest.raises(CheckpointError, match="adapter format 9"):
        soundwright.load(broken)
    (broken / "adapter.json").write_text('{"format_version": 1}')
    with pytest.raises(CheckpointError, match=r"adapter\.json is damaged: name"):
        soundwright.load(broken)


def test_what_is_no_adapter_is_refused(rain, tiny_model, given, tmp_path):
    with pytest.raises(UserError, match="holds no adapter"):
        soundwright.load(tiny_model, adapters=[tiny_model])
    with pytest.raises(UserError, match="cannot be added nan times"):
        soundwright.load(tiny_model, adapters=[(rain, float("nan"))])
    with pytest.raises(CheckpointError, match=r"an adapter(.|\n)*models merge"):
        train_recipe(RECIPE, [*given, f"from_model={rain}"], out=tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["adapter.targets=[qvk]"], "'qvk'; did you mean 'qkv'"),
        (["adapter.rank=1000"], "The rank 1000 is larger"),
        (["adapter.rnak=3"], "did you mean 'rank'"),
        (["text.preparation.lower_case=true"], "reads texts in another way"),
        (["from_model=", "codec.model=bundled"], "needs a model to be trained on"),
    ],
)
def test_an_adapter_that_cannot_be_is_explained(given, changes, says, tmp_path):
    with pytest.raises(ConfigError, match=says):
        train_recipe(RECIPE, [*given, *changes], out=tmp_path / "run")


def test_choices_are_read(tmp_path):
    (tmp_path / "a:2").mkdir()
    assert parse_choice("runs/a") == "runs/a"
    assert parse_choice("runs/a:0.5") == ("runs/a", 0.5)
    assert parse_choice(r"C:\runs\a") == r"C:\runs\a"
    assert parse_choice(str(tmp_path / "a:2")) == str(tmp_path / "a:2")


def test_whole_commands(rain, bells, tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    long = ("--duration", 0.4, "--model")
    command("generate", "rain", "--out", "a.wav", *long, rain, "--adapter", f"{bells}:0.5")
    added = ("--adapter", f"{bells}:0.5")
    told = json.loads(command("models", "merge", rain, *added, "--out", "mixed", "--json"))
    assert told["hash"] == read_record(tmp_path / "mixed").hash
    command("generate", "rain", "--out", "b.wav", *long, "mixed")
    assert torch.equal(read("a.wav").samples, read("b.wav").samples)
    assert "are as recorded" in command("models", "verify", rain)
    assert command("models", "show", bells).startswith("# bells")
    again = CliRunner().invoke(app, ["models", "merge", str(tiny_model), "--out", "other"])
    assert (again.exit_code, "nothing to merge" in again.stderr) == (2, True)


def other_model(model, tmp_path):
    """A model with another hash."""
    other = shutil.copytree(model, tmp_path / "other")
    record = json.loads((other / "model.json").read_text())
    record["settings"]["generation"]["top_k"] = 3
    (other / "model.json").write_text(json.dumps(record))
    return other
