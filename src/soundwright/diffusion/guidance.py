"""Classifier-free guidance: away from no text, or from a negative one, towards the text."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from soundwright.core.protocols import TextStates


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


def pair_texts(text: TextStates, negative: TextStates | None) -> tuple[Tensor, Tensor]:
    """States and mask of 2 B rows: the texts, then what they are guided away from.

    Without negative texts these are rows without any valid position, which mean no text.
    """
    if negative is None:
        hidden = torch.zeros_like(text.mask)
        return torch.cat([text.states, text.states]), torch.cat([text.mask, hidden])
    length = max(text.states.shape[1], negative.states.shape[1])
    both = [(one.states, one.mask, length - one.states.shape[1]) for one in (text, negative)]
    return (
        torch.cat([F.pad(states, (0, 0, 0, missing)) for states, _, missing in both]),
        torch.cat([F.pad(mask, (0, missing)) for _, mask, missing in both]),
    )
