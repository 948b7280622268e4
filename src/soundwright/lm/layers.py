"""The decoder's block: self-attention, cross-attention to the text, feed-forward; pre-norm."""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from soundwright.lm.cache import LayerCache, StaticLayerCache

NORM_EPS = 1e-5
PLAIN_KEYS = 1024

AnyLayerCache = LayerCache | StaticLayerCache


class TextMemory(NamedTuple):
    """The projected text that cross-attention reads."""

    states: Tensor
    """[B, S, D]; zero where there is no text."""
    visible: Tensor | None
    """[B, 1, 1, S] bool: keys that may be attended to; None means all of them."""


def visible_text(mask: Tensor) -> Tensor:
    """Which text positions [B, S] may be attended to, where padding is left out.

    A softmax over nothing is NaN: a row without text attends to its zeros instead.
    """
    return mask | ~mask.any(dim=1, keepdim=True)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    visible: Tensor | None = None,
    causal: bool = False,
) -> Tensor:
    """Scaled dot-product attention: [B, H, S, d] over [B, H, S', d] to [B, H, S, d].

    Args:
        query: [B, H, S, d].
        key: [B, H, S', d].
        value: [B, H, S', d].
        visible: [B or 1, 1, 1, S'] bool, the keys that may be attended to; None means all.
        causal: Whether a position sees none behind it.
    """
    # On a CPU the fused kernel's backward pass takes several times as long as plain products,
    # whose S x S' weights fit easily into memory at the lengths that are trained there.
    plain = query.device.type == "cpu" and torch.is_grad_enabled() and key.shape[2] <= PLAIN_KEYS
    with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, is_causal=causal
        )


class SelfAttention(nn.Module):
    """Causal multi-head attention without biases; query, key and value are one projection."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, cache: AnyLayerCache | None = None) -> Tensor:
        """[B, S, D] to [B, S, D].

        With a cache the S positions follow those that are stored. S may exceed 1 only while the
        cache is empty.
        """
        B, S, D = x.shape
        qkv = self.qkv(x).view(B, S, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        visible = None
        if cache is None:
            query, key, value = qkv
        else:
            assert S == 1 or cache.length == 0
            query, (key, value, visible) = qkv[0], cache.append(qkv[1:])
        mixed = attend(query, key, value, visible=visible, causal=S > 1)
        return self.out(mixed.transpose(1, 2).reshape(B, S, D))


class CrossAttention(nn.Module):
    """Multi-head attention to the text, without biases: over zeros it gives exactly zero."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def keys_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Project the text [B, S, D] to keys and values, each [B, H, S, D / H]."""
        B, S, D = states.shape
        both = self.key_value(states).view(B, S, 2, self.heads, D // self.heads)
        key, value = both.permute(2, 0, 3, 1, 4)
        return key, value

    def forward(self, x: Tensor, key: Tensor, value: Tensor, visible: Tensor | None) -> Tensor:
        """[B, S, D] to [B, S, D]."""
        B, S, D = x.shape
        query = self.query(x).view(B, S, self.heads, D // self.heads).transpose(1, 2)
        mixed = attend(query, key, value, visible=visible)
        return self.out(mixed.transpose(1, 2).reshape(B, S, D))


class Block(nn.Module):
    """x + self-attention, + cross-attention, + feed-forward with GELU, each behind a LayerNorm."""

    def __init__(self, dim: int, heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.self_attention = SelfAttention(dim, heads)
        self.cross_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.cross_attention = CrossAttention(dim, heads)
        self.ffn_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.ffn_in = nn.Linear(dim, ffn_dim, bias=False)
        self.ffn_out = nn.Linear(ffn_dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, text: TextMemory) -> Tensor:
        """All positions at once: [B, S, D] to [B, S, D]."""
        x = x + self.dropout(self.self_attention(self.self_norm(x)))
        key, value = self.cross_attention.keys_values(text.states)
        x = x + self.dropout(self.cross_attention(self.cross_norm(x), key, value, text.visible))
        inner = self.dropout(F.gelu(self.ffn_in(self.ffn_norm(x))))
        return x + self.dropout(self.ffn_out(inner))

    def remember(self, text: TextMemory, capacity: int) -> LayerCache:
        """Project the text once and make room for `capacity` positions."""
        key, value = self.cross_attention.keys_values(text.states)
        rows, heads, _, head_dim = key.shape
        return LayerCache(
            rows,
            heads,
            capacity,
            head_dim,
            text_keys=key.contiguous(),
            text_values=value.contiguous(),
            text_mask=text.visible,
        )

    def step(self, x: Tensor, cache: AnyLayerCache) -> Tensor:
        """The positions that follow those in the cache: [R, S, D] to [R, S, D]; never drops out."""
        x = x + self.self_attention(self.self_norm(x), cache)
        x = x + self.cross_attention(
            self.cross_norm(x), cache.text_keys, cache.text_values, cache.text_mask
        )
        return x + self.ffn_out(F.gelu(self.ffn_in(self.ffn_norm(x))))
