import json
import shutil

import numpy as np
import pytest

from soundwright.core.files import write_json
from soundwright.evaluation.cards import MetricCard
from soundwright.evaluation.results import ClipRow, Results, Score, SideSummary, write_results
from soundwright.evaluation.statistics.seeds import seed_interval, seeded_difference
from soundwright.evaluation.sweeps.plan import Sweep, plan_runs
from soundwright.evaluation.sweeps.table import tabulate, write_table
from soundwright.pipelines.models import RECORD_FILE

SWEEP = Sweep.read(
    {
        "name": "made-up",
        "description": "Numbers with known differences",
        "recipe": "rr-study-tiny",
        "baseline": "old",
        "rows": [
            {"name": "old"},
            {"name": "better", "columns": {"λ": 3}, "published": {"FAD": 1.43}},
            {"name": "same", "columns": {"λ": 1}},
        ],
    }
)
SHIFT = {"old": 0.0, "better": 0.3, "same": 0.0}
PROMPTS = 40


def card(metric):
    return MetricCard(
        metric=metric,
        kind=metric.partition(":")[0],
        revision=1,
        encoder="x",
        encoder_identity="0",
        encoder_facts={},
        sample_rate=16_000,
        estimator="mean",
        rows="sound",
        pairing="id",
        generated_clips=PROMPTS,
        generated_rows=PROMPTS,
        reference_clips=PROMPTS,
        reference_rows=PROMPTS,
        reference_hash="0",
    )


def results_of(row, seed):
    """A match of every prompt that depends on prompt, seed and row, and a distance of the set."""
    random = np.random.default_rng([seed, list(SHIFT).index(row)])
    hardness = np.random.default_rng(7).normal(size=PROMPTS)
    drawn = hardness + 0.02 * seed + SHIFT[row] + 0.05 * random.normal(size=PROMPTS)
    match = [float(value) for value in drawn]
    side = SideSummary(path="x", clips=PROMPTS, measured=PROMPTS, hash="0")
    return Results(
        generated=side,
        reference=side,
        pairing="id",
        paired=PROMPTS,
        scores=(
            Score(metric="match:x", better="higher", value=np.mean(match), card=card("match:x")),
            Score(metric="fd:x", better="lower", value=5.0 + seed - SHIFT[row], card=card("fd:x")),
        ),
        controls={},
        warnings=(),
        problem_counts={},
        problems=(),
        clips=tuple(
            ClipRow(
                name=f"{number:03d}",
                prompt="a dog barks",
                group=str(number),
                pcm_hash=f"{number}",
                references=(),
                values={"match:x": value},
            )
            for number, value in enumerate(match)
        ),
    )


@pytest.fixture
def measured(tmp_path):
    for run in plan_runs(SWEEP):
        write_results(tmp_path / "results" / run.place, results_of(run.row.name, run.seed))
        metrics = tmp_path / "runs" / run.place / "metrics.jsonl"
        metrics.parent.mkdir(parents=True)
        metrics.write_text(
            "".join(
                json.dumps({"step": step, "kind": "validation", "ce/cfg": 4.0 - step + run.seed})
                + "\n"
                for step in (1, 2)
            )
        )
    return tmp_path


def test_known_differences_come_back_with_their_intervals(measured):
    table = tabulate(SWEEP, measured)
    rows = {row.name: row.cells for row in table.rows}
    better = rows["better"]["match:x"].difference
    assert better.value == pytest.approx(0.3, abs=0.05)
    assert 0 < better.interval.low < 0.3 < better.interval.high
    assert better.stands
    assert not rows["same"]["match:x"].difference.stands
    assert rows["better"]["fd:x"].difference.value == pytest.approx(-0.3)
    assert rows["old"]["match:x"].difference is None
    assert table.metrics["fd:x"] == "lower"
    assert table.missing == ()


def write_recipes(folder, rows):
    for run in plan_runs(SWEEP):
        place = folder / "runs" / run.place
        settings = {"weight": 3, "layer": rows.get(run.row.name)}
        (place / "recipe.json").write_text(json.dumps({"task": {"regularizer": settings}}))
        record = {
            "step": 2,
            "kind": "validation",
            "rr/cfg/correlation": 0.1 * run.seed,
            "ce/cfg": 1,
        }
        (place / "metrics.jsonl").write_text(json.dumps(record) + "\n")


def test_of_other_states_there_is_no_difference(measured):
    write_recipes(measured, {"same": 1})
    rows = {row.name: row.cells for row in tabulate(SWEEP, measured).rows}
    assert rows["better"]["rr/cfg/correlation"].difference.value == 0
    assert rows["same"]["rr/cfg/correlation"].difference is None
    assert rows["same"]["rr/cfg/correlation"].mean == pytest.approx(0.1)
    assert rows["same"]["ce/cfg"].difference is not None
    assert rows["same"]["match:x"].difference is not None


def test_a_run_that_is_only_trained_tells_of_its_training(measured):
    for run in plan_runs(SWEEP):
        if run.row.name == "same":
            shutil.rmtree(measured / "results" / run.place)
            if run.seed < 2:
                write_json(measured / "runs" / run.place / "model" / RECORD_FILE, {})
    table = tabulate(SWEEP, measured)
    (same,) = (row for row in table.rows if row.name == "same")
    assert {name: sorted(cell.seeds) for name, cell in same.cells.items()} == {"ce/cfg": [0, 1]}
    assert same.cells["ce/cfg"].difference.interval is not None
    assert table.missing == ("same/seed-0", "same/seed-1", "same/seed-2")


def test_the_statistics_are_those_of_the_room_for_statistics(measured):
    table = tabulate(SWEEP, measured)
    cells = {row.name: row.cells for row in table.rows}["same"]
    values = {
        row: np.array(
            [[clip.values["match:x"] for clip in results_of(row, seed).clips] for seed in (0, 1, 2)]
        )
        for row in ("same", "old")
    }
    expected = seeded_difference(values["same"], values["old"], paired_seeds=True).crossed
    found = cells["match:x"].difference.interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    expected = seed_interval([5, 6, 7], [5, 6, 7], paired_seeds=True)
    found = cells["fd:x"].difference.interval
    assert (found.low, found.high) == (expected.low, expected.high)
    # Of training there is the last record.
    assert cells["ce/cfg"].seeds == {0: 2.0, 1: 3.0, 2: 4.0}


def test_runs_that_are_missing_are_named_and_pairs_are_compared(measured):
    for name in ("better/seed-2", "old/seed-1"):
        (measured / "results" / name / "results.json").unlink()
    table = tabulate(SWEEP, measured)
    assert set(table.missing) == {"better/seed-2", "old/seed-1"}
    better = {row.name: row.cells for row in table.rows}["better"]["match:x"]
    assert set(better.seeds) == {0, 1}
    assert better.difference.interval is None
    text = write_table(table, measured).read_text()
    assert "one seed" in text
    assert "Not measured yet: " in text


def test_results_outlive_the_run_that_they_were_measured_on(measured):
    (measured / "runs" / "same" / "seed-0" / "metrics.jsonl").unlink()
    cells = {row.name: row.cells for row in tabulate(SWEEP, measured).rows}["same"]
    assert set(cells["match:x"].seeds) == {0, 1, 2}
    assert set(cells["ce/cfg"].seeds) == {1, 2}


def test_the_page_shows_columns_and_published_figures_apart(measured):
    text = write_table(tabulate(SWEEP, measured), measured).read_text()
    assert "## match:x (higher is better)" in text
    assert "|  | λ | mean | seeds | difference | 95 % |" in text
    assert "- better: FAD 1.43" in text
    assert json.loads((measured / "table.json").read_text())["baseline"] == "old"
