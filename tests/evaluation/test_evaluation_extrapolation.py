import numpy as np
import pytest

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.distances.extrapolation import extrapolate_frechet
from soundwright.evaluation.distances.frechet import frechet_distance
from soundwright.evaluation.distances.moments import Moments, accumulate_moments

WIDTH = 128
REFERENCE = Moments(10**9, np.zeros(WIDTH), np.eye(WIDTH) * (10**9 - 1))


def clips(number: int, windows: int = 1, *names: str | int, width: int = WIDTH) -> list[np.ndarray]:
    rows = numpy_stream(0, "extrapolation test", *names).standard_normal((number * windows, width))
    return list(rows.reshape(number, windows, width))


@pytest.fixture(scope="module")
def generated() -> list[np.ndarray]:
    return clips(2000)


def test_the_bias_is_removed(generated: list[np.ndarray]):
    """The true distance is 0; drawing with replacement would give about 2.07."""
    found = extrapolate_frechet(REFERENCE, generated)
    assert found.points[0] == (
        2000,
        pytest.approx(frechet_distance(REFERENCE, accumulate_moments(generated)).value),
    )
    assert found.points[0][1] == pytest.approx(2.18, abs=0.1)
    assert abs(found.value) < 0.15
    assert found.slope == pytest.approx(WIDTH + WIDTH * (WIDTH + 1) / 4, rel=0.1)
    assert found.r_squared > 0.99
    assert [n for n, _ in found.points] == [2000, 1600, 1333, 1143, 1000]
    assert (found.sides, found.clips, found.draws) == ("generated", 2000, 10)


def test_a_true_distance_remains(generated: list[np.ndarray]):
    shifted = [clip + 0.25 for clip in generated]
    assert extrapolate_frechet(REFERENCE, shifted, draws=5).value == pytest.approx(8, abs=0.25)


def test_both_sides_are_extrapolated_together():
    first, second = clips(600, 1, "first", width=24), clips(500, 1, "second", width=24)
    found = extrapolate_frechet(first, second)
    fixed = extrapolate_frechet(accumulate_moments(first), second)
    assert found.sides == "both"
    assert found.points[0][1] == fixed.points[0][1] > 0.5
    assert abs(found.value) < 0.1
    assert fixed.value > abs(found.value) + 0.1


def test_whole_clips_are_drawn():
    """Windows of a clip that are copies count once: their number moves neither value nor slope."""
    single = clips(400, 1, width=16)
    repeated = [np.repeat(clip, 10, 0) for clip in single]
    reference = Moments(10**9, np.zeros(16), np.eye(16) * (10**9 - 1))
    first, second = (extrapolate_frechet(reference, given, draws=4) for given in (single, repeated))
    # Ten copies change the divisor of the covariance, n - 1, and nothing else.
    assert second.value == pytest.approx(first.value, abs=0.01)
    assert second.slope == pytest.approx(first.slope, rel=0.1)


def test_draws_have_a_seed(generated: list[np.ndarray]):
    few = [clip[:, :8] for clip in generated[:100]]
    reference = Moments(10**9, np.zeros(8), np.eye(8) * (10**9 - 1))
    first, again, other = (
        extrapolate_frechet(reference, few, draws=2, seed=seed) for seed in (3, 3, 4)
    )
    assert first == again
    assert first.value != other.value
    assert first.points[0] == other.points[0]


def test_clips_that_are_all_alike_make_a_level_line():
    still = [np.tile(np.eye(3), (2, 1))] * 8
    found = extrapolate_frechet(accumulate_moments([np.eye(3), -np.eye(3)]), still)
    assert found.value == pytest.approx(found.points[0][1], abs=0.2)


@pytest.mark.parametrize(
    ("number", "width", "said"),
    [(3, 2, "from 3 generated clips"), (200, 128, "114 embeddings of width 128")],
)
def test_too_few_clips_are_refused(number: int, width: int, said: str):
    reference = Moments(10**9, np.zeros(width), np.eye(width) * (10**9 - 1))
    with pytest.raises(UserError, match=said):
        extrapolate_frechet(reference, clips(number, width=width))


def test_a_small_reference_is_refused_too():
    small = accumulate_moments(clips(100))
    with pytest.raises(UserError, match="100 embeddings of width 128"):
        extrapolate_frechet(small, clips(400))
