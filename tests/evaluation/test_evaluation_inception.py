import numpy as np
import pytest
import torch

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.distances.inception import inception_score


def sure_of(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Logits of a classifier without doubt."""
    return [1000.0 * np.eye(classes)[[label]] for label in labels]


def test_no_opinion_scores_one():
    found = inception_score([np.zeros((1, 527))] * 20)
    assert found.value == pytest.approx(1.0, abs=1e-12)
    assert (found.splits, found.seed, found.deviation, found.n) == (1, None, None, 20)


@pytest.mark.parametrize("classes", [1, 2, 50])
def test_sure_and_balanced_scores_the_number_of_classes(classes: int):
    found = inception_score(sure_of(np.arange(3 * classes) % classes, classes))
    assert found.value == pytest.approx(classes, rel=1e-12)


def test_splits_are_part_of_the_number():
    """A classifier without doubt, 957 clips of 527 classes: several times less in ten splits."""
    labels = np.random.default_rng(0).integers(527, size=957)
    clips = sure_of(labels, 527)
    whole, split = inception_score(clips), inception_score(clips, "audioldm")
    assert whole.value == pytest.approx(382, rel=0.005)
    assert split.value == pytest.approx(86, rel=0.02)
    assert (split.splits, split.seed, split.n) == (10, 2020, 957)
    assert split.deviation is not None
    assert split.deviation > 0


def test_audioldms_splits_are_shuffled_as_theirs():
    data = 2 * numpy_stream(0, "inception test", "logits").standard_normal((57, 8))
    shuffled = torch.from_numpy(data[np.random.RandomState(2020).permutation(57)])
    scores = []
    for split in range(10):
        chances = shuffled[split * 57 // 10 : (split + 1) * 57 // 10].softmax(1)
        divergences = (chances * (chances / chances.mean(0)).log()).sum(1)
        scores.append(divergences.mean().exp().item())
    found = inception_score([row[None] for row in data], "audioldm")
    assert found.value == pytest.approx(np.mean(scores), rel=1e-12)
    assert found.deviation == pytest.approx(np.std(scores), rel=1e-10)


def test_windows_count_by_their_mean_probabilities():
    halves = np.concatenate(sure_of(np.array([0, 1]), 2))
    assert inception_score([halves, halves]).value == pytest.approx(1)
    assert inception_score([halves[:1], halves[1:]]).value == pytest.approx(2)


@pytest.mark.parametrize(
    ("clips", "convention", "said"),
    [
        ([], "soundwright", "0 clips"),
        ([np.zeros((1, 3))] * 9, "audioldm", "10 splits was asked of 9 clips"),
        ([np.zeros((1, 3)), np.zeros((1, 4))], "soundwright", "the same classes"),
        ([np.zeros((0, 3))], "soundwright", "at least one window"),
    ],
)
def test_what_has_no_score_is_refused(clips: list[np.ndarray], convention, said: str):
    with pytest.raises(UserError) as caught:
        inception_score(clips, convention)
    assert said in str(caught.value)
