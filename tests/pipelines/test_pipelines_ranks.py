"""`torchrun ... -m soundwright train`: whole commands of two processes."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from torch import distributed

from forks import run_command, run_ranks, start_ranks
from soundwright.core.errors import UserError
from soundwright.data.segments import Share
from soundwright.pipelines.models import verify_model
from soundwright.pipelines.systems import read_recipe
from soundwright.pipelines.training import train_recipe
from soundwright.training.checkpoints import list_checkpoints, read_checkpoint
from soundwright.training.metrics import read_records
from soundwright.training.settings import TrainingConfig

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
    given = overrides("segments.batch=7")
    ends = run_ranks(run_command, "train", RECIPE, *given, "--out", tmp_path / "run")
    assert [end.status for end in ends] == [2, 2]
    said = "".join(end.errors for end in ends)
    assert said.count("A batch of 7 cannot be divided over 2 ranks.") == 1
    assert "Set segments.batch to 6 or 8, or start 1 of them." in said
    assert not (tmp_path / "run").exists()


def test_a_stopped_run_of_two_is_saved_once_and_goes_on(run, tmp_path):
    """Each rank gets the signal twice: from the scheduler, and from torchrun, which got it too."""
    folder = tmp_path / "run"
    codec = overrides("codec.recipe=", f"codec.model={run[0] / 'codec' / 'model'}")
    given = overrides("training.steps=24", "training.log_every=1", "training.checkpoint_every=24")
    command = ("train", RECIPE, *given, *codec, "--out", folder)
    forks = start_ranks(run_command, *command)
    log, deadline = folder / "metrics.jsonl", time.monotonic() + 60
    while not (log.exists() and '{"step": 3, ' in log.read_text()):
        assert all(fork.is_running for fork in forks), [fork.wait() for fork in forks]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    for fork in (*forks, *forks):
        fork.send(signal.SIGTERM)
    first, second = (fork.wait() for fork in forks)
    assert (first.status, second.status) == (143, 143), first.errors + second.errors
    (stopped,) = re.findall(r"Stopped after step (\d+)", first.errors + second.errors)
    assert first.output + second.output == ""
    (checkpoint,) = list_checkpoints(folder / "checkpoints")
    assert read_checkpoint(checkpoint).step == int(stopped) < 24
    first, second = run_ranks(run_command, *command, "--resume")
    assert (first.status, second.status) == (0, 0), first.errors + second.errors
    assert (first.output, second.output) == (f"{folder / 'model'}\n", "")
    assert [record["step"] for record in read_records(log) if record["kind"] == "train"] == [
        *range(1, 25)
    ]


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


def test_the_page_names_recipes_and_settings_that_exist():
    page = (Path(__file__).parents[2] / "docs" / "many-gpus.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:console|bash)\n(.*?)```", page, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line) for line in lines if "-m soundwright train" in line]
    assert len(commands) == 5
    for words in commands:
        recipe = words[words.index("train") + 1]
        given = [word for before, word in pairwise(words) if before == "--set"]
        read = read_recipe(recipe, given)
        for ranks in {"rr-sound-300m": (8, 16), "encodec-16k": (8,)}.get(recipe, (2,)):
            Share(read.segments.batch, 0, ranks)
    named = re.findall(r"`training\.([a-z_.]+)", page)
    known = TrainingConfig().plain()
    for path in named:
        table = known
        for key in path.split("."):
            assert key in table, path
            table = table[key]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_batch_script_starts_goes_on_and_ends(tmp_path):
    """The page's script in a shell, with what Slurm would set and start."""
    page = (Path(__file__).parents[2] / "docs" / "many-gpus.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    (tmp_path / "script.sh").write_text(script)
    place = tmp_path / "bin"
    place.mkdir()
    said = {"scontrol": "echo localhost; echo elsewhere", "srun": 'printf "%s\\n" "$@"'}
    for name, does in said.items():
        (place / name).write_text(f"#!/bin/bash\n{does}\n")
        (place / name).chmod(0o755)
    slurm = {"JOB_ID": 7, "JOB_NODELIST": "x", "NNODES": 2, "GPUS_ON_NODE": 8, "CPUS_PER_TASK": 64}
    environment = {
        **os.environ,
        "PATH": f"{place}:{os.environ['PATH']}",
        **{f"SLURM_{name}": str(value) for name, value in slurm.items()},
    }

    def started():
        finished = subprocess.run(
            ["bash", "script.sh"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert finished.stderr == ""
        return finished.stdout.split()

    words = started()
    assert words[:5] == ["torchrun", "--nnodes", "2", "--nproc-per-node", "8"]
    assert words[words.index("--rdzv-endpoint") + 1] == "localhost:29500"
    assert words[-2:] == ["--out", "runs/rr-sound"]
    begun = tmp_path / "runs" / "rr-sound"
    begun.mkdir(parents=True)
    (begun / "recipe.json").touch()
    assert started() == [*words, "--resume"]
    (begun / "model").mkdir()
    (begun / "model" / "model.json").touch()
    assert started() == []
