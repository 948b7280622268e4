from collections import Counter

import pytest

from soundwright.core.errors import UserError
from soundwright.evaluation.scenes.cases import (
    AXES,
    BENCHMARK_NAME,
    PROMPTS_NAME,
    read_benchmark,
    write_benchmark,
)
from soundwright.evaluation.scenes.composing import Workshop
from soundwright.evaluation.scenes.faults import make_faults
from soundwright.evaluation.scenes.pairs import PAIR_AXES, attribute_of, nearness
from soundwright.evaluation.scenes.prompts import make_benchmark
from soundwright.evaluation.scenes.scoring import labels_of, score_events
from soundwright.synthesis.rendering import render_scene

LABELS = ("alarm beep", "chainsaw", "clock tick", "rain", "wind", "water drop")
NUMBER, PAIRS = 6, 2


@pytest.fixture(scope="module")
def workshop():
    return Workshop(LABELS, 5.0)


@pytest.fixture(scope="module")
def benchmark(workshop):
    return make_benchmark(workshop, number=NUMBER, pairs=PAIRS, seed=3)


def test_every_axis_has_its_cases_and_every_scene_is_what_it_demands(benchmark):
    singles = Counter(case.axis for case in benchmark.singles)
    assert singles == dict.fromkeys(set(AXES) - {"distance"}, NUMBER)
    assert Counter(one.axis for one, _ in benchmark.pairs) == dict.fromkeys(PAIR_AXES, PAIRS)
    assert benchmark.header.left_out == ()
    for case in benchmark.singles:
        assert score_events(case, case.scene.events).checks["scene"], case.id
        for event in case.scene.events:
            assert 0 <= event.onset < event.offset <= 5.0
        assert set(labels_of(case.scene)) <= set(LABELS)


def test_an_axis_covers_what_it_asks_for(benchmark):
    by_axis = {axis: [c for c in benchmark.singles if c.axis == axis] for axis in AXES}
    assert [len(labels_of(c.scene)) for c in by_axis["presence"]] == [1, 2, 3, 4, 5, 1]
    assert [len(c.scene.events) for c in by_axis["count"]] == [1, 2, 3, 4, 5, 6]
    assert [len(labels_of(c.scene)) for c in by_axis["order"]] == [2, 3, 4, 2, 3, 4]
    assert [c.scene.form for c in by_axis["overlap"]] == ["overlap", "sequence"] * 3
    assert all(c.scene.absent[0] not in labels_of(c.scene) for c in by_axis["absence"])
    lengths = [c.scene.events[0].offset - c.scene.events[0].onset for c in by_axis["duration"]]
    assert lengths == pytest.approx([1, 2, 3, 4, 1, 2])
    assert all(
        c.scene.events[0].onset == int(c.scene.events[0].onset) for c in by_axis["timestamp"]
    )


def test_prompts_of_one_axis_differ(benchmark):
    for axis in AXES:
        prompts = [case.prompt for case in benchmark.singles if case.axis == axis]
        assert len(set(prompts)) == len(prompts)


def test_the_same_seed_makes_the_same_benchmark_and_another_one_does_not(workshop, benchmark):
    again = make_benchmark(workshop, axes=("count",), number=2, pairs=1, seed=3)
    assert list(again.singles) == [c for c in benchmark.singles if c.axis == "count"][:2]
    assert again.pairs == tuple(pair for pair in benchmark.pairs if pair[0].axis == "count")[:1]
    other = make_benchmark(workshop, axes=("count",), number=2, pairs=1, seed=4)
    assert other.identity != again.identity


def test_two_prompts_of_a_pair_differ_in_one_attribute(benchmark):
    for first, second in benchmark.pairs:
        assert first.pair == second.pair
        words, others = first.prompt.split(), second.prompt.split()
        if first.axis == "order":
            one, other = first.prompt.split(", then ")
            assert second.prompt == f"{other}, then {one}"
        else:
            same = [a for a, b in zip(words, others, strict=False) if a == b]
            assert len(same) >= min(len(words), len(others)) - 3
        if first.axis == "count":
            assert first.prompt.endswith("three times")
            assert second.prompt == first.prompt.replace("three times", "once")
        values = [attribute_of(first, case.scene.events, 0.0) for case in (first, second)]
        assert values[0] > values[1] or first.axis == "distance"


def test_what_is_near_measures_nearer_than_what_is_far(benchmark):
    for near, far in (pair for pair in benchmark.pairs if pair[0].axis == "distance"):
        assert nearness(render_scene(near.scene)) > nearness(render_scene(far.scene)) + 5


def test_a_benchmark_round_trips_through_its_files(benchmark, tmp_path):
    write_benchmark(tmp_path, benchmark)
    assert read_benchmark(tmp_path) == benchmark
    assert read_benchmark(tmp_path / BENCHMARK_NAME).identity == benchmark.identity
    lines = (tmp_path / PROMPTS_NAME).read_text().splitlines()
    assert lines == list(benchmark.prompts)
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("text", ["", "{}\n", "no json\n", '{"format": "soundwright-scenes"}\n'])
def test_what_is_no_benchmark_is_refused(tmp_path, text):
    (tmp_path / BENCHMARK_NAME).write_text(text)
    with pytest.raises(UserError, match="no benchmark of this version"):
        read_benchmark(tmp_path)


def test_damaged_cases_are_refused(benchmark, tmp_path):
    write_benchmark(tmp_path, benchmark)
    lines = (tmp_path / BENCHMARK_NAME).read_text().splitlines(keepends=True)
    (tmp_path / "twice.jsonl").write_text("".join([*lines, lines[1]]))
    with pytest.raises(UserError, match="'presence-000' 2 times"):
        read_benchmark(tmp_path / "twice.jsonl")
    (tmp_path / "half.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match="has 1 cases"):
        read_benchmark(tmp_path / "half.jsonl")
    (tmp_path / "none.jsonl").write_text(lines[0])
    with pytest.raises(UserError, match="holds no case"):
        read_benchmark(tmp_path / "none.jsonl")


def test_labels_that_cannot_make_an_axis_leave_it_out():
    made = make_benchmark(Workshop(("rain", "wind")), number=2, pairs=0)
    assert made.header.left_out == ("count",)
    with pytest.raises(UserError, match="can make none"):
        make_benchmark(Workshop(("rain",)), axes=("count",), number=1, pairs=1)
    with pytest.raises(UserError, match="did you mean 'rain'"):
        Workshop(("rian",))


def test_each_fault_breaks_what_it_is_meant_to_break_and_nothing_that_it_is_not(
    benchmark, workshop
):
    breaks = {
        "drop": {"presence"},
        "add": {"nothing else"},
        "exchange": {"presence", "nothing else"},
        "swap": {"order"},
        "fewer": {"count"},
        "more": {"count"},
        "apart": {"overlap"},
        "together": {"overlap"},
        "shorter": {"duration"},
        "longer": {"duration"},
        "earlier": {"timestamp"},
        "later": {"timestamp"},
    }
    seen = set()
    for case in benchmark.singles[::2] + benchmark.singles[1::6]:
        for name, scene in make_faults(case, workshop).items():
            checks = score_events(case, scene.events).checks
            broken = {check for check, holds in checks.items() if not holds}
            assert breaks[name] | {"scene"} <= broken, (case.id, name)
            if name in ("fewer", "more", "shorter", "longer", "earlier", "later", "swap"):
                assert broken == breaks[name] | {"scene"}, (case.id, name)
            assert all(0 <= event.onset <= event.offset <= 5.001 for event in scene.events)
            seen.add(name)
    assert seen == set(breaks)


def test_faults_are_the_same_every_time(benchmark, workshop):
    case = benchmark.singles[1]
    assert make_faults(case, workshop) == make_faults(case, workshop)
