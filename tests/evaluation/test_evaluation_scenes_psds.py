import importlib

import pytest
import torch

from soundwright.core.records import Event
from soundwright.evaluation.scenes.psds import LIBRARY, psds, why_unavailable

TRUE = {
    "a": [Event(label="rain", onset=1.0, offset=3.0)],
    "b": [Event(label="wind", onset=0.0, offset=2.0), Event(label="wind", onset=1.5, offset=4.0)],
}
LABELS = ("dog bark", "rain", "wind")


def activities(confidence):
    """Of a judge that knows, more or less surely; ten frames a second, five seconds and a bit."""
    found = {name: torch.full((3, 52), 0.1) for name in TRUE}
    found["a"][1, 10:30] = confidence
    found["b"][2, :40] = confidence
    return found


def test_it_is_said_whether_the_library_is_there():
    if importlib.util.find_spec(LIBRARY) is None:
        assert why_unavailable() == f"{LIBRARY} is not installed"


@pytest.mark.skipif(bool(why_unavailable()), reason=why_unavailable())
def test_a_judge_that_knows_has_a_score_of_one_and_a_deaf_one_of_nothing():
    assert psds(TRUE, activities(0.9), LABELS, 10.0, 5.0) == pytest.approx(1.0)
    assert psds(TRUE, activities(0.1), LABELS, 10.0, 5.0) == pytest.approx(0.0)
    wrong = {"a": activities(0.9)["b"], "b": activities(0.9)["a"]}
    assert psds(TRUE, wrong, LABELS, 10.0, 5.0) == pytest.approx(0.0)
