import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import qr
from scipy.stats import norm, qmc

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.distances import kernel
from soundwright.evaluation.distances.kernel import kernel_distance, median_distance


def normal(number: int, width: int, *names: str | int) -> np.ndarray:
    return numpy_stream(0, "kernel test", *names).standard_normal((number, width))


def literal(first: np.ndarray, second: np.ndarray, bandwidth: float) -> float:
    """The definition, pair by pair."""

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return math.exp(-((x - y) ** 2).sum() / (2 * bandwidth**2 + 1e-8))

    def within(rows: np.ndarray) -> float:
        pairs = [(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]
        return sum(k(x, y) for x, y in pairs) / len(pairs)

    between = sum(k(x, y) for x in first for y in second) / (len(first) * len(second))
    return 100 * (within(first) + within(second) - 2 * between)


def test_two_points_against_two():
    found = kernel_distance([[0.0], [1.0]], [[0.0], [2.0]], bandwidth=1.0)
    assert found.value == pytest.approx(-43.23324, abs=1e-5)
    assert found.bandwidth_of == "given"


def test_it_is_the_definition():
    first, second = normal(13, 4, "a"), normal(17, 4, "b") + 0.5
    found = kernel_distance(first, second)
    assert found.bandwidth == pytest.approx(median_distance(first), rel=1e-12)
    assert found.value == pytest.approx(literal(first, second, found.bandwidth), rel=1e-9)
    assert (found.reference_n, found.generated_n) == (13, 17)


def test_gaussians_have_the_discrepancy_of_their_integrals():
    """d = 2 and all deviations, the shift and σ of 1: MMD² = 0.1023455."""

    def mean_kernel(shift: float) -> float:
        return 1 / 3 * math.exp(-(shift**2) / 6)

    expected = 2 * mean_kernel(0) - 2 * mean_kernel(1)
    assert expected == pytest.approx(0.1023455, abs=1e-7)
    points = [norm.ppf(qmc.Sobol(2, seed=seed).random(4096)) for seed in (1, 2)]
    found = kernel_distance(points[0], points[1] + [1.0, 0.0], bandwidth=1.0)
    assert found.value / 100 == pytest.approx(expected, abs=1e-3)


def test_the_expectation_for_equal_distributions_is_zero():
    values = [
        kernel_distance(normal(20, 3, "x", draw), normal(30, 3, "y", draw)).value
        for draw in range(200)
    ]
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0 < max(values)


def test_the_median_is_the_lower_one():
    assert median_distance([[0.0], [1.0], [4.0]]) == pytest.approx(3)
    # Distances 1, 2, 3, 4, 6, 7: NumPy would say 3.5.
    assert median_distance([[0.0], [1.0], [3.0], [7.0]]) == pytest.approx(3)
    assert torch.median(torch.tensor([1.0, 2.0, 3.0, 4.0])).item() == 2.0


@pytest.mark.parametrize("step", [0.0, 1.0])
def test_the_median_is_exact_in_bounded_memory(monkeypatch: pytest.MonkeyPatch, step: float):
    rows = normal(150, 6)
    if step:
        rows = np.round(rows / 2) * step  # many distances are equal
    whole = median_distance(rows)
    assert whole == pytest.approx(torch.pdist(torch.from_numpy(rows)).median().item(), rel=1e-12)
    monkeypatch.setattr(kernel, "TILE", 32)
    for held in (0, 10, 1000):
        monkeypatch.setattr(kernel, "HELD", held)
        assert median_distance(rows) == pytest.approx(whole, rel=1e-14)


def test_tiles_change_rounding_only(monkeypatch: pytest.MonkeyPatch):
    first, second = normal(70, 5, "a"), normal(90, 5, "b") + 0.3
    whole = kernel_distance(first, second)
    assert kernel_distance(first, second) == whole
    monkeypatch.setattr(kernel, "TILE", 16)
    assert kernel_distance(first, second).value == pytest.approx(whole.value, rel=1e-11)


def test_kadtk_takes_the_bandwidth_of_the_generated_side():
    first, second = normal(30, 4, "a"), 3 * normal(40, 4, "b")
    ours, theirs = (
        kernel_distance(first, second, convention=name) for name in ("soundwright", "kadtk")
    )
    assert (ours.bandwidth_of, theirs.bandwidth_of) == ("reference", "generated")
    assert ours.bandwidth == pytest.approx(median_distance(first), rel=1e-12)
    assert theirs.bandwidth == pytest.approx(median_distance(second), rel=1e-12)
    assert theirs.value == pytest.approx(literal(first, second, theirs.bandwidth), rel=1e-9)


@given(st.floats(0.1, 50), st.floats(-100, 100))
def test_rotation_shift_and_scale_do_not_count(scale: float, shift: float):
    first, second = normal(12, 4, "a"), normal(15, 4, "b") + 1
    turn = qr(normal(4, 4, "turn"))[0]
    value = kernel_distance(first, second).value
    moved = kernel_distance(*(scale * rows @ turn + shift for rows in (first, second)))
    assert moved.value == pytest.approx(value, rel=1e-5)


def test_symmetric_at_one_bandwidth():
    first, second = normal(12, 4, "a"), normal(15, 4, "b") + 1
    there, back = (
        kernel_distance(first, second, bandwidth=2),
        kernel_distance(second, first, bandwidth=2),
    )
    assert there.value == pytest.approx(back.value, rel=1e-11)


@pytest.mark.parametrize(
    ("first", "second", "bandwidth", "said"),
    [
        (np.ones((1, 2)), np.ones((5, 2)), None, "(1, 2) and (5, 2)"),
        (np.ones((4, 2)), np.ones((5, 3)), None, "(4, 2) and (5, 3)"),
        (np.full((4, 2), 0.1), normal(5, 2), None, "bandwidth is"),
        (normal(4, 2), normal(5, 2), -1.0, "bandwidth is -1"),
        (normal(4, 2), normal(5, 2), math.nan, "bandwidth is nan"),
    ],
)
def test_what_has_no_distance_is_refused(
    first: np.ndarray, second: np.ndarray, bandwidth: float | None, said: str
):
    with pytest.raises(UserError) as caught:
        kernel_distance(first, second, bandwidth=bandwidth)
    assert said in str(caught.value)


def test_one_embedding_has_no_median_distance():
    with pytest.raises(UserError, match="of 1 embeddings"):
        median_distance([[1.0]])
