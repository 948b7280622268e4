"""Equations 1 and 2 of arXiv 2309.08773: cross-entropy of each codebook's next token.

The paper sums over codebooks and frames. Here, as in AudioCraft, each codebook's loss is the mean
over the batch's valid tokens, and the loss is the mean over codebooks: it does not depend on the
length of the clips, and RR's weight of 3 is measured against this mean. The batch is that of all
ranks: a token weighs the same on each of them, however much padding there is.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, distributed
from torch.nn import functional as F

_IGNORED = -100


class CrossEntropy(NamedTuple):
    """The loss, and what it is made of; over several ranks, the mean of theirs is the batch's."""

    loss: Tensor
    """Scalar: mean over codebooks, weighted where weights are given."""
    codebooks: Tensor
    """[K]: each codebook's mean over valid tokens, in nats; zero for one without any."""


def masked_cross_entropy(
    logits: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None
) -> CrossEntropy:
    """Cross-entropy of the targets, in fp32; equation 1 with text, equation 2 without.

    Where several ranks train together, all of them call it.

    Args:
        logits: [B, K, S, codebook_size], aligned so that logits at s predict `targets[..., s]`.
        targets: [B, K, S] int64, any value where the mask is False.
        mask: [B, K, S] bool.
        weights: [K], each codebook's weight in the mean; equal if not given.
    """
    losses = token_losses(logits, targets, mask).flatten(0, 1)
    codebooks = losses.sum(dim=0) / _count(mask)
    if weights is None:
        return CrossEntropy(codebooks.mean(), codebooks)
    return CrossEntropy((codebooks * weights).sum() / weights.sum(), codebooks)


def token_losses(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of each target, in fp32; arguments are those of `masked_cross_entropy`.

    Returns:
        [B, S, K]; zero where the mask is False.
    """
    # Back to [B, S, K, codebook_size], in which the model's logits lie in memory.
    rows = logits.transpose(1, 2).reshape(-1, logits.shape[-1])
    labels = targets.masked_fill(~mask, _IGNORED).transpose(1, 2).reshape(-1)
    with torch.autocast(logits.device.type, enabled=False):
        losses = F.cross_entropy(rows.float(), labels, ignore_index=_IGNORED, reduction="none")
    return losses.view(len(logits), -1, logits.shape[1])


def _count(mask: Tensor) -> Tensor:
    """[K]: valid tokens of each codebook, of all ranks, as a mean over ranks."""
    count = mask.sum(dim=(0, 2))
    if not (distributed.is_available() and distributed.is_initialized()):
        return count.clamp_min(1)
    distributed.all_reduce(count)
    return count.clamp_min(1) / distributed.get_world_size()
