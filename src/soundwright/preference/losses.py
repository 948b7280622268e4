"""Losses of preference optimisation: functions of how a model's scores moved, never of the model.

A score s is a log-likelihood of a sound given its prompt, up to a constant and a factor (see
`policies`), and Δ = s_θ - s_ref is how far training has moved it. Δw is that of the preferred sound
of a pair, Δl that of the other; their difference is the margin, which is 0 before the first step.

β belongs to the reduction of the scores: with means over n elements, β times n gives the margin of
sums. For a diffusion model s = -1/2 ω ||ε - ε̂||², so that

    -log σ(β (Δw - Δl))      is what Tango 2's released code computes (with means and β = 2000), and
    -log σ(2 N β (Δw - Δl))  is equation 17 of arXiv 2404.09956, N being the number of noise steps.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from soundwright.core.config import Config

LossKind = Literal["dpo", "ipo", "hinge", "robust", "apo_zero", "apo_down", "kto"]
SMOOTHED = ("dpo", "robust")


class LossConfig(Config):
    """Which loss, and how strong. The defaults are those of Tango 2's released code."""

    kind: LossKind = "dpo"
    beta: float = Field(default=2000.0, gt=0)
    """How strongly a margin counts; for ipo, the inverse of twice the margin that is aimed at. It
    has a meaning only together with the reduction of the scores."""
    noise_steps: int | None = Field(default=None, ge=1)
    """N of equation 17, which multiplies β by 2 N there; null is the released form, without it."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of pairs whose sides are taken to be swapped; for dpo and robust."""
    anchor: float = Field(default=0.0, ge=0)
    """λ of CRPO (arXiv 2412.21037): so much of the winner's own loss is added, to whichever loss
    there is, so that the winner does not become less likely than it was."""

    @model_validator(mode="after")
    def _smooths_what_it_can(self) -> Self:
        if self.label_smoothing and self.kind not in SMOOTHED:
            raise ValueError(f"label_smoothing is for {' and '.join(SMOOTHED)}, not {self.kind}")
        return self

    @property
    def strength(self) -> float:
        """What the margin is multiplied by."""
        return self.beta if self.noise_steps is None else 2 * self.noise_steps * self.beta


class Judgements(NamedTuple):
    """KTO's losses of sounds that are good or bad, each by itself."""

    good: Tensor
    """[G]."""
    bad: Tensor
    """[B]."""


def lose(
    config: LossConfig, winner: Tensor, loser: Tensor, mismatched: Tensor | None = None
) -> Tensor:
    """The loss of each pair, without an anchor.

    Args:
        config: Which loss.
        winner: [B], Δw.
        loser: [B], Δl.
        mismatched: [M], Δ of sounds with prompts that are not theirs; for kto alone.

    Returns:
        [B].
    """
    beta, epsilon = config.strength, config.label_smoothing
    if config.kind == "dpo":
        return dpo(winner, loser, beta, epsilon)
    if config.kind == "ipo":
        return ipo(winner, loser, beta)
    if config.kind == "hinge":
        return hinge(winner, loser, beta)
    if config.kind == "robust":
        return robust(winner, loser, beta, epsilon)
    if config.kind == "apo_zero":
        return apo_zero(winner, loser, beta)
    if config.kind == "apo_down":
        return apo_down(winner, loser, beta)
    judged = kto(winner, loser, beta, baseline(mismatched, winner))
    return (judged.good + judged.bad) / 2


def dpo(winner: Tensor, loser: Tensor, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Direct preference optimisation: -log σ(β (Δw - Δl)); log 2 where nothing has moved.

    With label smoothing ε, a share ε of the pairs is taken to be the wrong way round: the loss is
    (1 - ε) times that of the pair and ε times that of the swapped one.
    """
    margin = beta * (winner - loser)
    right, wrong = -F.logsigmoid(margin), -F.logsigmoid(-margin)
    return (1 - label_smoothing) * right + label_smoothing * wrong


def robust(winner: Tensor, loser: Tensor, beta: float, label_smoothing: float) -> Tensor:
    """Provably robust DPO, arXiv 2403.00409: an unbiased loss where a share of labels is wrong."""
    margin = beta * (winner - loser)
    right, wrong = -F.logsigmoid(margin), -F.logsigmoid(-margin)
    return ((1 - label_smoothing) * right - label_smoothing * wrong) / (1 - 2 * label_smoothing)


def ipo(winner: Tensor, loser: Tensor, beta: float) -> Tensor:
    """Identity preference optimisation, arXiv 2310.12036: (Δw - Δl - 1 / (2 β))²."""
    return (winner - loser - 1 / (2 * beta)).square()


def hinge(winner: Tensor, loser: Tensor, beta: float) -> Tensor:
    """SLiC's hinge, arXiv 2305.10425: nothing is lost once β times the margin is 1."""
    return F.relu(1 - beta * (winner - loser))


def apo_zero(winner: Tensor, loser: Tensor, beta: float) -> Tensor:
    """Anchored preference optimisation, arXiv 2408.06266: raises winners and lowers losers.

    For winners that are better than what the model makes.
    """
    return 1 - torch.sigmoid(beta * winner) + torch.sigmoid(beta * loser)


def apo_down(winner: Tensor, loser: Tensor, beta: float) -> Tensor:
    """Anchored preference optimisation, downwards: lowers both, losers more.

    For winners that are worse than what the model makes.
    """
    return torch.sigmoid(beta * winner) + 1 - torch.sigmoid(beta * (winner - loser))


def kto(good: Tensor, bad: Tensor, beta: float, zero: Tensor) -> Judgements:
    """Kahneman-Tversky optimisation, arXiv 2402.01306: sounds that are good or bad, unpaired.

    Args:
        good: [G], Δ of the desired sounds.
        bad: [B], Δ of the others.
        beta: How quickly gains and losses saturate.
        zero: Scalar, from `baseline`: what counts as no change.
    """
    return Judgements(
        1 - torch.sigmoid(beta * (good - zero)), 1 - torch.sigmoid(beta * (zero - bad))
    )


def baseline(mismatched: Tensor | None, like: Tensor) -> Tensor:
    """KTO's reference point: how far the model has moved on sounds that do not fit their prompts.

    An estimate of KL(π_θ || π_ref) by pairing sounds with other prompts of the batch, at least 0
    and without gradient; 0 where the batch has one prompt only. For diffusion it is approximate,
    as scores are.
    """
    if mismatched is None or not mismatched.numel():
        return like.new_zeros(())
    return mismatched.detach().mean().clamp_min(0)


def anchored(losses: Tensor, own: Tensor, weight: float) -> Tensor:
    """CRPO: a pair's loss plus λ times the loss that the winner alone would have, [B]."""
    return losses + weight * own
