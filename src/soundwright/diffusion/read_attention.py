"""Where the latents of a FIT look when they read: whether silence is read less than sound.

The paper says that FIT lets computation go where something is heard. Latents of a group can only
choose among its tokens, so that a token's share is told beside the even share of its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from soundwright.diffusion.attention import AttentionLayer
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.fit import Fit


class Reading(NamedTuple):
    """How much is read of silent and of sounding tokens, beside an even share, which is 1."""

    silent: float
    sounding: float
    groups: int
    """Groups that have both, which alone are counted."""


@torch.no_grad()
def measure_read(network: Fit, latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
    """How much of each token is read in each block: 1 where a group is read evenly.

    Args:
        network: In evaluation mode.
        latents: [B, C, T, ...], noisy as of `times`.
        times: [B], of the process.
        conditions: Of the B items.

    Returns:
        [blocks, B, P] fp32: the mean over heads and latents, times the tokens of the group.
    """
    found: list[Tensor] = []
    items = len(latents)

    def look(layer: nn.Module, given: tuple[Any, ...]) -> None:
        assert isinstance(layer, AttentionLayer)
        hidden, tokens, mask, turns = given
        assert layer.context_norm is not None
        weights = layer.attention.weigh(layer.norm(hidden), layer.context_norm(tokens), mask, turns)
        count = tokens.shape[1] if mask is None else mask.sum(1, keepdim=True)
        shares = weights.float().mean((1, 2)) * count
        found.append(shares.unflatten(0, (items, -1)).flatten(1))

    reads = [block.get_submodule("read") for block in network.blocks]
    hooks = [read.register_forward_pre_hook(look) for read in reads]
    try:
        network(latents, times, conditions)
    finally:
        for hook in hooks:
            hook.remove()
    tokens = -(-latents.shape[2] // network.config.patch)
    return torch.stack(found)[..., :tokens]


def compare_silence(shares: Sequence[Tensor], silent: Sequence[Tensor], group: int) -> Reading:
    """The mean shares of silent and sounding tokens in the groups that have both.

    Args:
        shares: [P] of each sound, of one block.
        silent: [P] bool of each sound.
        group: Tokens of a group.
    """
    quiet, loud, groups = [], [], 0
    for row, hushed in zip(shares, silent, strict=True):
        for part, still in zip(row.split(group), hushed.split(group), strict=True):
            if bool(still.any()) and not bool(still.all()):
                quiet.append(part[still].mean())
                loud.append(part[~still].mean())
                groups += 1
    if not groups:
        return Reading(float("nan"), float("nan"), 0)
    return Reading(float(torch.stack(quiet).mean()), float(torch.stack(loud).mean()), groups)
