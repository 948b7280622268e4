"""Gaps: pieces that keep away from cues, and where all seconds went."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwright.core.errors import ConfigError
from soundwright.corpus.gaps import Account, GapConfig, account_seconds, find_pieces
from soundwright.corpus.records import Cue, Piece

DEFAULT = GapConfig()


def cue(start: float, end: float, text: str = "hello") -> Cue:
    return Cue(start=start, end=end, text=text)


def spans(pieces: tuple[Piece, ...]) -> list[tuple[float, float, float]]:
    return [(piece.start, piece.end, piece.segment) for piece in pieces]


def test_pieces_lie_between_cues_and_keep_away_from_them():
    cues = [cue(2, 4), cue(4.5, 6), cue(7.4, 8), cue(9.6, 10)]
    assert spans(find_pieces(cues, 12.0, DEFAULT)) == [
        (0.0, 1.75, 0.0),
        (8.25, 9.35, 8.25),
        (10.25, 12.0, 10.25),
    ]
    assert account_seconds(cues, 12.0, DEFAULT) == Account(
        duration=12.0, cues=4.5, margins=2.0, ends=0.0, short=0.9, kept=4.6
    )


def test_long_stretches_are_divided_evenly():
    pieces = find_pieces([cue(23.25, 24)], None, DEFAULT)
    assert spans(pieces) == [(0.0, 7.666, 0.0), (7.666, 15.333, 0.0), (15.333, 23.0, 0.0)]
    assert spans(find_pieces([], 10.0, DEFAULT)) == [(0.0, 10.0, 0.0)]
    assert spans(find_pieces([], 10.001, DEFAULT)) == [(0.0, 5.0, 0.0), (5.0, 10.001, 0.0)]


def test_long_segments_are_cut_where_pieces_end():
    pieces = find_pieces([], 150.0, DEFAULT)
    assert [piece.segment for piece in pieces] == [0.0] * 6 + [60.0] * 6 + [120.0] * 3
    assert pieces[-1].end == 150.0


@pytest.mark.parametrize(
    ("head", "tail", "expected"),
    [
        ("keep", "keep", [(0.0, 4.75), (6.25, 7.75), (9.25, 15.0)]),
        ("drop", "keep", [(6.25, 7.75), (9.25, 15.0)]),
        ("keep", "drop", [(0.0, 4.75), (6.25, 7.75)]),
        ("drop", "drop", [(6.25, 7.75)]),
    ],
)
def test_head_and_tail(head, tail, expected):
    config = GapConfig(head=head, tail=tail)
    cues = [cue(5, 6), cue(8, 9)]
    assert [(piece.start, piece.end) for piece in find_pieces(cues, 15.0, config)] == expected
    account = account_seconds(cues, 15.0, config)
    dropped = (head == "drop") * 4.75 + (tail == "drop") * 5.75
    assert (account.ends, account.kept) == (dropped, 12.0 - dropped)


def test_a_recording_without_cues_is_head_and_tail():
    assert spans(find_pieces([], 5.0, DEFAULT)) == [(0.0, 5.0, 0.0)]
    for config in (GapConfig(head="drop"), GapConfig(tail="drop")):
        assert find_pieces([], 5.0, config) == ()
        assert account_seconds([], 5.0, config).ends == 5.0


def test_of_an_unknown_duration_nothing_after_the_last_cue_is_taken():
    cues = [cue(3, 4), cue(8, 9, "[Applause]")]
    assert spans(find_pieces(cues, None, DEFAULT)) == [(0.0, 2.75, 0.0), (4.25, 9.0, 4.25)]
    assert account_seconds(cues, None, DEFAULT).duration == 9.0
    assert find_pieces([], None, DEFAULT) == ()


@pytest.mark.parametrize(
    ("sounds", "expected"),
    [
        ("block", [(0.0, 1.75), (3.25, 4.75), (6.25, 8.0)]),
        ("music", [(0.0, 1.75), (3.25, 8.0)]),
        ("pass", [(0.0, 8.0)]),
    ],
)
def test_cues_of_sounds_block_as_asked(sounds, expected):
    cues = [cue(2, 3, "[Music]"), cue(5, 6, "(dog barks)")]
    pieces = find_pieces(cues, 8.0, GapConfig(sounds=sounds))
    assert [(piece.start, piece.end) for piece in pieces] == expected


def test_cues_beyond_the_end_and_without_length():
    assert spans(find_pieces([cue(4, 4), cue(9, 20)], 10.0, DEFAULT)) == [
        (0.0, 3.75, 0.0),
        (4.251, 8.75, 4.251),
    ]
    account = account_seconds([cue(4, 4), cue(9, 20)], 10.0, DEFAULT)
    assert (account.cues, account.margins, account.kept) == (1.001, 0.75, 8.249)


def test_times_are_whole_milliseconds_away_from_cues():
    pieces = find_pieces([cue(2.0004, 3.0004)], 5.0009, DEFAULT)
    assert spans(pieces) == [(0.0, 1.75, 0.0), (3.251, 5.0, 3.251)]
    assert find_pieces([cue(1.001, 1.001)], 9.0, GapConfig(margin=0.001))[0].end == 1.0


@pytest.mark.parametrize(
    "values",
    [
        {"min_duration": 6.0, "max_duration": 10.0},
        {"max_segment": 5.0},
        {"margin": -1.0},
        {"min_duration": 0.0},
        {"sounds": "all"},
    ],
)
def test_configurations_that_cannot_be(values):
    with pytest.raises(ConfigError):
        GapConfig.read(values)


seconds = st.floats(0, 200, allow_nan=False)
some_cues = st.lists(
    st.builds(
        lambda start, length, text: cue(start, start + length, text),
        seconds,
        st.floats(0, 20),
        st.sampled_from(["hello", "[Music]", "[Applause]", ""]),
    ),
    max_size=12,
)
configs = st.builds(
    lambda least, factor, margin, segment, head, tail, sounds: GapConfig(
        min_duration=least,
        max_duration=least * factor,
        margin=margin,
        max_segment=least * factor * segment,
        head=head,
        tail=tail,
        sounds=sounds,
    ),
    st.floats(0.1, 5),
    st.floats(2, 9),
    st.floats(0, 2),
    st.floats(1, 5),
    st.sampled_from(["keep", "drop"]),
    st.sampled_from(["keep", "drop"]),
    st.sampled_from(["block", "music", "pass"]),
)
SLACK = 1e-6


@given(some_cues, st.none() | st.floats(0, 250), configs, st.randoms(use_true_random=False))
def test_what_holds_of_all_pieces(cues, duration, config, random):
    pieces = find_pieces(cues, duration, config)
    known = max((one.end for one in cues), default=0) + 0.001 if duration is None else duration
    for piece in pieces:
        assert config.min_duration - SLACK <= piece.duration <= config.max_duration + SLACK
        assert piece.segment <= piece.start
        assert piece.end - piece.segment <= config.max_segment + SLACK
        assert 0 <= piece.start < piece.end <= known + SLACK
        assert piece.start == round(piece.start, 3)
        assert piece.end == round(piece.end, 3)
        for one in cues:
            if one.text in ("hello", "") or config.sounds == "block":
                before = piece.end <= one.start - config.margin + SLACK
                assert before or piece.start >= one.end + config.margin - SLACK
    for left, right in pairwise(pieces):
        assert left.end <= right.start
        assert (right.segment == left.segment) <= (left.end == right.start)
    shuffled = [*cues, *cues[:3]]
    random.shuffle(shuffled)
    assert find_pieces(shuffled, duration, config) == pieces
    account = account_seconds(shuffled, duration, config)
    assert account == account_seconds(cues, duration, config)
    parts = (account.cues, account.margins, account.ends, account.short, account.kept)
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(account.duration)
    assert sum(piece.duration for piece in pieces) == pytest.approx(account.kept)
