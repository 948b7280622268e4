import json
import shlex

import pytest


def test_the_tables_are_listed(command):
    result = command("sweep", "list", "--json")
    tables = {table["name"]: table for table in json.loads(result.stdout)["tables"]}
    assert len(tables["rr-table-1"]["rows"]) == 9
    shown = command("sweep", "list").stdout
    assert all(name in shown for name in tables)


def test_a_plan_prints_what_is_to_be_trained(command, tmp_path):
    wanted = ("rr-table-3", "--recipe", "rr-study-tiny", "--seeds", "1", "--out", "small")
    result = command("sweep", "plan", *wanted)
    assert result.exit_code == 0, result.stderr
    lines = [shlex.split(line) for line in result.stdout.splitlines()]
    assert [line[-1] for line in lines] == [
        "small/runs/without-rr/seed-0",
        "small/runs/with-rr/seed-0",
    ]
    assert lines[1][:3] == ["soundwright", "train", "rr-study-tiny"]
    assert {"tokens=small/tokens", "task.regularizer.weight=3", "training.seed=0"} <= set(lines[1])
    # What is printed trains, on the tokens that are there.
    assert command(*lines[0][1:], "--set", "training.steps=2").exit_code == 0
    # Begun with other steps than the sweep's, it is not taken for the sweep's run.
    refused = command("sweep", "run", *wanted)
    assert refused.exit_code == 2
    assert "other values of training.steps" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "rr-table1"), "did you mean 'rr-table-1'?"),
        (("run", "rr-table-1", "--row", "max3"), "max-3"),
        (("run", "rr-table-1", "--recipe", "judge-tiny"), "unknown key"),
        (("run", "rr-table-3"), "names no data"),
        (("table", "nowhere"), "nowhere holds no sweep"),
    ],
)
def test_mistakes_are_explained(refuses, arguments, says):
    refuses("sweep", *arguments, says=says)


def test_many_processes_are_told_what_to_do(refuses, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    refuses("sweep", "run", "rr-table-1", says="soundwright sweep plan")
