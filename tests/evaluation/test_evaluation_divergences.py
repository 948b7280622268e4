import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import kl_div

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.distances.alignment import measure_alignment
from soundwright.evaluation.distances.divergences import CONVENTIONS, measure_divergence

LOPSIDED, EVEN = np.log([[0.9, 0.1]]), np.log([[0.5, 0.5]])


def logits(clips: int, windows: int, classes: int, *names: str | int) -> list[np.ndarray]:
    stream = numpy_stream(0, "divergence test", *names)
    return list(3 * stream.standard_normal((clips, windows, classes)))


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        ("soundwright", 0.368064),
        ("audiocraft", 0.368064),
        ("audioldm", 0.368064),
        ("stable", 0.510826),
    ],
)
def test_the_direction(convention: str, expected: float):
    found = measure_divergence([LOPSIDED], [EVEN], convention)
    assert found.value == pytest.approx(expected, abs=1e-5)
    back = measure_divergence([EVEN], [LOPSIDED], convention)
    assert back.value == pytest.approx(0.368064 + 0.510826 - expected, abs=2e-5)
    assert found.direction == (
        "generated||reference" if convention == "stable" else "reference||generated"
    )


@pytest.mark.parametrize("convention", ["audiocraft", "audioldm", "stable"])
def test_the_epsilon_of_others(convention: str):
    same = [np.zeros((1, 527))]
    assert measure_divergence(same, same, convention).value == pytest.approx(-5.26861e-4, rel=1e-5)
    real, made = [np.array([[1000.0, 0.0]])], [np.array([[0.0, 1000.0]])]
    capped = measure_divergence(real, made, convention).value
    assert capped == pytest.approx(13.8155, abs=1e-4)


def test_ours_has_no_epsilon_and_no_cap():
    same = [np.zeros((1, 527))]
    assert measure_divergence(same, same).value == 0.0
    real, made = [np.array([[1000.0, 0.0]])], [np.array([[0.0, 1000.0]])]
    assert measure_divergence(real, made).value == pytest.approx(1000)


def test_ours_are_the_reference_numbers_to_their_last_digit():
    assert measure_divergence([LOPSIDED], [EVEN]).value == pytest.approx(0.368064, abs=5e-7)
    assert measure_divergence([EVEN], [LOPSIDED]).value == pytest.approx(0.510826, abs=5e-7)


def test_labels_that_are_present_or_absent():
    """Of one label with chances 0.1 and 0.9."""
    real, made = [np.array([[-2.197225]])], [np.array([[2.197225]])]
    assert measure_divergence(real, made, "soundwright-labels").value == pytest.approx(
        1.757780, abs=2e-6
    )
    assert measure_divergence(real, made, "audioldm-sigmoid").value == pytest.approx(
        -0.219722, abs=2e-6
    )


def test_the_conventions_are_those_of_torchs_kl_div():
    real, made = logits(5, 1, 20, "real"), logits(5, 1, 20, "made")
    left, right = (torch.from_numpy(np.concatenate(side)) for side in (real, made))

    def mean(target: torch.Tensor, other: torch.Tensor) -> float:
        return (kl_div((other + 1e-6).log(), target, reduction="sum") / len(target)).item()

    softmax = mean(left.softmax(1), right.softmax(1))
    assert measure_divergence(real, made, "audioldm").value == pytest.approx(softmax, rel=1e-9)
    sigmoid = mean(left.sigmoid(), right.sigmoid())
    found = measure_divergence(real, made, "audioldm-sigmoid").value
    assert found == pytest.approx(sigmoid, rel=1e-9)
    reverse = mean(right.softmax(1), left.softmax(1))
    assert measure_divergence(real, made, "stable").value == pytest.approx(reverse, rel=1e-9)
    exact = kl_div(right.log_softmax(1), left.log_softmax(1), reduction="sum", log_target=True) / 5
    assert measure_divergence(real, made).value == pytest.approx(exact.item(), rel=1e-12)


def test_windows_make_a_clip_as_the_convention_says():
    real, made = logits(1, 3, 6, "real"), logits(1, 3, 6, "made")
    left, right = (torch.from_numpy(side[0]) for side in (real, made))

    def divergence(target: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (target * (target / other).log()).sum(-1)

    ours = divergence(left.softmax(1).mean(0), right.softmax(1).mean(0))
    assert measure_divergence(real, made).value == pytest.approx(ours.item(), rel=1e-12)
    rows = divergence(left.softmax(1), right.softmax(1) + 1e-6)
    found = measure_divergence(real, made, "audiocraft")
    assert found.value == pytest.approx(rows.mean().item(), rel=1e-12)
    assert found.rows.tolist() == [3]
    pooled = divergence(right.mean(0).softmax(0), left.mean(0).softmax(0) + 1e-6)
    assert measure_divergence(real, made, "stable").value == pytest.approx(pooled.item(), rel=1e-12)


def test_segments_weigh_alike_in_audiocraft_and_clips_in_ours():
    real = [*logits(1, 1, 6, "short"), *logits(1, 3, 6, "long")]
    made = [*logits(1, 1, 6, "other"), *logits(1, 3, 6, "another")]
    theirs, ours = measure_divergence(real, made, "audiocraft"), measure_divergence(real, made)
    assert theirs.value == pytest.approx((theirs.clips[0] + 3 * theirs.clips[1]) / 4)
    assert ours.value == pytest.approx(ours.clips.mean())
    assert ours.rows.tolist() == [1, 1]


def test_sides_may_have_different_numbers_of_windows_in_ours():
    window = logits(1, 1, 6)[0]
    longer = np.repeat(window, 4, 0)
    assert measure_divergence([window], [longer]).value == pytest.approx(0, abs=1e-14)
    with pytest.raises(UserError, match="as many windows"):
        measure_divergence([window], [longer], "audiocraft")


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.floats(-50, 50))
def test_true_divergences_are_never_negative(real_n: int, made_n: int, classes: int, level: float):
    real, made = logits(3, real_n, classes, "r"), logits(3, made_n, classes, "m")
    for convention in ("soundwright", "soundwright-labels"):
        found = measure_divergence(real, made, convention)
        assert (found.clips >= -1e-12).all()
        assert measure_divergence(real, real, convention).value == 0.0
    shifted = [clip + level for clip in made]
    assert measure_divergence(real, shifted).value == pytest.approx(
        measure_divergence(real, made).value, rel=1e-9, abs=1e-12
    )


def test_tensors_in_single_precision_are_taken():
    clip = torch.zeros(2, 5)
    for convention in CONVENTIONS:
        assert math.isfinite(measure_divergence([clip], [clip], convention).value)


@pytest.mark.parametrize(
    ("real", "made", "convention", "said"),
    [
        ([LOPSIDED], [], "soundwright", "1 reference clips and 0 generated"),
        ([], [], "soundwright", "0 reference clips"),
        ([LOPSIDED], [np.zeros((1, 3))], "soundwright", "the same classes"),
        ([LOPSIDED], [np.zeros((0, 2))], "soundwright", "shape (0, 2)"),
        ([LOPSIDED], [np.array([[np.nan, 1.0]])], "soundwright", "not all finite"),
        ([LOPSIDED], [EVEN], "audiocrafty", "did you mean 'audiocraft'?"),
    ],
)
def test_what_has_no_divergence_is_refused(
    real: list[np.ndarray], made: list[np.ndarray], convention: str, said: str
):
    with pytest.raises(UserError) as caught:
        measure_divergence(real, made, convention)
    assert said in str(caught.value)


def test_alignment_is_the_mean_cosine():
    texts, sounds = np.array([[1.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 2.0], [0.3, 0.4]])
    found = measure_alignment(texts, sounds)
    assert found.clips == pytest.approx([0.0, 1.0])
    assert found.value == pytest.approx(0.5)
    assert measure_alignment(7 * texts, 0.1 * sounds).clips == pytest.approx(found.clips)
    assert measure_alignment(texts, -texts).value == pytest.approx(-1)


def test_alignment_without_partners_or_direction_is_refused():
    with pytest.raises(UserError, match=r"embeddings \(2, 3\), their sounds \(3, 3\)"):
        measure_alignment(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(UserError, match="Pair 1 has an embedding of zeros"):
        measure_alignment(np.ones((2, 3)), np.array([[1.0, 1, 1], [0, 0, 0]]))
