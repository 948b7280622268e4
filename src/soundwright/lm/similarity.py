"""Representation similarity regularization (RR): equations 3-6 of arXiv 2309.08773.

RR asks that two sounds of a batch be as similar as their texts are: it compares the cosine of the
texts (equation 3) with the cosine of the sounds' representations (equation 4) over all pairs
(equation 5), and is added, times lambda, in the steps where the text is hidden from the language
model (equation 6).
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
    same_caption,
)


class RrConfig(RegularizerConfig):
    """RR. Every choice that the paper leaves open is an option with the recommended default."""

    kind: Literal["rr"] = "rr"
    text: Literal["encoder", "projected"] = "encoder"
    """v: the text encoder's states, or those after the language model's projection."""
    detach_text: bool = True
    """Without it a projected text follows the sounds instead of leading them, and may collapse."""
    eps: float = Field(default=1e-8, gt=0)
    """The least length that a vector is divided by."""


class RrReport(NamedTuple):
    """The loss, and whether it has anything to do. All scalars; only the loss has a gradient."""

    loss: Tensor
    """L_rr, equation 5, without lambda."""
    text_mean: Tensor
    """Mean of T over the pairs."""
    audio_mean: Tensor
    """Mean of A over the pairs. Max-pooled states of any content lie near 1."""
    correlation: Tensor
    """Pearson's, of T and A over the pairs; zero where it is undefined."""
    duplicates: Tensor
    """Share of valid pairs with equal captions."""
    valid: Tensor
    """Number of items with caption and sound."""


def regularize(batch: Representations, config: RrConfig) -> RrReport:
    """Equations 3-5 over the ordered off-diagonal pairs of valid items, in fp32."""
    with torch.autocast(batch.audio.device.type, enabled=False):
        T = cosine_similarities(batch.text, config.eps)
        A = cosine_similarities(batch.audio, config.eps)
        pairs = paired(batch, config)
        count = pairs.sum()
        loss = _mean((T - A).square(), pairs) * (count >= config.min_pairs)
        with torch.no_grad():
            every = paired(batch, config.model_copy(update={"duplicates": "keep"}))
            return RrReport(
                loss=loss,
                text_mean=_mean(T, pairs),
                audio_mean=_mean(A, pairs),
                correlation=_correlation(T, A, pairs),
                duplicates=_mean(same_caption(batch).float(), every),
                valid=batch.valid.sum(),
            )


def cosine_similarities(vectors: Tensor, eps: float) -> Tensor:
    """Equations 3 and 4: the cosine of each pair of rows, [B, D] to [B, B]."""
    directions = F.normalize(vectors.float(), dim=1, eps=eps)
    return directions @ directions.T


def _mean(values: Tensor, pairs: Tensor) -> Tensor:
    return (values * pairs).sum() / pairs.sum().clamp_min(1)


def _correlation(T: Tensor, A: Tensor, pairs: Tensor) -> Tensor:
    T, A = T - _mean(T, pairs), A - _mean(A, pairs)
    spread = (_mean(T.square(), pairs) * _mean(A.square(), pairs)).sqrt()
    return torch.where(spread > 0, _mean(T * A, pairs) / spread, 0.0)
