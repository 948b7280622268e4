"""Runs of two processes: they compute what one does, and end together."""

import json
import shutil
import signal

import pytest
import torch
from distributed_runs import FEW, STEPS, Sounds, make_duel, make_task, run, train_lm
from torch import distributed
from training_tasks import LineBatches, duel_config

from forks import run_ranks
from soundwright.core.errors import CheckpointError, ConfigError
from soundwright.core.protocols import StepContext
from soundwright.training.checkpoints import (
    list_checkpoints,
    newest_checkpoint,
    read_checkpoint,
    read_weights,
)
from soundwright.training.loop import train
from soundwright.training.metrics import read_records

pytestmark = pytest.mark.skipif(
    not distributed.is_available(), reason="torch is built without distributed"
)
KINDS = ("ddp", "fsdp")
HALF = STEPS // 2


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A run of one process."""
    folder = tmp_path_factory.mktemp("one") / "run"
    train_lm(folder)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Runs of two ranks."""
    folder = tmp_path_factory.mktemp("two")
    ends = run_ranks(run, "undisturbed", folder)
    check(ends)
    (folder / "results.json").write_text(json.dumps([json.loads(end.output) for end in ends]))
    (folder / "said.txt").write_text("".join(end.errors for end in ends))
    return folder


@pytest.fixture(scope="module")
def two_resumed(one, two, tmp_path_factory):
    """Runs that two ranks of each kind have ended, by who began them and the kind."""
    folder = tmp_path_factory.mktemp("resumed")
    for kind in KINDS:
        (other,) = set(KINDS) - {kind}
        for begun, place in (("one", one), ("same", two / kind), ("other", two / other)):
            halve(place, folder / f"{begun}-{kind}")
    check(run_ranks(run, "resumed", folder))
    return folder


def check(ends):
    assert [end.status for end in ends] == [0, 0], "\n".join(end.errors for end in ends)


def halve(run, folder):
    """A copy of a run that was killed before its last checkpoint."""
    shutil.copytree(run, folder)
    shutil.rmtree(list_checkpoints(folder / "checkpoints")[-1])
    return folder


def numbers(run, kind="train"):
    """Everything that was logged but for times, by step."""
    timed = ("_s", "_share", "utilisation")
    return {
        record["step"]: {
            name: value
            for name, value in record.items()
            if not isinstance(value, str) and not name.endswith(timed)
        }
        for record in read_records(run / "metrics.jsonl")
        if record["kind"] == kind
    }


def assert_same_curve(first, second, steps=STEPS):
    for kind in ("train", "validation"):
        ours, theirs = numbers(first, kind), numbers(second, kind)
        assert ours.keys() == theirs.keys()
        for step in ours:
            # The norm is of all gradients together: its rounding grows with its size.
            norms = ours[step].pop("gradient_norm", 0.0), theirs[step].pop("gradient_norm", 0.0)
            assert norms[0] == pytest.approx(norms[1], rel=2e-5), (kind, step)
            assert ours[step] == pytest.approx(theirs[step], rel=0, abs=1e-5), (kind, step)
    assert len(numbers(first)) == steps


def final(run):
    newest = newest_checkpoint(run / "checkpoints")
    assert newest is not None
    assert newest.name == f"step-{STEPS:08d}"
    return newest


@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_log_the_numbers_of_one(one, two, kind):
    assert_same_curve(two / kind, one)
    kinds = {"rr/cfg/loss" in numbers(one)[step] for step in numbers(one)}
    assert kinds == {True, False}
    for averaged in (True, False):
        ours, _ = read_weights(final(two / kind), "lm", averaged=averaged)
        theirs, _ = read_weights(final(one), "lm", averaged=averaged)
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_with_recomputed_blocks_stays_near_fp32(one, two, kind):
    wide, narrow = numbers(one), numbers(two / f"{kind}-narrow")
    assert set(narrow) == set(range(1, FEW + 1))
    for step, values in narrow.items():
        for name in {"loss", "ce", "gradient_norm", "rr/cfg/loss"} & values.keys():
            assert values[name] == pytest.approx(wide[step][name], rel=0.03, abs=0.01), (step, name)
    # Weights and moments are kept in fp32 all the same.
    checkpoint = read_checkpoint(newest_checkpoint(two / f"{kind}-narrow" / "checkpoints"))
    kept = [*checkpoint.weights["lm"].values(), *checkpoint.averages["lm"].values()]
    assert {value.dtype for value in kept} == {torch.float32}


def test_rr_of_each_rank_apart_is_the_mean_of_theirs(two):
    task = make_task(gather="rank")
    logged, found = numbers(two / "apart")[1], []
    for rank in range(2):
        sounds = Sounds().for_rank(rank, 2)
        for micro in range(2):
            context = StepContext(0, micro, torch.device("cpu"), True)
            (turn,) = task.turns(sounds[micro], context)
            found.append({name: float(value.detach()) for name, value in turn.metrics.items()})
    (name,) = (name for name in logged if name.startswith("rr/") and name.endswith("/loss"))
    mean = sum(metrics[name] for metrics in found) / 4
    assert logged[name] == pytest.approx(mean, abs=1e-6)
    whole = numbers(two / "ddp")[1][name]
    assert abs(whole - mean) > 1e-3


def test_rank_0_alone_makes_samples_and_all_know_of_them(two):
    ddp, fsdp = (numbers(two / kind, "samples") for kind in KINDS)
    assert ddp.keys() == fsdp.keys() == {HALF, STEPS}
    assert [value["rank"] for value in ddp.values()] == [0.0, 0.0]
    assert fsdp[STEPS]["logit"] == pytest.approx(ddp[STEPS]["logit"], abs=1e-4)


def test_a_rank_has_only_its_part_of_a_sharded_checkpoint(two):
    shards = sorted((final(two / "fsdp") / "shards").iterdir())
    assert len(shards) == 2
    sizes = [path.stat().st_size for path in shards]
    assert max(sizes) < 1.2 * min(sizes)
    assert not (final(two / "ddp") / "shards").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_of_two_ranks_resumes_on_one(one, two, kind, tmp_path):
    run = halve(two / kind, tmp_path / "run")
    train_lm(run, resume=True, changes={"parallel": {"kind": kind}})
    assert_same_curve(run, one)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("begun", ["one", "other"])
def test_a_checkpoint_of_one_rank_or_of_the_other_kind_resumes_on_two(
    one, two_resumed, begun, kind
):
    assert_same_curve(two_resumed / f"{begun}-{kind}", one)


@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_resumed_end_with_the_bits_of_an_undisturbed_run(two, two_resumed, kind):
    ours = read_checkpoint(final(two_resumed / f"same-{kind}"))
    theirs = read_checkpoint(final(two / kind))
    assert_equal(ours.weights, theirs.weights)
    assert_equal(ours.averages, theirs.averages)
    assert_equal(ours.state, theirs.state)


def assert_equal(ours, theirs):
    if isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs)
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert_equal(ours[key], value)
    else:
        assert ours == theirs


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_damaged_shards_are_named(two, tmp_path, damage):
    checkpoint = tmp_path / "step-00000010"
    shutil.copytree(list_checkpoints(two / "fsdp" / "checkpoints")[0], checkpoint)
    shard = max((checkpoint / "shards").iterdir())
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(content[:-9] if damage == "cut" else content)
    for read in (read_checkpoint, lambda path: read_weights(path, "lm")):
        with pytest.raises(CheckpointError, match=rf"{shard.name} is (damaged|missing)"):
            read(checkpoint)


def test_two_players_train_together(two, tmp_path):
    train(make_duel(), LineBatches(), duel_config(6), tmp_path / "one")
    ours, theirs = numbers(two / "duel"), numbers(tmp_path / "one")
    for step in range(1, 7):
        assert ours[step] == pytest.approx(theirs[step], abs=1e-5), step


def test_gradients_that_only_some_ranks_have_are_averaged_and_none_stays_none(two):
    for result in json.loads((two / "results.json").read_text()):
        assert result["gradients"] == [[5.5, 5.5], [1.5, 1.5], [0.5, 0.5], None]


def test_a_loss_that_is_nan_on_one_rank_is_skipped_on_both(two):
    results = json.loads((two / "results.json").read_text())
    assert [result["skipped"] for result in results] == [{"lm": 1}, {"lm": 1}]
    assert (two / "said.txt").read_text().count("step 3 is skipped") == 1


def test_another_number_of_ranks_is_refused_where_it_matters(one, tmp_path):
    task = make_task()
    rr = task.config.regularizer.model_copy(update={"gather": "rank"})
    task.config = task.config.model_copy(update={"regularizer": rr})
    assert task.is_bound_to_ranks
    run = halve(one, tmp_path / "run")
    settings = (run / "config.json").read_text()
    (run / "config.json").write_text(settings.replace('"ranks": 1', '"ranks": 2'))
    with pytest.raises(ConfigError, match="ranks: 2 in the run, 1 now"):
        train_lm(run, resume=True, task=task)
    assert train_lm(run, resume=True).step == STEPS


def test_a_rank_that_is_killed_ends_the_other_with_a_message(tmp_path):
    first, second = run_ranks(run, "dies", tmp_path)
    assert second.status == -signal.SIGKILL
    assert first.status == 2, first.errors
    assert "Another rank has ended" in first.errors
    assert "Traceback" not in first.errors


def test_memory_that_runs_out_on_one_rank_is_explained_on_both(tmp_path):
    first, second = run_ranks(run, "memory", tmp_path)
    assert (first.status, second.status) == (2, 2), first.errors + second.errors
    assert "On rank 1" in second.errors
    assert "segments.batch" in second.errors
    assert "Rank 1 failed" in first.errors
    assert "no memory left" in first.errors


def test_a_signal_to_one_rank_stops_both_after_the_same_step(tmp_path):
    first, second = run_ranks(run, "signal", tmp_path)
    assert (first.status, second.status) == (143, 143), first.errors + second.errors
    assert "Stopped after step 4" in first.errors
    assert "Stopped" not in second.errors
    checkpoint = newest_checkpoint(tmp_path / "signal" / "checkpoints")
    assert checkpoint is not None
    assert read_checkpoint(checkpoint).step == 4
