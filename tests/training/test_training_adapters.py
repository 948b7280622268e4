"""An adapter trained by two processes, whole and in shards, is the one that one process trains."""

import shutil

import pytest
import torch
from adapter_runs import make_adapted_task, train_adapters
from distributed_runs import STEPS, train_lm
from torch import distributed

from forks import run_ranks
from soundwright.training.checkpoints import list_checkpoints, newest_checkpoint, read_weights
from soundwright.training.metrics import read_records

pytestmark = pytest.mark.skipif(
    not distributed.is_available(), reason="torch is built without distributed"
)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one") / "run"
    train_lm(folder, task=make_adapted_task())
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    ends = run_ranks(train_adapters, folder)
    assert [end.status for end in ends] == [0, 0], "\n".join(end.errors for end in ends)
    return folder


def last(run):
    newest = newest_checkpoint(run / "checkpoints")
    assert newest is not None
    assert newest.name == f"step-{STEPS:08d}"
    return newest


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_ranks_train_the_adapter_of_one(one, two, kind):
    ours, theirs = (
        [r["loss"] for r in read_records(run / "metrics.jsonl") if r["kind"] == "train"]
        for run in (two / kind, one)
    )
    assert len(ours) == STEPS
    assert ours == pytest.approx(theirs, rel=0, abs=1e-5)
    for averaged in (True, False):
        weights, _ = read_weights(last(two / kind), "lm", averaged=averaged)
        expected, _ = read_weights(last(one), "lm", averaged=averaged)
        assert weights.keys() == expected.keys() == make_adapted_task().lm.state_dict().keys()
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-5)


def test_one_process_goes_on_with_the_shards_of_two(one, two):
    run = two / "fsdp"
    shutil.rmtree(list_checkpoints(run / "checkpoints")[-1])
    train_lm(run, task=make_adapted_task(), changes={"parallel": {"kind": "fsdp"}}, resume=True)
    weights, _ = read_weights(last(run), "lm")
    expected, _ = read_weights(last(one), "lm")
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-5)


def test_blocks_with_adapters_are_compiled(tmp_path, monkeypatch):
    """The compiler's own front end on every block, without the C++ compiler behind it."""
    compile_ = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda part: compile_(part, backend="eager", fullgraph=True)
    )
    train_lm(tmp_path / "plain", task=make_adapted_task(), changes={"steps": 3})
    train_lm(tmp_path / "fast", task=make_adapted_task(), changes={"steps": 3, "compile": True})
    plain, fast = (
        read_weights(list_checkpoints(tmp_path / name / "checkpoints")[-1], "lm")[0]
        for name in ("plain", "fast")
    )
    for name, value in plain.items():
        torch.testing.assert_close(value, fast[name], rtol=0, atol=1e-6)
