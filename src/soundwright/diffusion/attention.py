"""The layers that FIT and DiT are made of: attention, rotary positions, feed-forward."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROTARY_BASE = 10_000.0
EXPANSION = 4
"""How much wider a feed-forward's hidden layer is."""

Turns = tuple[Tensor, Tensor]
"""Angles of queries and of keys, see `make_turns`."""


class Attention(nn.Module):
    """Multi-head attention of a sequence to itself or to another one, by torch's SDPA.

    Args:
        width: Of what asks.
        heads: Divides `width`.
        context_width: Of what is asked; None takes `width`.
        dropout: Of the output, in training.
    """

    def __init__(
        self, width: int, heads: int, *, context_width: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(context_width or width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        hidden: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        turns: Turns | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            hidden: [B, Q, width].
            context: [B, K, context_width]; None is `hidden`.
            mask: [B, K] bool: positions that may be attended to, one a row at least.
            turns: Rotations of queries and of keys, see `make_turns`.

        Returns:
            [B, Q, width].
        """
        query, key, value = self.project(hidden, context, turns)
        where = None if mask is None else mask[:, None, None]
        found = F.scaled_dot_product_attention(query, key, value, where)
        return self.dropout(self.out(found.transpose(1, 2).flatten(2)))

    def weigh(
        self,
        hidden: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        turns: Turns | None = None,
    ) -> Tensor:
        """How much each query attends to each position: [B, heads, Q, K], rows of sum one."""
        query, key, _ = self.project(hidden, context, turns)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], -torch.inf)
        return scores.softmax(-1)

    def project(
        self, hidden: Tensor, context: Tensor | None, turns: Turns | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, [B, heads, Q or K, width / heads] each."""
        asked = hidden if context is None else context
        key, value = self.key_value(asked).chunk(2, -1)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(hidden), key, value)
        )
        if turns is not None:
            query, key = turn(query, turns[0]), turn(key, turns[1])
        return query, key, value


class FeedForward(nn.Sequential):
    """A hidden layer four times as wide, with GELU."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Linear(width, EXPANSION * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(EXPANSION * width, width),
            nn.Dropout(dropout),
        )


class AttentionLayer(nn.Module):
    """Attention, then a feed-forward, each of what is normed and added to what was there.

    Args:
        width: Of the sequence.
        heads: Of the attention.
        context_width: Of another sequence that it attends to; None attends to itself.
        dropout: In training.
    """

    def __init__(
        self, width: int, heads: int, *, context_width: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm = plain_norm(width)
        self.context_norm = None if context_width is None else plain_norm(context_width)
        self.attention = Attention(width, heads, context_width=context_width, dropout=dropout)
        self.forward_norm = plain_norm(width)
        self.feed_forward = FeedForward(width, dropout)

    def forward(
        self,
        hidden: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        turns: Turns | None = None,
    ) -> Tensor:
        """As `Attention`: [B, Q, width] to the same."""
        if context is not None and self.context_norm is not None:
            context = self.context_norm(context)
        hidden = hidden + self.attention(self.norm(hidden), context, mask, turns)
        return hidden + self.feed_forward(self.forward_norm(hidden))


def plain_norm(width: int) -> nn.LayerNorm:
    """Layer norm without bias."""
    return nn.LayerNorm(width, bias=False)


def make_turns(places: Tensor, head_width: int) -> Tensor:
    """Rotary positions (arXiv 2104.09864): the angles of places [Q] as [Q, head_width / 2]."""
    half = head_width // 2
    rates = ROTARY_BASE ** (-torch.arange(half, device=places.device, dtype=torch.float32) / half)
    return places.float()[:, None] * rates


def turn(heads: Tensor, angles: Tensor) -> Tensor:
    """Rotate pairs of the elements of [B, heads, Q, head_width] by angles [Q, head_width / 2]."""
    first, second = heads.float().chunk(2, -1)
    cos, sin = angles.cos(), angles.sin()
    turned = torch.cat([first * cos - second * sin, first * sin + second * cos], -1)
    return turned.to(heads.dtype)


def begin_with_zeros(module: nn.Module) -> None:
    """Let a layer give nothing at first."""
    for weight in module.parameters():
        nn.init.zeros_(weight)
