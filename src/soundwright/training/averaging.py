"""Exponential moving average of a module's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from soundwright.core.config import Config


class AverageConfig(Config):
    """AudioCraft's average: decay 0.99, updated every 10 steps, bias-corrected."""

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    every: Annotated[int, Field(ge=1)] = 10
    """Steps between updates."""
    unbiased: bool = True
    """Give update n the weight 1 / (1 + decay + ... + decay^(n-1)), so that the initial weights
    have no part in the average; otherwise 1 - decay from the first update on."""


class AveragedWeights:
    """The average of everything of floating point in a module's `state_dict`.

    Averages are kept in fp32 or better; whole numbers and flags are always the module's own.
    """

    def __init__(self, module: nn.Module, config: AverageConfig) -> None:
        self._module, self._config = module, config
        self._mass = 0.0
        self._average = {
            name: value.to(torch.promote_types(value.dtype, torch.float32), copy=True)
            for name, value in _live(module).items()
            if value.is_floating_point()
        }

    @torch.no_grad()
    def update(self, steps_done: int) -> None:
        """Take in the module's weights if `steps_done` is a multiple of the interval."""
        if steps_done % self._config.every:
            return
        self._mass = self._config.decay * self._mass + 1.0
        weight = 1.0 / self._mass if self._config.unbiased else 1.0 - self._config.decay
        live = _live(self._module)
        for name, average in self._average.items():
            average.lerp_(live[name].to(average.dtype), weight)

    def weights(self) -> dict[str, Tensor]:
        """A whole `state_dict` with averages; before the first update, the module's own weights."""
        live = _live(self._module)
        return {**live, **self._average} if self._mass else live

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A block in which the module has the averaged weights; it gets its own back, exactly."""
        live = _live(self._module)
        own = {name: value.clone() for name, value in live.items()}
        try:
            _copy(self.weights(), live)
            yield
        finally:
            _copy(own, live)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs besides `weights()`."""
        return {"mass": self._mass}

    def load_state_dict(self, state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` and `weights` gave."""
        self._mass = float(state["mass"])
        _copy({name: weights[name] for name in self._average}, self._average)


def _live(module: nn.Module) -> dict[str, Tensor]:
    """The module's own tensors by name, not copies."""
    return {name: value.detach() for name, value in module.state_dict().items()}


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)
