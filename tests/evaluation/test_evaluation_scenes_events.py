import pytest

from soundwright.core.records import Event
from soundwright.evaluation.scenes.events import (
    Matches,
    join_spans,
    match_events,
    match_segments,
    overlap_share,
    sounding,
    whole_span,
)


def events(*rows):
    return [Event(label=label, onset=onset, offset=offset) for label, onset, offset in rows]


def f1(matches):
    part, whole = matches.f1_parts
    return part / whole if whole else None


def test_spans_join_where_they_touch_or_lie_closer_than_the_gap():
    spans = [(1.0, 2.0), (0.0, 0.5), (2.0, 2.5), (2.6, 3.0), (1.2, 1.4)]
    assert join_spans(spans) == [(0.0, 0.5), (1.0, 2.5), (2.6, 3.0)]
    assert join_spans(spans, 0.2) == [(0.0, 0.5), (1.0, 3.0)]
    # A gap of exactly 0.2 s stays, though 0.7 - 0.5 is a little less in binary.
    assert join_spans([(0.0, 0.5), (0.7, 1.0)], 0.2) == [(0.0, 0.5), (0.7, 1.0)]


def test_what_sounds_twice_at_once_sounds_once():
    assert sounding([(0.0, 2.0), (1.0, 3.0), (4.0, 4.5)]) == 3.5
    assert sounding([]) == 0
    assert whole_span([(1.0, 3.0), (0.5, 0.7)]) == (0.5, 3.0)
    assert whole_span([]) is None


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ((0, 4), (1, 2), 1.0),
        ((0, 2), (1, 4), 0.5),
        ((0, 2), (2, 4), 0.0),
        ((0, 1), (3, 4), 0.0),
        ((0, 2), (1, 1), 1.0),
    ],
)
def test_overlap_is_a_share_of_the_shorter_one(one, other, share):
    assert overlap_share(one, other) == overlap_share(other, one) == share


def test_events_match_within_the_collar_and_a_fifth_of_their_length():
    true = events(("rain", 0.0, 5.0), ("dog bark", 1.0, 1.3))
    # The rain may end up to a second early; the bark's onset is 0.21 s late.
    heard = events(("rain", 0.2, 4.0), ("dog bark", 1.21, 1.4))
    assert match_events(true, heard) == Matches(1, 1, 1)
    assert f1(match_events(true, heard)) == 0.5
    assert match_events(true, events(("dog bark", 1.2, 1.5))) == Matches(1, 1, 0)
    assert match_events(true, events(("cat meow", 1.0, 1.3))) == Matches(0, 2, 1)
    late = events(("dog bark", 1.0, 4.0))
    assert match_events(true, late).both == 0
    assert match_events(true, late, offsets=False).both == 1


def test_as_many_events_as_possible_are_paired():
    # The first true event fits both heard ones, the second only the first of them: a greedy
    # pairing in order would leave one alone.
    true = events(("tick", 1.0, 1.1), ("tick", 0.7, 0.8))
    heard = events(("tick", 0.85, 0.95), ("tick", 1.15, 1.25))
    assert match_events(true, heard) == Matches(2, 0, 0)
    assert match_events(true, heard[:1]) == Matches(1, 1, 0)


def test_empty_lists_have_no_f1():
    assert f1(match_events([], [])) is None
    assert f1(match_events([], events(("rain", 0, 1)))) == 0


def test_segments_count_seconds_in_which_a_label_sounds():
    true = events(("rain", 0.0, 2.0), ("dog bark", 2.5, 3.1))
    heard = events(("rain", 1.5, 3.0))
    # True: rain in 0, 1; the bark in 2, 3. Heard: rain in 1, 2.
    assert match_segments(true, heard) == Matches(1, 3, 1)
    assert f1(match_segments(true, true)) == 1


def test_segments_agree_with_sed_eval_where_it_is_installed():
    sed_eval = pytest.importorskip("sed_eval")
    true = events(("a", 0.3, 2.0), ("b", 2.5, 3.1), ("a", 6.0, 9.9))
    heard = events(("a", 1.5, 3.0), ("b", 2.9, 3.0), ("a", 0.2, 0.9), ("b", 8.0, 8.5))
    metric = sed_eval.sound_event.SegmentBasedMetrics(["a", "b"], time_resolution=1.0)
    as_rows = [
        [{"event_label": e.label, "onset": e.onset, "offset": e.offset, "file": "x"} for e in one]
        for one in (true, heard)
    ]
    import dcase_util

    metric.evaluate(*(dcase_util.containers.MetaDataContainer(rows) for rows in as_rows))
    theirs = metric.results_overall_metrics()["f_measure"]["f_measure"]
    assert f1(match_segments(true, heard)) == pytest.approx(theirs)
