"""From logits to tokens: guidance, temperature, top-k, top-p, and a draw for each item."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.seeding import torch_stream


class SamplingConfig(Config):
    """How the next token is drawn. The defaults are AudioGen's and MusicGen's."""

    guidance: float = 3.0
    """Weight g of the text: unconditional + g (conditional - unconditional); 1 is without."""
    temperature: float = 1.0
    """Divides the logits; 0 is greedy."""
    top_k: int = 250
    """Draw among the k likeliest tokens; 0 is among all."""
    top_p: float = 0.0
    """Draw among the fewest tokens that together reach probability p; 0 is off, and anything else
    replaces `top_k`."""
    greedy: bool = False
    """Take the likeliest token always."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, value in (("guidance", self.guidance), ("temperature", self.temperature)):
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"The {name} is {value}.", expected="a number of at least 0")
        if self.top_k < 0:
            raise UserError(f"top_k is {self.top_k}.", expected="a number of tokens, or 0 for all")
        if not 0 <= self.top_p <= 1:
            raise UserError(f"top_p is {self.top_p}.", expected="a probability from 0 to 1")
        return self

    @property
    def deterministic(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.greedy or self.temperature == 0


def draw_uniforms(
    seeds: Sequence[int], frames: int, codebooks: int, device: torch.device | str = "cpu"
) -> Tensor:
    """The chance of a whole decoding: [B, frames, K] in [0, 1), float64 (float32 on MPS).

    A number depends on its item's seed, its frame and its codebook and on nothing else: not on
    the batch, the window, the duration or the device.
    """
    uniforms = torch.stack(
        [
            torch.rand(
                frames, codebooks, generator=torch_stream(seed, "tokens"), dtype=torch.float64
            )
            for seed in seeds
        ]
    )
    if torch.device(device).type == "mps":
        # Any number nearer to 1 could, times a sum in float32, reach that sum.
        uniforms = uniforms.float().clamp_max(1 - 2**-23)
    return uniforms.to(device)


def guide(conditional: Tensor, unconditional: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance on logits of one shape."""
    return unconditional + guidance * (conditional - unconditional)


def sample(logits: Tensor, uniforms: Tensor, config: SamplingConfig) -> Tensor:
    """Draw one token for each row.

    The draw inverts the cumulative distribution in the order of the vocabulary, so that rounding
    errors, which may swap two tokens of nearly equal weight, hardly ever change the outcome.

    Args:
        logits: [..., codebook_size] fp32, guided.
        uniforms: [...] in [0, 1), from `draw_uniforms`.
        config: Temperature and truncation.

    Returns:
        [...] int64. A token of probability zero is never drawn.
    """
    if config.deterministic:
        return logits.argmax(dim=-1)
    weights = _truncated(logits / config.temperature, config).softmax(dim=-1)
    cumulative = weights.cumsum(dim=-1, dtype=uniforms.dtype)
    # The first token at which the sum exceeds the drawn share of the whole.
    thresholds = (uniforms * cumulative[..., -1])[..., None]
    tokens = torch.searchsorted(cumulative, thresholds, right=True)[..., 0]
    return tokens.clamp_max(logits.shape[-1] - 1)


def _truncated(logits: Tensor, config: SamplingConfig) -> Tensor:
    """Logits with minus infinity in the place of tokens that may not be drawn."""
    size = logits.shape[-1]
    if config.top_p > 0:
        ordered, order = logits.sort(dim=-1, descending=True)
        mass = ordered.softmax(dim=-1)
        beyond = mass.cumsum(dim=-1) - mass >= config.top_p
        return logits.masked_fill(beyond.scatter(-1, order, beyond), -torch.inf)
    if 0 < config.top_k < size:
        if logits.device.type == "cpu":
            # Four times as fast as topk here.
            least = logits.kthvalue(size - config.top_k + 1, dim=-1, keepdim=True).values
        else:
            least = logits.topk(config.top_k, dim=-1).values[..., -1:]
        return logits.masked_fill(logits < least, -torch.inf)
    return logits
