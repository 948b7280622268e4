import numpy as np
import pytest

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.distances.extrapolation import extrapolate_frechet
from soundwright.evaluation.distances.frechet import frechet_distance
from soundwright.evaluation.distances.moments import Moments
from soundwright.evaluation.statistics.frechet_influence import (
    extrapolated_difference,
    extrapolated_interval,
    influences,
    transport,
)


def draw(number: int, width: int, *names: str | int, shift: float = 0.0, scale: float = 1.0):
    rows = numpy_stream(0, "influence test", *names).standard_normal((number, width))
    return shift + scale * rows * np.linspace(1, 0.5, width)


def weighted(rows: np.ndarray, weights: np.ndarray) -> Moments:
    """Moments where rows count so much; the divisor is n, as derivatives have it."""
    mean = np.average(rows, axis=0, weights=weights)
    centred = rows - mean
    share = weights / weights.sum()
    return Moments(len(rows), mean, (len(rows) - 1) * (centred.T * share) @ centred)


def test_influences_are_the_derivatives_of_the_distance():
    """On both sides, as numbers say who give one embedding a little more weight."""
    rows, others = draw(60, 5, "own", shift=0.4, scale=1.5), draw(50, 5, "other")
    even = weighted(rows, np.ones(60))
    other = weighted(others, np.ones(50))
    found = influences(rows, even, other)
    step = 1e-4
    for place in (0, 17, 59):
        distances = []
        for sign in (1, -1):
            weights = np.full(60, (1 - sign * step) / 60)
            weights[place] += sign * step
            distances.append(frechet_distance(other, weighted(rows, weights)).value)
        slope = (distances[0] - distances[1]) / (2 * step)
        assert found[place] == pytest.approx(slope, rel=1e-5, abs=1e-6)
    assert found.mean() == pytest.approx(0, abs=1e-9)


def test_the_map_takes_one_covariance_to_the_other_also_where_there_is_no_spread():
    first, second = np.cov(draw(60, 5, "a"), rowvar=False), np.cov(draw(60, 5, "b"), rowvar=False)
    for source, target in ((first, second), (second, first)):
        moved = transport(source, target)
        assert np.allclose(moved @ source @ moved, target, atol=1e-12)
        assert np.allclose(moved, moved.T)
    first[2], first[:, 2], second[2], second[:, 2] = 0, 0, 0, 0
    moved = transport(first, second)
    assert np.allclose(moved @ first @ moved, second, atol=1e-12)
    assert np.isfinite(moved).all()


@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_intervals_hold_the_truth_also_where_it_is_nothing(scale: float):
    """The truth by the form for diagonal covariances."""
    clips, width, held = 100, 6, 0
    truth = float(np.square((scale - 1) * np.linspace(1, 0.5, width)).sum())
    for trial in range(50):
        reference = list(draw(clips, width, "reference", trial)[:, None])
        made = draw(clips, width, "made", trial, scale=scale)
        value = extrapolate_frechet(reference, list(made[:, None]), draws=4).value
        interval = extrapolated_interval(value, made, range(clips), reference)
        held += not interval.excludes(truth)
    assert held >= 45


def test_prompts_are_the_units_and_windows_of_one_are_no_evidence():
    reference = list(draw(80, 4, "reference")[:, None])
    made = draw(40, 4, "made", scale=1.3)
    once = extrapolated_interval(1.0, made, range(40), reference)
    copied = extrapolated_interval(1.0, np.repeat(made, 5, 0), np.repeat(range(40), 5), reference)
    assert (once.estimate, once.units, copied.units) == (1.0, 40, 40)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.05)


def test_a_difference_is_paired_by_prompt_and_by_reference():
    reference = list(draw(80, 4, "reference")[:, None])
    old, prompts = draw(50, 4, "made", scale=1.3), [f"p{number}" for number in range(50)]
    nothing = extrapolated_difference(0.0, old, prompts, old, prompts, reference)
    assert (nothing.low, nothing.high) == pytest.approx((0, 0), abs=1e-12)
    near = extrapolated_difference(0.1, old + 0.05, prompts, old, prompts, reference)
    alone = extrapolated_interval(0.1, old, prompts, reference)
    assert near.high - near.low < 0.3 * (alone.high - alone.low)
    order = np.arange(50)[::-1]
    turned = extrapolated_difference(
        0.1, old + 0.05, prompts, old[order], [prompts[place] for place in order], reference
    )
    assert turned.low == pytest.approx(near.low, rel=1e-9)
    with pytest.raises(UserError, match="different prompts"):
        extrapolated_difference(0.1, old, prompts, old[1:], prompts[1:], reference)


def test_one_clip_has_no_interval():
    with pytest.raises(UserError, match="at least two clips"):
        extrapolated_interval(1.0, draw(9, 4, "made"), ["a"] * 9, list(draw(9, 4, "r")[:, None]))
