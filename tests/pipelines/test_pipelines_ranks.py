"""`torchrun ... -m soundwright train`: whole commands of two processes."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from torch import distributed

from soundwright.core.errors import UserError
from soundwright.data.segments import Share
from soundwright.pipelines.models import verify_model
from soundwright.pipelines.training import train_recipe
from soundwright.training.metrics import read_records

pytestmark = pytest.mark.skipif(
    not distributed.is_available(), reason="torch is built without distributed"
)
RECIPE = "rr-sound-300m-tiny"
GIVEN = ["training.steps=4", "training.log_every=1", "task.text_dropping=0.5"]
GATHERED = "task.regularizer.gather=all"


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, *command, "-m", "soundwright", "train", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def overrides(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two ranks that made its scenes, codec and tokens, and what the command said."""
    folder = tmp_path_factory.mktemp("ranks") / "run"
    given = overrides(*GIVEN, GATHERED, "training.parallel.kind=fsdp")
    return folder, torchrun(RECIPE, *given, "--out", folder, "--json")


def test_two_ranks_leave_one_model_and_speak_once(run):
    folder, result = run
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["model"] == str(folder / "model")
    assert verify_model(folder / "model").name == RECIPE
    # The codec was trained by one, on the way.
    assert (folder / "codec" / "model" / "model.json").is_file()
    assert len(re.findall(r"^scenes 16/16", result.stderr, re.MULTILINE)) == 1
    assert len(re.findall(r"^train 4/4", result.stderr, re.MULTILINE)) == 1
    assert "Warning" not in result.stderr


def test_their_losses_are_those_of_one(run, tmp_path):
    folder, _ = run
    codec = ["codec.recipe=", f"codec.model={folder / 'codec' / 'model'}"]
    train_recipe(RECIPE, [*GIVEN, GATHERED, *codec], out=tmp_path / "one")
    two, one = (read_records(place / "metrics.jsonl") for place in (folder, tmp_path / "one"))
    assert [record["step"] for record in two] == [record["step"] for record in one]
    for ours, theirs in zip(two, one, strict=True):
        for name in {"loss", "ce", "ce/cfg", "rr/cfg/loss", "gradient_norm"} & theirs.keys():
            assert ours[name] == pytest.approx(theirs[name], abs=1e-5), (ours["step"], name)


def test_one_rank_goes_on_with_the_run_of_two(run, tmp_path):
    folder = shutil.copytree(run[0], tmp_path / "run")
    given = [*GIVEN, GATHERED, "training.optimizer.schedule.kind=constant"]
    longer = train_recipe(
        RECIPE, [*given, "training.steps=5"], out=folder, resume=True, accept_changes=True
    )
    assert longer.result.step == 5


def test_a_batch_that_cannot_be_divided_is_refused_once_before_anything_is_made(tmp_path):
    result = torchrun(RECIPE, *overrides("segments.batch=7"), "--out", tmp_path / "run")
    assert result.returncode != 0
    assert result.stderr.count("A batch of 7 cannot be divided over 2 ranks.") == 1
    assert "Set segments.batch to 6 or 8, or start 1 of them." in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("batch", "ranks", "says"),
    [
        (12, 5, "Set segments.batch to 10 or 15, or start 4 of them"),
        (4, 16, "Set segments.batch to 16, or start 4 of them"),
    ],
)
def test_what_to_set_is_said(batch, ranks, says):
    with pytest.raises(UserError, match=says):
        Share(batch, 0, ranks)
