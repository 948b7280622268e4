"""The optimizer of one player: its parameter groups, clipping and the guard against NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from soundwright.core.config import Config
from soundwright.core.ranks import Ranks
from soundwright.training.lamb import Lamb
from soundwright.training.parallel import Placement, Replica
from soundwright.training.schedules import ScheduleConfig, scale_at

FUSED_DEVICES = ("cpu", "cuda")

Rate = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Config):
    """AdamW with the values of the paper's section 4.2; the learning rate is ours."""

    kind: Literal["adamw", "lamb"] | None = None
    """lamb: steps in proportion to the length of each weight, for large batches; null is AdamW."""
    lr: Annotated[float, Field(gt=0)] = 1e-4
    """The full learning rate, which the schedule scales."""
    betas: tuple[Rate, Rate] = (0.9, 0.95)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    decay_vectors: bool = True
    """Whether decay also hits parameters of fewer than two axes, norms and biases; AudioCraft's
    does."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of a player's whole gradient; null leaves it as it is."""
    schedule: ScheduleConfig = ScheduleConfig()


@dataclass(frozen=True)
class Move:
    """What one turn of a player came to, over all ranks."""

    loss: float
    gradient_norm: float
    """Before clipping."""
    lr: float
    moved: bool
    """False where the loss or the gradient was not finite and the weights stayed as they were."""


class Player:
    """A trained module with its optimizer.

    Args:
        name: As in `TrainingTask.players`.
        module: Lies in its place already. Parameters that are frozen now stay untouched.
        config: The optimizer's.
        steps: Length of the run, for the schedule.
        placement: How the module lies over the ranks; whole on each if not given.
        ranks: Those of the run; this process alone if not given.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        config: OptimizerConfig,
        steps: int,
        placement: Placement | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.name, self.module, self.config, self._steps = name, module, config, steps
        self._ranks = ranks or Ranks()
        self.placement = placement or Replica(module, self._ranks)
        self.parameters = [value for value in module.parameters() if value.requires_grad]
        if not self.parameters:
            raise ValueError(f"The player {name!r} has nothing to train.")
        self._optimizer = _build_optimizer(self.parameters, config)
        self._losses: list[Tensor] = []

    def take(self, loss: Tensor, parts: int) -> None:
        """Add the gradient of the next of `parts` micro-batches."""
        share = loss / parts
        last = len(self._losses) == parts - 1
        self.placement.backward(share, self.parameters, last=last)
        self._losses.append(share.detach())

    def move(self, step: int) -> Move:
        """Clip what was taken and step the optimizer, unless something is not finite.

        All ranks see the same numbers, so that they move or stay together.
        """
        gradients = [value.grad for value in self.parameters if value.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        loss = torch.stack(self._losses).sum()
        # One transfer for both: on a GPU each one waits for all work before it.
        both = torch.stack([loss.float(), whole(norm).to(loss.device, torch.float32)])
        seen = self._ranks.mean_of(both).tolist()
        finite = all(map(math.isfinite, seen))
        lr = self.config.lr * scale_at(self.config.schedule, step, self._steps)
        if finite:
            if self.config.clip is not None:
                nn.utils.clip_grads_with_norm_(self.parameters, self.config.clip, norm)
            for group in self._optimizer.param_groups:
                group["lr"] = lr
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._losses.clear()
        return Move(loss=seen[0], gradient_norm=seen[1], lr=lr, moved=finite)

    @property
    def numbered(self) -> dict[int, Tensor]:
        """The parameters by the numbers under which `state_dict` has their moments."""
        groups = self._optimizer.param_groups
        return dict(enumerate(value for group in groups for value in group["params"]))

    def state_dict(self) -> dict[int, dict[str, Tensor]]:
        """The moments by parameter number. Settings are not part of it: the configuration rules."""
        return self._optimizer.state_dict()["state"]

    def load_state_dict(self, state: Mapping[int, Mapping[str, Any]]) -> None:
        """Take back what `state_dict` gave."""
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": dict(state), "param_groups": groups})
        for parameter, moments in self._optimizer.state.items():
            for name, value in moments.items():
                # The fused step pairs elements by their place in memory: moments that lie there
                # otherwise than their parameter, channels last, would move other elements.
                if value.shape == parameter.shape and value.stride() != parameter.stride():
                    moments[name] = torch.empty_like(parameter).copy_(value)


def whole(tensor: Tensor) -> Tensor:
    """A tensor with what the other ranks have of it, if it is divided over them."""
    full = getattr(tensor, "full_tensor", None)
    return tensor if full is None else full()


def _build_optimizer(
    parameters: list[nn.Parameter], config: OptimizerConfig
) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if not config.decay_vectors:
        groups = [
            {"params": [value for value in parameters if value.ndim >= 2]},
            {"params": [value for value in parameters if value.ndim < 2], "weight_decay": 0.0},
        ]
    groups = [group for group in groups if group["params"]]
    settings: dict[str, Any] = {
        "lr": config.lr,
        "betas": config.betas,
        "eps": config.eps,
        "weight_decay": config.weight_decay,
    }
    if config.kind == "lamb":
        return Lamb(groups, **settings)
    fused = all(value.device.type in FUSED_DEVICES for value in parameters)
    return torch.optim.AdamW(groups, **settings, fused=fused)
