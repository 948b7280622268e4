import numpy as np
import pytest

from soundwright.core.records import Event, Scene, SceneEvent
from soundwright.evaluation.scenes.cases import Case
from soundwright.evaluation.scenes.controls import Controls, Fault, Trial
from soundwright.evaluation.scenes.figures import ratio_figure
from soundwright.evaluation.scenes.fitness import judge_fitness, why_withheld
from soundwright.evaluation.scenes.judging import NOTHING, Heard
from soundwright.evaluation.scenes.pair_tables import make_pair_table
from soundwright.evaluation.scenes.results import tabulate
from soundwright.evaluation.scenes.tables import answer, make_table, shuffle
from soundwright.evaluation.statistics.proportions import wilson

COUNT = 8


def barks(count):
    return tuple(Event(label="dog bark", onset=i / 2, offset=i / 2 + 0.1) for i in range(count))


def counting(number, count, pair="", side=""):
    events = tuple(
        SceneEvent(**event.model_dump(), group=0, source="synthesis:dog bark")
        for event in barks(count)
    )
    scene = Scene(duration=5, seed=number, events=events, form="count")
    name = f"{pair}-{side}" if pair else f"count-{number:03d}"
    return Case(id=name, axis="count", prompt=f"{number}", scene=scene, pair=pair)


CASES = [counting(number, 1 + number % 4) for number in range(COUNT)]


def trial(case, mishears=()):
    """A perfect judge's trial, or one that accepts the faults named."""
    true = Heard(events=barks(len(case.scene.events)))
    faults = {
        name: Fault(
            events=barks(len(true.events) + change),
            heard=true if name in mishears else Heard(events=barks(len(true.events) + change)),
        )
        for name, change in (("fewer", -1), ("more", 1))
    }
    return Trial(truth=true, faults=faults)


def controls(trials):
    return Controls(
        trials=trials,
        silence=NOTHING,
        noise=Heard(events=(Event(label="rain", onset=0, offset=5),)),
        constant=Heard(events=barks(1)),
        constant_label="dog bark",
    )


PERFECT = controls({case.id: trial(case) for case in CASES})


def rows(system, against=None, judge=PERFECT):
    table = make_table(answer(CASES, system, judge, against))
    return {row.measure: row for row in table}


def hears(change):
    """A system that makes `change(number, count)` barks for every case."""
    return {
        case.id: (Heard(events=barks(change(number, len(case.scene.events)))),)
        for number, case in enumerate(CASES)
    }


def test_a_system_that_obeys_reaches_the_ceiling_and_controls_stand_beside():
    row = rows(hears(lambda _, count: count))["count"]
    expected = wilson(COUNT, COUNT)
    assert (row.system.value, row.system.low, row.system.high) == (1, expected.low, 1)
    assert row.truth.value == row.corrected.value == 1
    # Counts are 1 2 3 4 1 2 3 4: the constant is right for two of them.
    assert (row.silence.value, row.noise.value, row.constant.value) == (0, 0, 0.25)
    # Eight of eight are no proof of all.
    assert 0.6 < row.corrected.low < 0.9
    assert 0 < row.shuffled.value < 0.5
    assert (row.sensitivity.value, row.specificity.value) == (1, 1)
    assert row.faults == {"fewer": "8/8", "more": "8/8"}


def test_count_errors_are_averaged_with_their_sign_and_without():
    # One too many for each of the first four, one too few for the next two.
    table = rows(hears(lambda number, count: count + (number < 4) - (number in (4, 5))))
    assert table["count"].system.value == 0.25
    assert table["count bias"].system.value == 2 / 8
    assert table["count error"].system.value == 6 / 8
    assert table["count error"].silence.value == np.mean([1, 2, 3, 4] * 2)
    assert table["count bias"].silence.value == -2.5
    assert table["count bias"].sensitivity is None


def test_an_axis_whose_judge_is_not_good_enough_is_withheld_and_prints_no_number():
    deaf = controls({case.id: trial(case, ("fewer", "more")) for case in CASES})
    table = rows(hears(lambda _, count: count), judge=deaf)
    for measure in ("count", "count bias", "count error"):
        row = table[measure]
        assert row.withheld == "withheld: the judge is not good enough (0.00)"
        for name in ("system", "corrected", "truth", "silence", "constant", "noise", "shuffled"):
            assert getattr(row, name) is None
    assert (table["count"].sensitivity.value, table["count"].specificity.value) == (1, 0)
    _, cells = tabulate(list(table.values()), against=False)
    withheld = next(line for line in cells if line[1] == "count")
    assert withheld[3:] == [table["count"].withheld, "", "", "", "", "", "", "1.00", "0.00"]


def test_half_a_judge_is_just_good_enough_and_what_it_says_is_corrected():
    half = controls({case.id: trial(case, ("more",)) for case in CASES})
    judge = judge_fitness("count", CASES, half)
    assert (judge.found, judge.rejected) == ((8, 8), (8, 16))
    assert judge.faults == {"fewer": "8/8", "more": "0/8"}
    # Observed 0.75 with sensitivity 1 and specificity 0.5: (0.75 - 0.5) / 0.5 = 0.5.
    row = rows(hears(lambda number, count: count + (number < 2)), judge=half)["count"]
    assert row.system.value == 0.75
    assert row.corrected.value == 0.5
    assert row.corrected.low <= 0.5 <= row.corrected.high


@pytest.mark.parametrize(
    ("found", "rejected", "fit"),
    [((3, 4), (3, 4), True), ((3, 4), (2, 4), False), ((4, 4), (0, 0), False)],
)
def test_a_judge_is_fit_from_a_youden_index_of_a_half(found, rejected, fit):
    assert (why_withheld(found, rejected) == "") is fit


def test_a_fault_that_does_not_break_a_check_is_told_apart():
    harmless = trial(CASES[0]).model_copy(
        update={"faults": {"add": Fault(events=barks(1), heard=Heard(events=barks(2)))}}
    )
    judge = judge_fitness("count", CASES[:1], controls({CASES[0].id: harmless}))
    assert (judge.found, judge.rejected, judge.faults) == ((1, 1), (0, 0), {})
    assert judge.cluttered == {"add": "0/1"}


def test_several_samples_give_the_mean_and_the_best_of_them():
    system = {case.id: tuple(Heard(events=barks(count)) for count in (1, 2)) for case in CASES}
    row = rows(system)["count"]
    # Counts 1 and 2 are met by one of two samples, 3 and 4 by none.
    assert row.system.value == 0.25
    assert row.best_of_k.value == 0.5
    assert rows(hears(lambda _, count: count))["count"].best_of_k is None


def test_two_systems_are_compared_prompt_by_prompt():
    right, wrong = hears(lambda _, count: count), hears(lambda n, count: count + (n == 3))
    row = rows(right, wrong)["count"]
    assert (row.against.value, row.difference.value) == (7 / 8, 1 / 8)
    assert row.difference.low <= 0 <= 1 / 8 <= row.difference.high
    same = rows(right, right)["count"].difference
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_shuffling_never_gives_a_case_its_own_sound():
    takes = {case.id: (Heard(nearness_db=float(number)),) for number, case in enumerate(CASES)}
    dealt = shuffle(CASES, takes)
    for number, case in enumerate(CASES):
        got = [heard.nearness_db for heard in dealt[case.id]]
        assert sorted(got) == sorted(set(range(COUNT)) - {number})
    assert shuffle(CASES[:1], takes) == {CASES[0].id: []}


def test_a_ratio_is_of_sums_and_its_interval_over_prompts():
    figure = ratio_figure(np.array([1.0, 0.0, 3.0]), np.array([2.0, 0.0, 4.0]))
    assert figure.value == 4 / 6
    assert figure.units == 2
    assert figure.low <= figure.value <= figure.high
    alone = ratio_figure(np.array([1.0]), np.array([2.0]))
    assert (alone.value, alone.low, alone.high) == (0.5, None, None)


PAIRS = [
    (counting(n, 3, f"count-pair-{n:03d}", "a"), counting(n, 1, f"count-pair-{n:03d}", "b"))
    for n in range(4)
]


def pair_row(counts, judge_counts=(3, 1), against=None):
    """counts: barks in the first and the second sound of each pair."""

    def takes(values):
        return {
            case.id: (Heard(events=barks(count)),)
            for pair, two in zip(PAIRS, values, strict=True)
            for case, count in zip(pair, two, strict=True)
        }

    trials = {
        case.id: Trial(truth=Heard(events=barks(count)), faults={})
        for pair in PAIRS
        for case, count in zip(pair, judge_counts, strict=True)
    }
    other = None if against is None else takes(against)
    (row,) = make_pair_table(PAIRS, takes(counts), controls(trials), other)
    return row


def test_a_pair_is_won_where_the_number_moves_with_the_words_and_a_tie_is_half():
    row = pair_row([(3, 1), (4, 2), (2, 2), (1, 3)])
    assert (row.axis, row.measure, row.prompts) == ("count", "pairs", 8)
    assert row.outcomes == "2/1/1"
    assert row.system.value == 2.5 / 4
    assert row.truth.value == 1
    # Deaf systems are at a half, whatever they make.
    assert (row.silence.value, row.constant.value, row.noise.value) == (0.5, 0.5, 0.5)
    assert row.corrected.value == 2.5 / 4


def test_pairs_are_withheld_where_the_judge_hears_no_difference_in_the_truth():
    row = pair_row([(3, 1)] * 4, judge_counts=(1, 1))
    assert row.withheld == "withheld: the judge is not good enough (0.00)"
    assert row.system is None
    assert row.outcomes == ""


def test_pairs_of_two_systems_are_compared_pair_by_pair():
    row = pair_row([(3, 1)] * 4, against=[(3, 1), (3, 1), (3, 1), (1, 3)])
    assert row.difference.value == 0.25
    assert row.against.value == 0.75
