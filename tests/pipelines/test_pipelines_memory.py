"""Memory is told before training, and the recipes for 8, 16 and 24 GB fit."""

import json
import re

import pytest
import torch
from typer.testing import CliRunner

from soundwright.cli.main import app
from soundwright.core.ranks import Ranks
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.nn.lora import LoraConfig, add_lora
from soundwright.pipelines import memory
from soundwright.pipelines.lm_recipe import CodecSource
from soundwright.pipelines.memory import GIB, estimate_memory
from soundwright.pipelines.recipe import list_recipes
from soundwright.pipelines.systems import read_recipe
from soundwright.pipelines.training import train_recipe
from soundwright.training.averaging import AverageConfig, AveragedWeights
from soundwright.training.optimizers import OptimizerConfig, Player

USABLE = {"finetune-8gb": 7.6, "finetune-16gb": 15.5, "finetune-24gb": 23.4}
"""What cards of 8, 16 and 24 GB report as theirs."""
MEDIUM = {"dim": 1536, "layers": 48, "heads": 24}
LARGE = {"dim": 2048, "layers": 48, "heads": 32}


@pytest.fixture
def estimate(tiny_model, monkeypatch):
    """The estimate of a fine-tuning recipe for a model of MusicGen's shape on a GPU of a size."""

    def make(name, shape=None, *, gigabytes=None, overrides=(), ranks=None):
        recipe = read_recipe(name, [f"from_model={tiny_model}", *overrides])
        lm = LmConfig.read({**(shape or {}), "checkpointing": recipe.lm.checkpointing})
        training = recipe.training.model_copy(update={"precision": "bf16"})
        parts = {"lm": lm, "codec": CodecSource(recipe="encodec-32k"), "training": training}
        memory_bytes = (USABLE.get(name, 1e3) if gigabytes is None else gigabytes) * GIB
        monkeypatch.setattr(memory, "measure_memory", lambda device: memory_bytes)
        device = torch.device("cuda")
        return estimate_memory(recipe.model_copy(update=parts), device, ranks or Ranks())

    return make


@pytest.mark.parametrize(
    ("recipe", "mention", "setup", "shape", "overrides"),
    [
        ("finetune-8gb", 0, "finetune-8gb", {}, []),
        ("finetune-16gb", 0, "finetune-16gb", {}, []),
        ("finetune-16gb", 1, "finetune-8gb", MEDIUM, ["segments.batch=16"]),
        ("finetune-24gb", 0, "finetune-24gb", {}, []),
        ("finetune-24gb", 1, "finetune-8gb", LARGE, ["segments.batch=16"]),
    ],
)
def test_the_recipes_fit_and_say_how_much_they_take(
    estimate, recipe, mention, setup, shape, overrides
):
    found = estimate(setup, shape, gigabytes=USABLE[recipe], overrides=overrides)
    assert found.fits
    # Room for a screen and for what an estimate does not know.
    assert found.total < 0.94 * found.available
    said = re.findall(r"about ([\d.]+) GB", list_recipes()[recipe].read_text())
    assert float(said[mention]) == round(found.total / GIB, 1)


def test_too_small_a_device_is_told_with_what_helps(estimate):
    found = estimate("finetune-24gb", gigabytes=11.5)
    assert not found.fits
    told = found.describe()
    assert re.match(r"Memory on cuda: about 19\.0 GB of 11\.5 GB \(", told)
    assert "--set lm.checkpointing=true" in told
    changes = dict(re.findall(r"--set ([\w.]+)=(\w+)", told))
    assert estimate("finetune-24gb", gigabytes=11.5, overrides=[]).remedy == found.remedy
    lowered = estimate(
        "finetune-24gb", gigabytes=11.5, overrides=[f"{key}={changes[key]}" for key in changes]
    )
    assert lowered.fits
    assert "finetune-lora" in estimate("finetune-24gb", gigabytes=4).remedy
    assert "smaller model" in estimate("finetune-8gb", gigabytes=1).remedy


def test_ranks_share_the_batch_and_where_sharded_the_weights(estimate):
    alone = estimate("finetune-16gb").parts
    ranks = Ranks(rank=0, count=4, local=0)
    whole = estimate("finetune-16gb", ranks=ranks, overrides=["training.parallel.kind=ddp"]).parts
    shards = estimate("finetune-16gb", ranks=ranks, overrides=["training.parallel.kind=fsdp"]).parts
    assert whole["activations"] < alone["activations"] / 2
    assert whole["weights"] == alone["weights"] == whole["exchange"]
    assert shards["optimizer"] == alone["optimizer"] // 4


@pytest.mark.parametrize("adapter", [None, LoraConfig(rank=2)], ids=["all", "lora"])
def test_weights_gradients_moments_and_average_are_counted_to_the_byte(tiny_model, adapter):
    name = "finetune-tiny" if adapter is None else "finetune-lora-tiny"
    given = [] if adapter is None else ["adapter.rank=2"]
    recipe = read_recipe(name, [f"from_model={tiny_model}", *given])
    parts = estimate_memory(recipe, torch.device("cpu"), Ranks()).parts
    lm = AudioLm(recipe.lm)
    if adapter is not None:
        add_lora(lm, adapter, seed=0)
    player = Player("lm", lm, OptimizerConfig(), steps=2)
    player.take(sum(value.sum() for value in player.parameters), 1)
    gradients = sum(value.grad.nbytes for value in player.parameters)
    player.move(0)
    moments = sum(
        value.nbytes
        for state in player.state_dict().values()
        for value in state.values()
        if value.dim()
    )
    average = AveragedWeights(lm, AverageConfig(every=1))
    average.update(1)
    assert parts["weights"] == sum(value.nbytes for value in lm.parameters())
    assert (parts["gradients"], parts["optimizer"]) == (gradients, moments)
    assert parts["average"] == sum(value.nbytes for value in average.weights().values())


def test_the_command_says_it(tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        return CliRunner().invoke(app, ["train", *map(str, arguments)])

    given = ["finetune-lora-tiny", "--set", f"from_model={tiny_model}"]
    told = json.loads(command(*given, "--estimate", "--json").stdout)
    assert told["fits"]
    assert told["bytes"] == sum(told["parts"].values())
    shown = command(*given, "--estimate")
    assert "activations" in shown.stdout
    assert "Memory on cpu: about" in shown.stderr
    assert list(tmp_path.iterdir()) == []
    unknown = command("encodec-16k-tiny", "--estimate")
    assert (unknown.exit_code, "cannot be told" in unknown.stderr) == (2, True)


def test_training_says_it_before_anything_is_made(tmp_path):
    class Told(Exception):  # noqa: N818
        pass

    def tell(text):
        raise Told(text)

    with pytest.raises(Told, match=r"^Memory on "):
        train_recipe("synth-tiny", out=tmp_path / "run", tell=tell)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["recipe.json"]
