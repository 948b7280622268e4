"""Classifier-free guidance: away from no conditions, or from negative ones, towards those given."""

from __future__ import annotations

from torch import Tensor

from soundwright.diffusion.conditions import Conditions


def guide(
    conditional: Tensor, unconditional: Tensor, guidance: float, rescale: float = 0.0
) -> Tensor:
    """Give unconditional + w (conditional - unconditional), item by item.

    Args:
        conditional: [B, ...].
        unconditional: The same shape.
        guidance: w.
        rescale: φ of arXiv 2305.08891, section 3.4: how far the deviation of each item is taken
            back to that of its conditional prediction, which a large w exceeds.
    """
    guided = unconditional + guidance * (conditional - unconditional)
    if not rescale:
        return guided
    axes = tuple(range(1, guided.dim()))
    wanted = conditional.std(axes, keepdim=True)
    factor = wanted / guided.std(axes, keepdim=True).clamp_min(1e-12)
    return guided * (rescale * factor + (1 - rescale))


def pair_conditions(conditions: Conditions, negative: Conditions | None) -> Conditions:
    """2 B rows: the conditions, then what they are guided away from.

    Without negative ones these are rows of which every condition is absent.
    """
    return conditions.join(conditions.nulls() if negative is None else negative)
