import functools
import json
import signal
import time
from pathlib import Path

import pytest
from training_tasks import run_duel

from forks import Fork
from soundwright.training.checkpoints import newest_checkpoint, read_checkpoint
from soundwright.training.interrupts import Interrupts
from soundwright.training.metrics import read_records

STEPS = 40


def start(folder: Path, **options) -> Fork:
    return Fork(functools.partial(run_duel, folder, STEPS, **options))


def finish(process: Fork) -> None:
    end = process.wait()
    assert end.status == 0, end.errors


def signal_at(process: Fork, folder: Path, step: int, number: signal.Signals) -> None:
    """Send a signal once the log has reached `step`."""
    log, deadline = folder / "metrics.jsonl", time.monotonic() + 60
    while not (log.exists() and f'{{"step": {step}, ' in log.read_text()):
        assert process.is_running, process.wait()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send(number)


def final_bytes(folder: Path) -> dict[str, bytes]:
    checkpoint = newest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.name == f"step-{STEPS:08d}"
    return {path.name: path.read_bytes() for path in checkpoint.glob("*.safetensors")}


def losses(folder: Path) -> list[tuple[int, str, float]]:
    return [
        (record["step"], record["kind"], record.get("generator/loss", record.get("error")))
        for record in read_records(folder / "metrics.jsonl")
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(start(folder))
    return folder


def test_killed_at_any_moment_and_resumed_gives_the_same_bytes(undisturbed, tmp_path):
    folder = tmp_path / "run"
    for step in (2, 13, 29):
        process = start(folder, delay=0.004, resume=step > 2)
        signal_at(process, folder, step, signal.SIGKILL)
        assert process.wait().status == -signal.SIGKILL
    finish(start(folder, resume=True))
    assert final_bytes(folder) == final_bytes(undisturbed)
    assert set(final_bytes(folder)) == {
        "weights-generator.safetensors",
        "weights-discriminator.safetensors",
        "average-generator.safetensors",
        "state.safetensors",
    }
    assert losses(folder) == losses(undisturbed)
    assert not list((folder / "checkpoints").glob(".*"))


def test_sigterm_saves_says_where_and_exits(undisturbed, tmp_path):
    folder = tmp_path / "run"
    process = start(folder, delay=0.01)
    signal_at(process, folder, 6, signal.SIGTERM)
    end = process.wait()
    assert end.status == 128 + signal.SIGTERM, end.errors
    assert str(folder) in end.output
    assert "--resume" in end.output
    checkpoint = newest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None
    steps = [record["step"] for record in read_records(folder / "metrics.jsonl")]
    assert read_checkpoint(checkpoint).step == steps[-1] >= 6
    finish(start(folder, resume=True))
    assert final_bytes(folder) == final_bytes(undisturbed)


def test_a_signal_that_comes_twice_is_one_and_an_impatient_ctrl_c_is_not(monkeypatch):
    """A scheduler signals a job's processes and its torchrun, which passes the signal on."""
    with Interrupts() as interrupts:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        assert interrupts.received == signal.SIGTERM
        monkeypatch.setattr("soundwright.training.interrupts.IMPATIENT_S", 0.0)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_metrics_have_each_step_once_and_are_json(undisturbed):
    records = [json.loads(line) for line in (undisturbed / "metrics.jsonl").open()]
    trained = [record["step"] for record in records if record["kind"] == "train"]
    assert trained == list(range(1, STEPS + 1))
    validated = [record["step"] for record in records if record["kind"] == "validation"]
    assert validated == list(range(5, STEPS + 1, 5))
