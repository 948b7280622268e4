"""The alternative that the paper tried and rejected (section 2): a contrastive loss as CLAP's.

Each sound must find its text among the batch's texts, and each text its sound. CLAP maps both into
one space; here that space is the language model's own, in which the text is projected anyway, so
that the comparison with RR adds no parameters.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from soundwright.lm.representations import (
    RegularizerConfig,
    Representations,
    paired,
)


class ContrastiveConfig(RegularizerConfig):
    """The contrastive loss. `duplicates="mask"` keeps equal captions from being negatives."""

    kind: Literal["contrastive"] = "contrastive"
    weight: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=0.07, gt=0)
    """What cosines are divided by: CLAP's starting value, which it then learns."""


class ContrastiveReport(NamedTuple):
    """The loss, and how often it is right. All scalars; only the loss has a gradient."""

    loss: Tensor
    accuracy: Tensor
    """Share of valid sounds whose own text is the nearest."""
    valid: Tensor
    """Number of items with caption and sound."""


def contrast(batch: Representations, config: ContrastiveConfig) -> ContrastiveReport:
    """The mean of both directions' cross-entropies over valid items, in fp32.

    Args:
        batch: With text and audio of the same width.
        config: Temperature and pairs.
    """
    with torch.autocast(batch.audio.device.type, enabled=False):
        audio, text = (F.normalize(side.float(), dim=1) for side in (batch.audio, batch.text))
        own = torch.eye(len(audio), dtype=torch.bool, device=audio.device)
        pairs = paired(batch, config)
        # A row of an item that is not valid keeps its own column, so that no softmax is empty.
        logits = (audio @ text.T / config.temperature).masked_fill(~(pairs | own), -torch.inf)
        both = (F.log_softmax(logits, dim=0) + F.log_softmax(logits, dim=1)).diagonal() / 2
        valid = batch.valid.sum()
        enough = pairs.sum() >= config.min_pairs
        loss = -torch.where(batch.valid, both, 0.0).sum() / valid.clamp_min(1) * enough
        nearest = logits.argmax(dim=1)
        right = batch.valid & (nearest == torch.arange(len(audio), device=audio.device))
        return ContrastiveReport(loss, right.sum() / valid.clamp_min(1), valid)
