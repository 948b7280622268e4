import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import qr, sqrtm

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.distances.frechet import (
    decompose,
    expected_bias,
    frechet_distance,
    frechet_distance_of_samples,
)
from soundwright.evaluation.distances.moments import Moments, measure_moments

MANY = 10**9


def gaussian(covariance: np.ndarray, mean: np.ndarray | float = 0.0) -> Moments:
    """Moments of a distribution that is known."""
    width = len(covariance)
    return Moments(MANY, np.zeros(width) + mean, np.asarray(covariance, float) * (MANY - 1))


def normal(number: int, width: int, *names: str | int) -> np.ndarray:
    return numpy_stream(0, "frechet test", *names).standard_normal((number, width))


def by_matrix_root(first: np.ndarray, second: np.ndarray) -> float:
    covariances = [np.cov(rows, rowvar=False) for rows in (first, second)]
    shared = np.trace(sqrtm(covariances[0] @ covariances[1])).real
    apart = np.square(first.mean(0) - second.mean(0)).sum()
    return float(apart + sum(np.trace(matrix) for matrix in covariances) - 2 * shared)


def test_wider_by_two_in_128_dimensions_is_128():
    identity = np.eye(128)
    assert frechet_distance(gaussian(identity), gaussian(4 * identity)).value == pytest.approx(
        128, rel=1e-12
    )


def test_a_shift_of_the_mean_is_its_square():
    shift = normal(1, 16, "shift")[0]
    covariance = np.cov(normal(50, 16), rowvar=False)
    distance = frechet_distance(gaussian(covariance), gaussian(covariance, shift))
    assert distance.value == pytest.approx(shift @ shift, rel=1e-9)
    assert distance.means == pytest.approx(shift @ shift, rel=1e-12)


def test_diagonal_covariances():
    first, second = np.array([1.0, 4.0, 9.0]), np.array([2.0, 0.5, 0.01])
    expected = np.square(np.sqrt(first) - np.sqrt(second)).sum()
    found = frechet_distance(gaussian(np.diag(first)), gaussian(np.diag(second)))
    assert found.value == pytest.approx(expected, rel=1e-12)


def test_covariances_that_do_not_commute():
    first, second = np.array([[2.0, 1.0], [1.0, 2.0]]), np.diag([1.0, 3.0])
    found = frechet_distance(gaussian(first), gaussian(second)).value
    assert found == pytest.approx(8 - 2 * math.sqrt(14), rel=1e-12)
    assert found == pytest.approx(0.5166852265, abs=1e-10)


@pytest.mark.parametrize("decades", [0, 2, 3])
def test_it_equals_the_matrix_root_of_scipy(decades: float):
    spread = 10.0 ** (-decades * np.arange(64) / 64)
    turn = qr(normal(64, 64, "turn"))[0]
    first = normal(300, 64, "first") * spread @ turn
    second = (1.1 * normal(200, 64, "second") + 0.1) * spread @ turn
    found = frechet_distance(measure_moments(first), measure_moments(second))
    assert found.value == pytest.approx(by_matrix_root(first, second), rel=1e-6)
    assert found.estimator == "plug-in"
    assert (found.reference_n, found.generated_n, found.width) == (300, 200, 64)


def test_small_directions_do_not_drown():
    """Standard deviations over eight decades: the sides differ in the small directions only."""
    spread = 10.0 ** (-np.arange(64) / 8)
    other = spread * np.where(np.arange(64) < 16, 1, 3)
    expected = np.square(spread - other).sum()
    diagonal = frechet_distance(gaussian(np.diag(spread**2)), gaussian(np.diag(other**2)))
    assert diagonal.value == pytest.approx(expected, rel=1e-9)
    turn = qr(normal(64, 64, "turn"))[0]
    turned = [gaussian(turn.T * scale**2 @ turn) for scale in (spread, other)]
    assert frechet_distance(*turned).value == pytest.approx(expected, rel=1e-6)


def test_fewer_embeddings_than_dimensions_agree_both_ways_and_say_so():
    first, second = normal(40, 128, "few"), 1.5 * normal(50, 128, "fewer") + 0.2
    samples = frechet_distance_of_samples(first, second)
    moments = frechet_distance(measure_moments(first), measure_moments(second))
    assert samples.value == pytest.approx(moments.value, rel=1e-10)
    assert samples.value == pytest.approx(by_matrix_root(first, second), rel=1e-5)
    assert samples.estimator == moments.estimator == "plug-in, singular covariance"


@pytest.mark.parametrize("sizes", [(40, 300), (300, 40)])
def test_one_singular_side_agrees_both_ways(sizes: tuple[int, int]):
    first, second = (normal(size, 128, size) for size in sizes)
    samples = frechet_distance_of_samples(first, second)
    moments = frechet_distance(measure_moments(first), measure_moments(second))
    assert samples.value == pytest.approx(moments.value, rel=1e-10)
    assert samples.estimator == "plug-in, singular covariance"


def test_singular_covariances_are_refused_where_that_is_asked():
    few = measure_moments(normal(40, 128))
    with pytest.raises(UserError, match="40 embeddings of width 128"):
        frechet_distance(few, few, refuse_singular=True)


@pytest.mark.parametrize("number", [2, 40, 50, 128, 129, 400])
def test_the_distance_to_itself_is_next_to_nothing(number: int):
    data = normal(number, 128, "self")
    for distance in (
        frechet_distance(measure_moments(data), measure_moments(data)),
        frechet_distance_of_samples(data, data),
    ):
        assert 0 <= distance.value < 1e-10


def test_embeddings_that_are_all_alike_have_a_distance_of_means():
    alike = np.ones((5, 3))
    assert frechet_distance_of_samples(alike, alike + 2).value == pytest.approx(12)
    assert frechet_distance(measure_moments(alike), measure_moments(alike + 2)).value == (
        pytest.approx(12)
    )


@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 8), st.floats(0.01, 100))
def test_symmetric_rotated_and_scaled(first_n: int, second_n: int, width: int, scale: float):
    first, second = normal(first_n, width, "a"), 2 * normal(second_n, width, "b") + 0.5
    turn = qr(normal(width, width, "turn"))[0]
    value = frechet_distance_of_samples(first, second).value
    assert frechet_distance_of_samples(second, first).value == pytest.approx(value, rel=1e-9)
    turned = frechet_distance_of_samples(first @ turn, second @ turn)
    assert turned.value == pytest.approx(value, rel=1e-9)
    scaled = frechet_distance_of_samples(scale * first, scale * second)
    assert scaled.value == pytest.approx(scale**2 * value, rel=1e-9)


def test_the_bias_is_what_the_law_says():
    width, n = 128, 1000
    law = expected_bias(np.eye(width), n)
    assert law == pytest.approx(width / n + width * (width + 1) / (4 * (n - 1)))
    assert law == pytest.approx(4.260, abs=5e-4)
    samples = [measure_moments(normal(n, width, "bias", draw)) for draw in range(8)]
    one_sided = [frechet_distance(gaussian(np.eye(width)), sample).value for sample in samples]
    two_sided = [
        frechet_distance(first, second).value
        for first, second in zip(samples[::2], samples[1::2], strict=True)
    ]
    assert np.mean(one_sided) == pytest.approx(4.33, abs=0.05)
    assert np.mean(two_sided) == pytest.approx(8.47, abs=0.1)


def test_the_law_holds_for_other_spectra():
    spread = 10.0 ** (-2 * np.arange(32) / 32)
    covariance = np.diag(spread**2)
    values = [
        frechet_distance(
            gaussian(covariance), measure_moments(normal(2000, 32, "law", draw) * spread)
        ).value
        for draw in range(40)
    ]
    assert np.mean(values) == pytest.approx(expected_bias(covariance, 2000), rel=0.06)


def test_what_has_no_distance_is_refused():
    with pytest.raises(UserError, match="widths 3 and 4"):
        frechet_distance_of_samples(normal(9, 3), normal(9, 4))
    with pytest.raises(UserError, match="1 and 9 embeddings"):
        frechet_distance_of_samples(normal(1, 3), normal(9, 3))
    with pytest.raises(UserError, match="not finite"):
        frechet_distance_of_samples(np.full((9, 3), np.inf), normal(9, 3))


@pytest.mark.parametrize("number", [40, 200])
def test_a_side_that_was_decomposed_before_has_the_same_distance(number: int):
    rows = numpy_stream(0, "decomposed", number).standard_normal((2, number, 64))
    first, second = map(measure_moments, rows)
    expected = frechet_distance(first, second)
    assert frechet_distance(decompose(first), second) == expected
    assert frechet_distance(decompose(first), decompose(second)) == expected
