import json

import pytest

from soundwright.core.errors import ConfigError, UserError
from soundwright.evaluation.results import read_results
from soundwright.evaluation.sweeps.curves import CURVES, draw_curves, last_values, read_curves
from soundwright.evaluation.sweeps.plan import Sweep, check_rows, list_tables, plan_runs, read_sweep
from soundwright.evaluation.sweeps.running import held_out_clips, prompt_of, read_claim, run_sweep
from soundwright.evaluation.sweeps.table import tabulate
from soundwright.pipelines.systems import read_recipe

TINY = ("training.steps=4", "training.validate_every=2", "training.log_every=1")


def small(**changes):
    values = {
        "name": "small",
        "recipe": "rr-study-tiny",
        "set": TINY,
        "seeds": (0, 1),
        "baseline": "without",
        "rows": (
            {"name": "without", "set": ("task.regularizer.where=none",)},
            {"name": "with", "columns": {"λ": 3}, "set": ("task.regularizer.weight=3",)},
        ),
        "measuring": {"prompts": 3},
        **changes,
    }
    return Sweep.read(values)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweeps") / "small"
    told = []
    run_sweep(small(), out, told.append)
    return out, told


@pytest.mark.parametrize("name", [name for name in list_tables() if name.startswith("rr-")])
def test_every_table_of_rr_that_ships_fits_its_recipe_and_the_study(name):
    sweep = read_sweep(name)
    check_rows(sweep)
    small_scale = read_sweep(name, {"recipe": "rr-study"})
    check_rows(small_scale)
    assert {run.row.name for run in plan_runs(small_scale)} == {row.name for row in sweep.rows}


def test_the_papers_first_table_stands_row_by_row():
    rows = {
        (row.columns["pool"], row.columns["CFG"], row.columns["λ"]): row
        for row in read_sweep("rr-table-1").rows
    }
    published = {key: tuple(row.published.values()) for key, row in rows.items()}
    assert published == {
        ("max", 0.1, 3): (1.43, 1.57, 0.31),
        ("max", 0.1, 4): (1.44, 1.58, 0.30),
        ("max", 0.1, 2): (1.56, 1.57, 0.31),
        ("max", 0.1, 1): (1.58, 1.61, 0.30),
        ("-", 0.2, 0): (1.56, 1.60, 0.30),
        ("-", 0.1, 0): (1.52, 1.60, 0.30),
        ("-", 0.0, 0): (1.69, 1.58, 0.30),
        ("max", 0.2, 3): (1.59, 1.64, 0.30),
        ("average", 0.1, 3): (1.54, 1.59, 0.30),
    }
    for (pool, share, weight), row in rows.items():
        task = read_recipe("rr-sound-300m", row.set).plain()["task"]
        assert task["text_dropping"] == share
        assert task["regularizer"]["weight"] == weight
        assert task["regularizer"]["where"] == ("cfg" if weight else "none")
        assert (
            pool == {"max": "max", "mean": "average"}[task["regularizer"]["pooling"]] or not weight
        )


def test_runs_come_in_whole_pairs_seed_after_seed():
    places = [str(run.place) for run in plan_runs(small(), ("tokens=x",))]
    assert places == ["without/seed-0", "with/seed-0", "without/seed-1", "with/seed-1"]
    last = list(plan_runs(small(), ("tokens=x",)))[-1]
    assert last.overrides == (*TINY, "tokens=x", "task.regularizer.weight=3", "training.seed=1")


def test_a_row_may_have_fewer_seeds_than_its_table():
    rows = ({"name": "without"}, {"name": "with", "seeds": (1, 7)})
    places = [str(run.place) for run in plan_runs(small(rows=rows))]
    assert places == ["without/seed-0", "without/seed-1", "with/seed-1"]


def test_a_sweep_trains_makes_sounds_and_measures(finished):
    out, told = finished
    assert told == [
        "without, seed 0 (1 of 4): training",
        "with, seed 0 (2 of 4): training",
        "without, seed 1 (3 of 4): training",
        "with, seed 1 (4 of 4): training",
    ]
    clips = held_out_clips(read_claim(out), read_recipe("rr-study-tiny"), out).clips
    assert len(clips) == 3
    assert {clip.split for clip in clips} == {"validation"}
    for place in ("without/seed-0", "with/seed-0", "without/seed-1", "with/seed-1"):
        assert (out / "runs" / place / "model" / "model.json").is_file()
        for number, clip in enumerate(clips):
            made = json.loads((out / "sounds" / place / f"{clip.id}.json").read_text())
            assert (made["prompt"], made["seed"]) == (prompt_of(clip), 1000 + number)
        results = read_results(out / "results" / place)
        assert results.paired == 3
        assert {row.name: row.references for row in results.clips} == {
            f"{clip.id}.wav": (clip.id,) for clip in clips
        }
    table = tabulate(small(), out)
    assert table.missing == ()
    measured = {score.metric for score in results.scores if score.value is not None}
    assert {*measured, *CURVES} == set(table.rows[1].cells) - {"rr/cfg/text_mean"}


def test_rows_of_one_seed_see_the_same_batches_and_hidden_texts(finished):
    out, _ = finished
    kinds = {}
    for row in ("without", "with"):
        lines = (out / "runs" / row / "seed-0" / "metrics.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        kinds[row] = [("ce/cfg" in one) for one in records if one["kind"] == "train"]
    assert kinds["without"] == kinds["with"]


def test_what_is_finished_is_not_done_again_and_what_is_lost_is(finished):
    out, _ = finished
    models = sorted(out.glob("runs/*/*/model/lm.safetensors"))
    sounds = sorted(out.glob("sounds/*/*/*.wav"))
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (*models, *sounds)}
    lost = sounds[0]
    lost.with_suffix(".json").unlink()
    run_sweep(small(), out, lambda _: None)
    for path, (time, content) in before.items():
        assert path.read_bytes() == content
        assert path.stat().st_mtime_ns == time or path.parent == lost.parent


def test_rows_may_be_added_but_what_runs_share_may_not_change(finished):
    out, _ = finished
    with pytest.raises(UserError, match="other values of `measuring`"):
        run_sweep(small(measuring={"prompts": 2}), out, lambda _: None)
    changed = small(
        rows=(
            {"name": "without", "set": ("task.regularizer.where=none",)},
            {"name": "with", "set": ("task.regularizer.weight=2",)},
        )
    )
    with pytest.raises(UserError, match="the row with with other overrides"):
        run_sweep(changed, out, lambda _: None)
    with pytest.raises(UserError, match="holds the sweep small"):
        run_sweep(small(name="other"), out, lambda _: None)
    assert read_claim(out) == small()


def test_a_changed_baseline_and_description_are_adopted_and_nothing_is_trained_again(finished):
    out, _ = finished
    without, with_ = small().rows
    told = []
    turned = small(
        baseline="with",
        description="turned round",
        seeds=(1,),
        rows=(with_.model_copy(update={"columns": {"λ": 3.0, "pool": "max"}}), without),
    )
    run_sweep(turned, out, told.append)
    assert told == []
    claim = read_claim(out)
    assert (claim.baseline, claim.description, claim.seeds) == ("with", "turned round", (0, 1))
    assert {row.name: row.columns for row in claim.rows}["with"] == {"λ": 3.0, "pool": "max"}
    table = tabulate(claim, out)
    differences = {row.name: row.cells["ce/cfg"].difference for row in table.rows}
    assert differences["with"] is None
    assert differences["without"] is not None
    run_sweep(small(), out, told.append)
    assert told == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.validation=null", "No clip has the split 'test'"),
        ("data.train.exclude_splits=[]", "trains on clips that it is measured on"),
    ],
)
def test_clips_to_measure_on_are_held_out(finished, override, message):
    out, _ = finished
    with pytest.raises(UserError, match=message):
        held_out_clips(small(), read_recipe("rr-study-tiny", [override]), out)


def test_curves_are_read_and_drawn_the_same_twice(finished, tmp_path):
    out, _ = finished
    curves = read_curves(out, list(plan_runs(small())))
    assert {row: sorted(seeds) for row, seeds in curves.items()} == {
        "without": [0, 1],
        "with": [0, 1],
    }
    assert [record["step"] for record in curves["with"][0]] == [2, 4]
    last = last_values(curves["with"][0])
    assert set(CURVES) <= set(last)
    offset = last["rr/cfg/text_mean"] - last["rr/cfg/audio_mean"]
    assert last["rr/cfg/beyond_means"] == pytest.approx(last["rr/cfg/loss"] - offset**2)
    assert last["rr/cfg/beyond_means"] > 0
    pictures = []
    for name in ("one.svg", "two.svg"):
        draw_curves(tmp_path / name, curves, {"with", "without"})
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    assert pictures[0].count(b"<svg ") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "witout"}, "without"),
        ({"seeds": (0, 0)}, "given twice"),
        ({"rows": ({"name": "a"}, {"name": "a"}), "baseline": "a"}, "two rows are called a"),
        ({"rows": ({"name": "A b"}, {"name": "without"})}, "name"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        small(**changes)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.regularizer.wight=3", "row with of small"),
        ("training.seed=3", "that is `seeds`"),
    ],
)
def test_a_row_that_does_not_fit_is_found_before_anything_is_trained(override, message):
    rows = ({"name": "without"}, {"name": "with", "set": (override,)})
    with pytest.raises(ConfigError, match=message):
        check_rows(small(rows=rows))


def test_an_unknown_table_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="rr-table-1"):
        read_sweep("rr-table1")


def test_a_folder_without_a_sweep_says_so(tmp_path):
    with pytest.raises(UserError, match="holds no sweep"):
        read_claim(tmp_path)
