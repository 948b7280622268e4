"""Clips cut where somebody talks."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwright.corpus.speech_cuts import Part, divide


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], [(0, 10, False)]),
        ([(0, 10)], [(0, 10, True)]),
        ([(4, 6)], [(0, 4, False), (4, 6, True), (6, 10, False)]),
        ([(0.5, 2)], [(0, 2, True), (2, 10, False)]),
        ([(2, 3), (3.5, 5)], [(0, 2, False), (2, 5, True), (5, 10, False)]),
        ([(2, 9.5)], [(0, 2, False), (2, 10, True)]),
        ([(0.9, 9.2)], [(0, 10, True)]),
    ],
)
def test_parts(spans, expected):
    assert divide(spans, 10.0, 1.0) == tuple(Part(*one) for one in expected)


@given(st.lists(st.floats(0, 10), max_size=12), st.floats(0.1, 3))
def test_parts_cover_the_clip_and_speech_is_never_outside_of_its_parts(edges, shortest):
    edges = sorted(set(edges))
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    parts = divide(spans, 10.0, shortest)
    assert parts[0].start == 0
    assert parts[-1].end == 10
    assert all(one.end == other.start for one, other in pairwise(parts))
    for part in parts:
        if not part.is_speech:
            assert all(end <= part.start or begin >= part.end for begin, end in spans)
            assert part.end - part.start >= min(shortest, 10.0) or not spans
