"""Equation 4 of arXiv 2404.09956, item by item: how far predictions are from their targets."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["mean", "sum"]


def squared_errors(
    prediction: Tensor, target: Tensor, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Squared error of each item, in fp32 or better whatever autocast says.

    Args:
        prediction: [B, C, T, ...].
        target: The same shape.
        mask: [B, T] bool, the frames that count; all of them if not given.
        reduction: The sum over an item's elements that count, or their mean; an item without any
            has zero.

    Returns:
        [B].
    """
    dtype = torch.promote_types(target.dtype, torch.float32)
    with torch.autocast(prediction.device.type, enabled=False):
        errors = (prediction.to(dtype) - target.to(dtype)).square()
        count = errors[0].numel()
        # [B, T]: what an item's frames add.
        frames = errors.transpose(1, 2).flatten(2).sum(-1)
        if mask is None:
            total = frames.sum(-1)
            return total if reduction == "sum" else total / count
        total = torch.where(mask, frames, 0).sum(-1)
        if reduction == "sum":
            return total
        return total / (mask.sum(-1).clamp_min(1) * (count // mask.shape[1]))
