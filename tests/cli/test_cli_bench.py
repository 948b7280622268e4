import json
import math

import pytest

from soundwright.pipelines import benchmarking
from soundwright.pipelines.benchmarking import step_weights
from soundwright.pipelines.models import read_record
from soundwright.pipelines.parts import load_lm

SPEED = {"step_ms", "steps_per_s", "frames_per_s", "floor_ms", "times_floor", "realtime"}


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    monkeypatch.setattr(benchmarking, "FRAMES", 8)
    monkeypatch.setattr(benchmarking, "ROUNDS", 1)


def test_a_model_is_measured_in_every_precision_that_works_here(command, tiny_model):
    result = command("bench", tiny_model, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    measured = json.loads(result.stdout)
    speeds, refused = measured["decoding"], measured["refused"]
    assert {"fp32", "int8"} <= speeds.keys()
    assert speeds.keys() | refused.keys() == {"fp32", "bf16", "int8"}
    assert not speeds.keys() & refused.keys()
    for speed in speeds.values():
        assert speed.keys() == SPEED
        assert all(math.isfinite(value) and value > 0 for value in speed.values())
        # A step draws one cell of each codebook; the last frame needs some steps more.
        assert speed["steps_per_s"] > speed["frames_per_s"]
        assert speed["step_ms"] * speed["steps_per_s"] == pytest.approx(1e3)
    assert measured["frames"] == 8
    assert measured["model"]["hash"] == read_record(tiny_model).hash
    assert measured["machine"]["threads"] >= 1


def test_the_floor_counts_the_matrices_that_a_step_reads(tiny_model):
    lm = load_lm(read_record(tiny_model), tiny_model)
    only_text = ("text_projection", "cross_attention.key_value", "embedding")
    read = sum(
        weight.numel()
        for name, weight in lm.named_parameters()
        if weight.dim() == 2 and not any(part in name for part in only_text)
    )
    assert step_weights(lm.config) == read


def test_one_precision_is_shown_as_a_table(command, tiny_model):
    result = command("bench", tiny_model, "--device", "cpu", "--dtype", "int8")
    assert result.exit_code == 0, result.stderr
    assert "int8" in result.stdout
    assert "fp32" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dtype", "int3"], ("There is no dtype 'int3'", "fp32, bf16, int8")),
        (["--device", "abacus"], "'abacus' cannot be used here"),
    ],
)
def test_bad_input_is_explained(refuses, tiny_model, arguments, says):
    refuses("bench", tiny_model, *arguments, says=says)


def test_a_folder_without_a_model_is_refused(refuses, tmp_path):
    refuses("bench", tmp_path, says="holds no model")
