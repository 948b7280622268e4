"""Losses against literal forms in float64, and what must hold of all of them."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from soundwright.core.errors import ConfigError
from soundwright.core.seeding import torch_stream
from soundwright.preference.losses import LossConfig, anchored, baseline, dpo, kto, lose

KINDS = ["dpo", "ipo", "hinge", "robust", "apo_zero", "apo_down", "kto"]


def config(kind: str, **values) -> LossConfig:
    smoothing = {"label_smoothing": 0.2} if kind == "robust" else {}
    return LossConfig.read({"kind": kind, "beta": 0.7, **smoothing, **values})


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch_stream(seed, "losses"), dtype=torch.float64)


def test_equation_17_against_its_letters():
    """-log σ(-β N ω(λ) (||ε_w - ε̂_θ||² - ||ε_w - ε̂_ref||² - (... of the loser)))."""
    N, omega, beta = 1000, 0.3, 0.002
    noise, policy, reference = (
        draw(2, 5, 12, seed=1),
        draw(2, 5, 12, seed=2),
        draw(2, 5, 12, seed=3),
    )
    expected = []
    for pair in range(5):
        inside = 0.0
        for side, sign in ((0, 1.0), (1, -1.0)):
            moved = sum((noise[side, pair] - policy[side, pair]) ** 2) - sum(
                (noise[side, pair] - reference[side, pair]) ** 2
            )
            inside += sign * float(moved)
        expected.append(-math.log(1 / (1 + math.exp(beta * N * omega * inside))))

    def score(prediction: torch.Tensor) -> torch.Tensor:
        return -0.5 * omega * (noise - prediction).square().sum(-1)

    winner, loser = score(policy) - score(reference)
    equation = LossConfig(kind="dpo", beta=beta, noise_steps=N)
    assert lose(equation, winner, loser).tolist() == pytest.approx(expected, rel=1e-10)


def test_the_released_form_has_half_of_beta_and_means():
    """-logsigmoid(-0.5 β ((m_w - m_l) - (r_w - r_l))) of mean squared errors, β 2000."""
    m_w, m_l, r_w, r_l = (0.001 * draw(6, seed=seed).abs() for seed in range(4))
    expected = -F.logsigmoid(-0.5 * 2000 * ((m_w - m_l) - (r_w - r_l)))
    found = lose(LossConfig(), -0.5 * (m_w - r_w), -0.5 * (m_l - r_l))
    assert torch.allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_other_losses_against_their_letters(seed):
    winner, loser, other = draw(8, seed=seed), draw(8, seed=seed + 9), draw(4, seed=seed + 5).abs()
    beta, epsilon, zero = 0.7, 0.2, max(0.0, float(other.mean()))

    def sigma(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    letters = {
        "dpo": lambda w, x: -math.log(sigma(beta * (w - x))),
        "ipo": lambda w, x: (w - x - 1 / (2 * beta)) ** 2,
        "hinge": lambda w, x: max(0.0, 1 - beta * (w - x)),
        "robust": lambda w, x: (
            (
                -(1 - epsilon) * math.log(sigma(beta * (w - x)))
                + epsilon * math.log(sigma(beta * (x - w)))
            )
            / (1 - 2 * epsilon)
        ),
        "apo_zero": lambda w, x: 1 - sigma(beta * w) + sigma(beta * x),
        "apo_down": lambda w, x: sigma(beta * w) + 1 - sigma(beta * (w - x)),
        "kto": lambda w, x: (1 - sigma(beta * (w - zero))) / 2 + (1 - sigma(beta * (zero - x))) / 2,
    }
    for kind, letter in letters.items():
        found = lose(config(kind), winner, loser, other if kind == "kto" else None)
        expected = [letter(float(w), float(x)) for w, x in zip(winner, loser, strict=True)]
        assert found.tolist() == pytest.approx(expected, rel=1e-10), kind


def test_nothing_moved_costs_log_2_and_label_smoothing_does_not_change_that():
    zero = torch.zeros(3, dtype=torch.float64)
    for epsilon in (0.0, 0.3):
        assert torch.allclose(dpo(zero, zero, 0.5, epsilon), zero + math.log(2))
    assert torch.allclose(lose(config("robust"), zero, zero), zero + math.log(2))


@pytest.mark.parametrize("kind", ["dpo", "ipo", "hinge", "robust"])
def test_swapping_a_pair_negates_its_margin(kind):
    """Whatever depends on the margin alone gives, for the swapped pair, what -margin gives."""
    winner, loser = draw(6), draw(6, seed=1)
    swapped, negated = lose(config(kind), loser, winner), lose(config(kind), -winner, -loser)
    assert torch.allclose(swapped, negated, rtol=1e-12)
    assert not torch.allclose(swapped, lose(config(kind), winner, loser))


@pytest.mark.parametrize("kind", KINDS)
def test_sums_and_means_agree_after_rescaling_beta(kind):
    n, other = 250, draw(4, seed=3)
    winner, loser = draw(6), draw(6, seed=1)
    of_sums = lose(config(kind, beta=0.01), n * winner, n * loser, n * other)
    of_means = lose(config(kind, beta=0.01 * n), winner, loser, other)
    # The margin that ipo aims at is in the unit of the scores.
    unit = n**2 if kind == "ipo" else 1
    assert torch.allclose(of_sums, unit * of_means, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_raises_the_winner_of_a_policy_with_two_modes(kind):
    """A sound is one of two modes. The first is preferred: it becomes likelier, step by step."""
    reference = torch.tensor([0.0, 1.0], dtype=torch.float64).log_softmax(-1)
    logits = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    chances = [float(reference[0].exp())]
    for _ in range(20):
        moved = logits.log_softmax(-1) - reference
        loss = lose(config(kind), moved[:1], moved[1:], moved)
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        with torch.no_grad():
            logits -= 0.2 * gradient
        chances.append(float(logits.detach().softmax(-1)[0]))
    assert all(later >= earlier for earlier, later in itertools.pairwise(chances))
    assert chances[-1] > chances[0] + 0.05


def test_kto_takes_any_numbers_of_good_and_bad_and_a_baseline_without_gradient():
    good, bad = draw(3).requires_grad_(), draw(5, seed=1).requires_grad_()
    other = draw(4, seed=2).abs().requires_grad_()
    zero = baseline(other, good)
    judged = kto(good, bad, 0.5, zero)
    (judged.good.sum() + judged.bad.sum()).backward()
    assert (judged.good.shape, judged.bad.shape) == ((3,), (5,))
    assert bool((good.grad < 0).all())
    assert bool((bad.grad > 0).all())
    assert other.grad is None
    assert float(baseline(-other, good)) == 0
    assert float(baseline(None, good)) == 0


def test_an_anchor_adds_the_winners_own_loss():
    losses, own = draw(4), draw(4, seed=1).abs()
    assert torch.equal(anchored(losses, own, 0.0), losses)
    assert torch.equal(anchored(losses, own, 2.0), losses + 2 * own)


def test_a_loss_that_smooths_no_labels_says_so():
    with pytest.raises(ConfigError, match="label_smoothing is for dpo and robust, not ipo"):
        LossConfig.read({"kind": "ipo", "label_smoothing": 0.1})
