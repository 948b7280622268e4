"""Rectified flow: a straight way from latents to noise, at whose points the velocity is learned.

arXiv 2209.03003, 2403.03206: x_t = (1 - t) x_0 + t ε, the velocity is ε - x_0, and t is the
logistic function of a normal number, so that the middle of the way is seen most.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from soundwright.core.config import Config

TIME_SCALE = 1000
"""The network reads 1000 t: its sine waves were made for numbers of steps."""


class FlowConfig(Config):
    """How times are drawn in training. The defaults are TangoFlux's."""

    kind: Literal["flow"] = "flow"
    times: Literal["logit_normal", "uniform"] = "logit_normal"
    mean: float = 0.0
    """Of the logit of t."""
    deviation: float = Field(default=1.0, gt=0)
    """Of the logit of t."""


class FlowProcess:
    """A `process.Process` with times from 0 to 1 (float64)."""

    def __init__(self, config: FlowConfig) -> None:
        self.config = config

    def times_at(self, shares: Tensor) -> Tensor:
        """[B] float64, between 0 and 1."""
        shares = shares.double()
        if self.config.times == "uniform":
            return shares
        # The smallest of these numbers is 2⁻⁵³, of which the normal quantile is finite.
        normal = torch.special.ndtri(shares.clamp_min(2.0**-53))
        return torch.sigmoid(self.config.mean + self.config.deviation * normal)

    def corrupt(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """x_t."""
        t = _shape(times, latents)
        return (1 - t) * latents + t * noise

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:  # noqa: ARG002
        """The velocity, the same at all times."""
        return noise - latents

    def denoise(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """x_0 as a velocity means it."""
        return noisy - _shape(times, noisy) * prediction

    def level(self, times: Tensor) -> Tensor:
        """The times themselves."""
        return times

    def network_times(self, times: Tensor) -> Tensor:
        """1000 t."""
        return (times * TIME_SCALE).float()

    def weights(self, times: Tensor, gamma: float | None) -> Tensor:
        """Ones: min-SNR has no form here, and the distribution of t does its work."""
        assert gamma is None, "min-SNR weights are for noise"
        return torch.ones(times.shape, device=times.device)


def _shape(times: Tensor, like: Tensor) -> Tensor:
    return times.to(like).view(-1, *[1] * (like.dim() - 1))
