import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soundwright.training.checkpoints import newest_checkpoint, read_checkpoint
from soundwright.training.metrics import read_records

SCRIPT = Path(__file__).with_name("training_tasks.py")
STEPS = 40


def start(folder: Path, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), "--steps", str(STEPS), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def signal_at(process: subprocess.Popen, folder: Path, step: int, number: signal.Signals) -> None:
    """Send a signal once the log has reached `step`."""
    log, deadline = folder / "metrics.jsonl", time.monotonic() + 60
    while not (log.exists() and f'{{"step": {step}, ' in log.read_text()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(number)


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
        options = ["--resume"] if step > 2 else []
        process = start(folder, "--delay", "0.004", *options)
        signal_at(process, folder, step, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    finish(start(folder, "--resume"))
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
    process = start(folder, "--delay", "0.01")
    signal_at(process, folder, 6, signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert str(folder) in output
    assert "--resume" in output
    checkpoint = newest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None
    steps = [record["step"] for record in read_records(folder / "metrics.jsonl")]
    assert read_checkpoint(checkpoint).step == steps[-1] >= 6
    finish(start(folder, "--resume"))
    assert final_bytes(folder) == final_bytes(undisturbed)


def test_metrics_have_each_step_once_and_are_json(undisturbed):
    records = [json.loads(line) for line in (undisturbed / "metrics.jsonl").open()]
    trained = [record["step"] for record in records if record["kind"] == "train"]
    assert trained == list(range(1, STEPS + 1))
    validated = [record["step"] for record in records if record["kind"] == "validation"]
    assert validated == list(range(5, STEPS + 1, 5))
