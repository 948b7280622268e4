"""LAMB (You et al. 2020, arXiv 1904.00962, algorithm 2): Adam whose steps are as long as weights.

With m and v the moments of Adam without their bias, r = m / (√v + ε) and u = r + λ x, a parameter x
moves by lr ||x|| / ||u|| against u; where a norm is zero, by lr: a layer that begins with zeros has
to leave them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """The optimizer.

    Args:
        params: As in every optimizer of torch.
        lr: Length of a step, as a part of the length of the parameter.
        betas: Of the moments.
        eps: ε.
        weight_decay: λ.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        first, second = group["betas"]
        state["step"] += 1
        count = float(state["step"])
        mean = state["exp_avg"].lerp_(gradient, 1 - first)
        square = state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = (square / (1 - second**count)).sqrt_().add_(group["eps"])
        update = (mean / (1 - first**count)).div_(scale)
        update.add_(parameter, alpha=group["weight_decay"])
        length, other = parameter.norm(), update.norm()
        ratio = torch.where((length > 0) & (other > 0), length / other, torch.ones_like(length))
        parameter.sub_(update.mul_(ratio * group["lr"]))
