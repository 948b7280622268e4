"""The loss balancer of EnCodec (Défossez et al. 2022, section 3.4, equation 5)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Balanced:
    """Losses of one batch, joined."""

    loss: Tensor
    """Scalar whose gradient with respect to the reconstruction is the balanced sum."""
    norms: Mapping[str, float]
    """Mean over items of the gradient's norm, of each loss, in this batch."""


class Balancer:
    """Gives each loss a fixed share of the gradient that reaches the reconstruction.

    With g_i the gradient of loss i with respect to the reconstruction, and <|g_i|> the running
    mean of its norm, the gradient handed on is

        total_norm * sum_i  w_i / sum_j w_j  *  g_i / <|g_i|>

    so that a weight says what part a loss has, whatever its natural scale. Norms are taken item
    by item and averaged over items and ranks.

    Args:
        weights: w_i by name; losses of weight 0 may be left out of the batches.
        decay: Of the running means.
        total_norm: Of the sum, if all gradients pointed one way.
    """

    def __init__(
        self, weights: Mapping[str, float], *, decay: float = 0.999, total_norm: float = 1.0
    ) -> None:
        self.weights = dict(weights)
        self.decay = decay
        self.total_norm = total_norm
        self._sums: dict[str, float] = {}
        self._fills: dict[str, float] = {}

    def balance(self, losses: Mapping[str, Tensor], reconstruction: Tensor) -> Balanced:
        """Join `losses`, which all depend on `reconstruction` [B, ...].

        The weights are shared among the losses that are given, so that a discriminator may join
        later. Only the gradient is balanced: the joined loss's value is their weighted mean,
        which a person can follow.
        """
        gradients = {
            name: torch.autograd.grad(loss, reconstruction, retain_graph=True)[0]
            for name, loss in losses.items()
        }
        norms = self._measure(gradients)
        self._average(norms)
        total_weight = sum(self.weights[name] for name in losses)
        gradient = torch.zeros_like(reconstruction)
        value = torch.zeros((), device=reconstruction.device)
        for name, loss in losses.items():
            share = self.weights[name] / total_weight
            scale = share * self.total_norm / (self.mean_norm(name) + 1e-12)
            gradient.add_(gradients[name], alpha=scale)
            value = value + share * loss.detach()
        surrogate = (reconstruction * gradient).sum()
        return Balanced(surrogate + (value - surrogate.detach()), norms)

    def mean_norm(self, name: str) -> float:
        """The running mean of a loss's gradient norm, corrected for its start at 0."""
        fill = self._fills.get(name, 0.0)
        return self._sums[name] / fill if fill else 0.0

    def state_dict(self) -> dict[str, Any]:
        """The running means, as plain numbers."""
        return {"sums": dict(self._sums), "fills": dict(self._fills)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._sums = {name: float(value) for name, value in state["sums"].items()}
        self._fills = {name: float(value) for name, value in state["fills"].items()}

    def _measure(self, gradients: Mapping[str, Tensor]) -> dict[str, float]:
        norms = torch.stack(
            [part.float().flatten(1).norm(dim=1).mean() for part in gradients.values()]
        )
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(norms)
            norms /= dist.get_world_size()
        return dict(zip(gradients, norms.tolist(), strict=True))

    def _average(self, norms: Mapping[str, float]) -> None:
        for name, norm in norms.items():
            # One batch that overflows must not spoil the mean for good.
            if math.isfinite(norm):
                rest = 1 - self.decay
                self._sums[name] = self.decay * self._sums.get(name, 0.0) + rest * norm
                self._fills[name] = self.decay * self._fills.get(name, 0.0) + rest
