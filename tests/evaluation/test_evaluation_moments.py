import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.distances.moments import (
    Moments,
    accumulate_moments,
    cut_blocks,
    measure_moments,
    merge_all,
    merge_moments,
)


def rows(number: int, width: int = 5, seed: int = 0) -> np.ndarray:
    stream = numpy_stream(seed, "moments test")
    return stream.standard_normal((number, width)) @ stream.standard_normal((width, width)) + 3


def digits(moments: Moments) -> tuple[int, bytes, bytes]:
    return moments.n, moments.mean.tobytes(), moments.scatter.tobytes()


def test_moments_are_numpys_mean_and_covariance():
    data = rows(2000)
    moments = accumulate_moments([data])
    assert (moments.n, moments.width) == (2000, 5)
    assert moments.mean == pytest.approx(data.mean(0), rel=1e-12)
    assert moments.covariance == pytest.approx(np.cov(data, rowvar=False), rel=1e-12)


def test_a_mean_far_from_zero_costs_no_digits():
    """Raw sums of squares in single precision lose the variance here."""
    data = rows(3000)
    far = accumulate_moments([data + 1e6])
    assert far.covariance == pytest.approx(np.cov(data, rowvar=False), rel=1e-8)


@given(st.lists(st.integers(0, 700), min_size=1, max_size=8))
def test_pieces_do_not_move_a_digit(sizes: list[int]):
    data = rows(sum(sizes) + 1)
    pieces = np.split(data, np.cumsum(sizes))
    assert digits(accumulate_moments(pieces)) == digits(accumulate_moments([data]))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_do_not_move_a_digit(workers: int):
    data = rows(3000)
    with ThreadPoolExecutor(workers) as pool:
        shared = merge_all(pool.map(measure_moments, cut_blocks([data])))
    assert digits(shared) == digits(accumulate_moments([data]))


def test_the_order_of_files_does_not_count_when_they_are_read_by_key():
    clips = {f"clip-{number}": rows(number % 7, seed=number) for number in range(1, 300)}
    backwards = dict(reversed(clips.items()))
    first, second = (
        accumulate_moments(files[key] for key in sorted(files)) for files in (clips, backwards)
    )
    assert digits(first) == digits(second)


@given(st.integers(1, 40), st.integers(1, 40))
def test_merging_is_measuring_together(first: int, second: int):
    data = rows(first + second)
    merged = merge_moments(measure_moments(data[:first]), measure_moments(data[first:]))
    whole = measure_moments(data)
    assert merged.n == whole.n
    assert merged.mean == pytest.approx(whole.mean, rel=1e-12)
    assert merged.scatter == pytest.approx(whole.scatter, rel=1e-10, abs=1e-12)


def test_memory_is_flat_up_to_a_hundred_thousand_embeddings():
    width = 32

    def stream(number: int) -> Iterator[np.ndarray]:
        source = numpy_stream(0, "stream")
        for _ in range(number // 10):
            yield source.standard_normal((10, width), dtype=np.float32)

    peaks = []
    for number in (1_000, 100_000):
        tracemalloc.start()
        try:
            assert accumulate_moments(stream(number)).n == number
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0]


def test_tensors_and_empty_clips_are_taken():
    clips = [torch.zeros(0, 3), torch.eye(3), torch.zeros(0, 3), torch.ones(2, 3)]
    assert accumulate_moments(clips).n == 5


def test_one_embedding_has_a_mean_and_no_covariance():
    """A clip of one frame gives no NaN."""
    moments = measure_moments([[1.0, 2.0]])
    assert moments.mean.tolist() == [1.0, 2.0]
    assert not moments.scatter.any()
    with pytest.raises(UserError, match="of one embedding"):
        _ = moments.covariance


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([], "no embeddings"),
        ([np.zeros((0, 3))], "no embeddings"),
        ([np.zeros(3)], "shape \\(3,\\)"),
        ([np.ones((2, 3)), np.full((2, 3), np.nan)], "2 of 2 embeddings"),
        ([np.ones((2, 3)), np.ones((2, 4))], "width 4"),
        ([np.ones((600, 3)), np.ones((600, 4))], "width"),
    ],
)
def test_what_cannot_be_measured_is_said(pieces: list[np.ndarray], said: str):
    with pytest.raises(UserError, match=said):
        accumulate_moments(pieces)
