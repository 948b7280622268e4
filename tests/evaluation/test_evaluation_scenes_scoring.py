import pytest

from soundwright.core.records import Event, Scene, SceneEvent
from soundwright.evaluation.scenes.cases import Case
from soundwright.evaluation.scenes.pairs import attribute_of, compare
from soundwright.evaluation.scenes.scoring import Amount, demands_of, score_events


def case(axis, form, *rows, absent=(), pair=""):
    """rows: (label, onset, offset, group)."""
    scene_events = tuple(
        SceneEvent(label=label, onset=on, offset=off, group=group, source="synthesis:" + label)
        for label, on, off, group in rows
    )
    scene = Scene(duration=5, seed=0, events=scene_events, absent=absent, form=form)
    return Case(id="x", axis=axis, prompt="said", scene=scene, pair=pair)


def heard(*rows):
    return [Event(label=label, onset=onset, offset=offset) for label, onset, offset in rows]


PRESENCE = case("presence", "presence", ("rain", 0, 2, 0), ("dog bark", 3, 3.2, 1))
ABSENCE = case("absence", "absence", ("rain", 0, 5, 0), absent=("dog bark",))
COUNT = case("count", "count", ("dog bark", 0, 0.2, 0), ("dog bark", 1, 1.2, 0))
ORDER = case("order", "sequence", ("rain", 0, 2, 0), ("dog bark", 3, 3.2, 1), ("wind", 4, 5, 2))
AT_ONCE = case("overlap", "overlap", ("rain", 0, 5, 0), ("dog bark", 3, 3.2, 1))
APART = case("overlap", "sequence", ("rain", 0, 2, 0), ("wind", 3, 5, 1))
DURATION = case("duration", "duration", ("rain", 1, 3, 0))
ONSET = case("timestamp", "timestamp", ("dog bark", 2, 2.2, 0))
SPAN = case("timestamp", "timestamp", ("rain", 1, 3, 0))


def failed(subject, *rows):
    """The checks that do not hold, `scene` apart."""
    checks = score_events(subject, heard(*rows)).checks
    assert checks["scene"] == all(holds for name, holds in checks.items() if name != "scene")
    return {name for name, holds in checks.items() if not holds} - {"scene"}


@pytest.mark.parametrize(
    "subject", [PRESENCE, ABSENCE, COUNT, ORDER, AT_ONCE, APART, DURATION, ONSET, SPAN]
)
def test_a_scene_is_what_it_demands_and_silence_is_not(subject):
    assert score_events(subject, subject.scene.events).checks["scene"]
    silent = score_events(subject, [])
    assert not silent.checks["scene"]
    assert not silent.checks["presence"]
    assert silent.checks["nothing else"]


def test_presence_asks_for_every_label_and_extras_are_another_matter():
    assert failed(PRESENCE, ("rain", 0, 1)) == {"presence"}
    assert failed(PRESENCE, ("rain", 0, 1), ("dog bark", 0, 1), ("wind", 0, 1)) == {"nothing else"}
    # How often what is not counted sounds is nobody's business.
    assert failed(PRESENCE, ("rain", 0, 1), ("dog bark", 0, 1), ("dog bark", 2, 3)) == set()


def test_absence_is_not_won_by_silence():
    assert failed(ABSENCE) == {"presence", "absence"}
    assert failed(ABSENCE, ("rain", 0, 1), ("dog bark", 2, 3)) == {"absence", "nothing else"}
    assert failed(ABSENCE, ("rain", 0, 1), ("wind", 2, 3)) == {"nothing else"}


def test_a_count_is_exact():
    one = ("dog bark", 0, 0.1)
    assert failed(COUNT, one) == {"count"}
    assert failed(COUNT, one, one, one) == {"count"}
    assert failed(COUNT, one, ("dog bark", 2, 3)) == set()
    for number, error in ((0, -2), (1, -1), (3, 1), (5, 3)):
        amounts = score_events(COUNT, heard(*[one] * number)).amounts
        assert amounts["count bias"] == Amount(error, 1)
        assert amounts["count error"] == Amount(abs(error), 1)


def test_order_is_of_first_onsets_and_one_that_is_missing_is_wrong():
    assert failed(ORDER, ("rain", 0, 5), ("dog bark", 1, 2), ("wind", 2, 3)) == set()
    assert failed(ORDER, ("rain", 1, 5), ("dog bark", 0, 1), ("wind", 2, 3)) == {"order"}
    assert failed(ORDER, ("rain", 0, 5), ("dog bark", 0, 1), ("wind", 2, 3)) == {"order"}
    assert failed(ORDER, ("rain", 0, 5), ("dog bark", 1, 2)) == {"order", "presence"}
    amount = "order where all are heard"
    assert score_events(ORDER, heard(("rain", 0, 5))).amounts[amount] == Amount(0, 0)
    right = heard(("rain", 0, 5), ("dog bark", 1, 2), ("wind", 2, 3))
    assert score_events(ORDER, right).amounts[amount] == Amount(1, 1)


def test_at_once_is_half_of_the_shorter():
    assert failed(AT_ONCE, ("rain", 0, 5), ("dog bark", 1, 2)) == set()
    assert failed(AT_ONCE, ("rain", 0, 1.5), ("dog bark", 1, 2)) == set()
    assert failed(AT_ONCE, ("rain", 0, 1.4), ("dog bark", 1, 2)) == {"overlap"}
    assert failed(APART, ("rain", 0, 2), ("wind", 1, 3)) == {"overlap"}
    assert failed(APART, ("rain", 0, 2), ("wind", 1.5, 3)) == set()
    # A flicker of the rain at the end does not make it last until there; a stretch does.
    assert failed(APART, ("rain", 0, 2), ("wind", 2, 4), ("rain", 4.2, 4.5)) == set()
    assert failed(APART, ("rain", 0, 2), ("wind", 2, 4), ("rain", 4.2, 5)) == {"overlap"}
    assert failed(AT_ONCE, ("rain", 0, 2), ("dog bark", 2, 3), ("rain", 3, 5)) == set()
    assert failed(AT_ONCE, ("rain", 2, 2.3), ("dog bark", 2, 2.3)) == set()


def test_durations_are_of_what_sounds_within_half_a_second():
    assert failed(DURATION, ("rain", 0, 1), ("rain", 3, 4)) == set()
    assert failed(DURATION, ("rain", 0, 2.5)) == set()
    assert failed(DURATION, ("rain", 0, 2.6)) == {"duration"}
    assert score_events(DURATION, heard(("rain", 0, 1.25))).amounts["duration bias"] == Amount(
        -0.75, 1
    )
    assert score_events(DURATION, []).amounts["duration error"] == Amount(2, 1)


def test_times_are_within_half_a_second_and_textures_also_end_in_time():
    assert failed(ONSET, ("dog bark", 1.5, 4)) == set()
    assert failed(ONSET, ("dog bark", 2.6, 2.7)) == {"timestamp"}
    assert failed(ONSET, ("dog bark", 2, 2.1), ("dog bark", 3, 3.1)) == {"count"}
    assert failed(SPAN, ("rain", 1.2, 3.4)) == set()
    assert failed(SPAN, ("rain", 1, 4)) == {"timestamp"}
    amounts = score_events(ONSET, heard(("dog bark", 2.3, 2.4))).amounts
    assert amounts["onset error where heard"].part == pytest.approx(0.3)
    # 0.3 s off is beyond the collar: one missed, one made up.
    assert amounts["event F1 at 200 ms"] == Amount(0, 2)
    assert score_events(ONSET, heard(("dog bark", 2.1, 4))).amounts["event F1 at 200 ms"] == Amount(
        2, 2
    )


def test_labels_found_and_made_up_are_counted():
    amounts = score_events(PRESENCE, heard(("rain", 0, 1), ("wind", 0, 1), ("wind", 2, 3))).amounts
    assert amounts["recall"] == Amount(1, 2)
    assert amounts["precision"] == Amount(1, 2)
    assert amounts["made up"] == Amount(1, 1)


def test_demands_say_a_count_only_where_the_prompt_does():
    assert demands_of(PRESENCE).counts == {}
    assert demands_of(COUNT).counts == {"dog bark": 2}
    once = case("count", "count", ("dog bark", 0, 0.2, 0))
    assert demands_of(once).counts == {"dog bark": 1}
    assert demands_of(ORDER).labels == ("rain", "dog bark", "wind")
    # The order is that of the prompt, not that of the onsets.
    behind = case("overlap", "overlap", ("rain", 0, 5, 1), ("dog bark", 3, 3.2, 0))
    assert demands_of(behind).labels == ("dog bark", "rain")


@pytest.mark.parametrize(
    ("subject", "rows", "number"),
    [
        (COUNT, [("dog bark", 0, 0.1), ("dog bark", 1, 1.1), ("rain", 0, 1)], 2),
        (ORDER, [("rain", 1, 2), ("dog bark", 4, 5)], 3),
        (ORDER, [("rain", 1, 2)], 0),
        (APART, [("rain", 0, 2), ("wind", 1, 5)], 0.5),
        (AT_ONCE, [("rain", 0, 2)], 0),
        (case("absence", "overlap", ("rain", 0, 5, 0), ("wind", 0, 5, 1)), [("wind", 0, 1)], 1),
        (case("distance", "single", ("rain", 0, 5, 0)), [("rain", 0, 1)], -30),
    ],
)
def test_a_pair_compares_the_number_of_its_attribute(subject, rows, number):
    assert attribute_of(subject, heard(*rows), -30.0) == number


def test_a_tie_is_half_a_win():
    assert [compare(2, 1), compare(1, 1), compare(1, 2)] == [1, 0.5, 0]
