"""Low-rank adapters of linear layers: W stays, W + alpha / rank * B A is what acts.

arXiv 2106.09685. A layer that holds several projections in one matrix, such as the language
model's `qkv` and `key_value`, gets one adapter over that matrix: its projections share A and have
their own rows of B.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.core.config import Config
from soundwright.core.errors import CheckpointError, ConfigError, nearest
from soundwright.core.seeding import initialising

DOWN, UP = "lora_down", "lora_up"
"""Names of A and B beside the layer's own `weight`."""


class LoraConfig(Config):
    """Which layers are adapted, and by how much they can change."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(default=16, ge=1)
    """Of B A; at most the smaller side of each adapted matrix."""
    alpha: float = Field(default=16.0, gt=0)
    """B A is scaled by alpha / rank, so that another rank needs no other learning rate."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On what A reads, in training."""
    targets: tuple[str, ...] | None = None
    """Linear layers by the ends of their names, such as qkv or cross_attention.out; null takes all
    that lie in the model's blocks."""

    @property
    def scale(self) -> float:
        """What B A is multiplied by: alpha / rank."""
        return self.alpha / self.rank


class LoraLinear(nn.Linear):
    """A linear layer with a low-rank addition; it shares the parameters of the layer it replaces.

    Args:
        base: The layer, which is frozen.
        config: Rank, scale and dropout.
        seed: Of A, which begins as a linear layer does. B begins with zeros: the layer is the base.
        name: Of the layer; A's stream is named by it.
    """

    def __init__(self, base: nn.Linear, config: LoraConfig, seed: int, name: str) -> None:
        super().__init__(base.in_features, base.out_features, bias=False, device="meta")
        self.weight, self.bias = base.weight, base.bias
        device = base.weight.device
        down = torch.empty(config.rank, base.in_features)
        with initialising(seed, "lora", name):
            nn.init.kaiming_uniform_(down, a=math.sqrt(5))
        self.lora_down = nn.Parameter(down.to(device))
        self.lora_up = nn.Parameter(torch.zeros(base.out_features, config.rank, device=device))
        self.dropout = nn.Dropout(config.dropout)
        self._scale = config.scale
        self.acts = True
        """Whether the addition is made; otherwise the layer is its base."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """[..., in_features] to [..., out_features]."""
        if not self.acts:
            return super().forward(input)
        added = F.linear(F.linear(self.dropout(input), self.lora_down), self.lora_up)
        return super().forward(input) + self._scale * added


def add_lora(module: nn.Module, config: LoraConfig, seed: int) -> None:
    """Freeze a module and put adapters on its linear layers.

    Its `state_dict` is from now on that of the adapters alone, and so is what is averaged, saved
    in checkpoints and loaded from them.

    Args:
        module: With the weights that the adapters are for.
        config: Which layers, and how.
        seed: Of the adapters' initial weights.

    Raises:
        ConfigError: A target that names no layer, or a rank larger than a layer.
    """
    module.requires_grad_(False)
    for name in find_targets(module, config.targets):
        base = module.get_submodule(name)
        assert isinstance(base, nn.Linear)
        if config.rank > min(base.in_features, base.out_features):
            raise ConfigError(
                f"The rank {config.rank} is larger than a side of {name}, "
                f"{base.out_features} x {base.in_features}.",
                change="Lower adapter.rank.",
            )
        module.set_submodule(name, LoraLinear(base, config, seed, name))
    module.register_state_dict_post_hook(_leave_out_frozen)
    module.register_load_state_dict_post_hook(_miss_no_frozen)


@contextmanager
def lora_off(module: nn.Module) -> Iterator[None]:
    """A block in which a module is what it was before `add_lora`."""
    layers = [part for part in module.modules() if isinstance(part, LoraLinear)]
    before = [layer.acts for layer in layers]
    try:
        for layer in layers:
            layer.acts = False
        yield
    finally:
        for layer, acts in zip(layers, before, strict=True):
            layer.acts = acts


def find_targets(module: nn.Module, targets: Sequence[str] | None) -> list[str]:
    """Names of the linear layers that `LoraConfig.targets` means.

    Raises:
        ConfigError: A target that names no layer.
    """
    layers = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    if targets is None:
        return [name for name in layers if any(part.isdigit() for part in name.split("."))]
    known = {name.rpartition(".")[2] for name in layers}
    for target in targets:
        if not any(_ends(name, target) for name in layers):
            raise ConfigError(
                f"adapter.targets: no linear layer is called {target!r}; {nearest(target, known)}"
            )
    return [name for name in layers if any(_ends(name, target) for target in targets)]


def merge_lora(
    weights: Mapping[str, Tensor], adapter: Mapping[str, Tensor], scale: float, origin: str
) -> dict[str, Tensor]:
    """Weights with an adapter added: W + scale * B A in each adapted layer.

    Args:
        weights: A whole state dictionary; its tensors are left alone.
        adapter: The adapters' state dictionary.
        scale: alpha / rank, times how much of the adapter is wanted.
        origin: What the adapter is, for messages.

    Raises:
        CheckpointError: It is for layers of another shape or name, or half of a pair is missing.
    """
    merged = dict(weights)
    layers = {name.rpartition(".")[0] for name in adapter}
    whole = {f"{layer}.{half}" for layer in layers for half in (DOWN, UP)}
    if wrong := sorted(whole ^ adapter.keys()):
        raise CheckpointError(f"{origin} has no pair of A and B for {wrong[0]!r}.")
    for layer in sorted(layers):
        down, up = adapter[f"{layer}.{DOWN}"].float(), adapter[f"{layer}.{UP}"].float()
        weight = merged.get(f"{layer}.weight")
        if weight is None:
            raise CheckpointError(
                f"{origin} adapts {layer!r}, which this model does not have.",
                expected="an adapter of a model of the same architecture",
            )
        shapes = [tuple(part.shape) for part in (up, down)]
        if down.dim() != 2 or shapes != [(len(weight), len(down)), (len(down), weight.shape[1])]:
            raise CheckpointError(
                f"{origin} has {shapes[0]} and {shapes[1]} for {layer!r}.",
                expected=f"B and A whose product is {tuple(weight.shape)}",
            )
        # In a new tensor: the weights may be views of a file.
        merged[f"{layer}.weight"] = torch.addmm(weight.float(), up, down, alpha=scale)
    return merged


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _leave_out_frozen(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in _frozen(module):
        state.pop(prefix + name, None)


def _miss_no_frozen(module: nn.Module, found: Any) -> None:
    frozen = _frozen(module)
    found.missing_keys[:] = [name for name in found.missing_keys if name not in frozen]


def _frozen(module: nn.Module) -> set[str]:
    return {name for name, value in module.named_parameters() if not value.requires_grad}
