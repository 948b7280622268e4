"""The decode engine for CPUs: packed matrices, and few operations around them.

A step of a large model is bound by the reading of its weights, a step of a small one by the number
of operations; this engine keeps both low. All rows and positions are rows of one matrix, [rows, D]
in fp32, and only the matrices are narrower. Rows without text skip cross-attention, which would
add exactly zero to them.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.core.protocols import TextStates
from soundwright.lm.cache import sinusoidal_positions
from soundwright.lm.engine import stack_rows
from soundwright.lm.layers import NORM_EPS, Block, visible_text
from soundwright.lm.model import AudioLm
from soundwright.lm.sampling import SamplingConfig, guide, sample
from soundwright.nn.packing import WeightType, pack_linear

TEXT_STEP = 32
"""Texts are read as multiples of so many positions."""


class CpuEngine:
    """A model with packed matrices, which it holds in the place of the model's.

    Args:
        lm: On the CPU, in fp32. It is not kept, and not changed.
        weights: How the matrices are kept.

    Raises:
        UserError: This CPU cannot work with such weights.
    """

    def __init__(self, lm: AudioLm, weights: WeightType = "fp32") -> None:
        self.config, self.pattern = lm.config, lm.pattern
        self.device = torch.device("cpu")
        self.weights: WeightType = weights
        self.parameters = sum(parameter.numel() for parameter in lm.parameters())
        self._layers = [_Layer(cast("Block", block), weights) for block in lm.blocks]
        # Read once a sound, it costs no step anything to be exact.
        self._text_projection = pack_linear(lm.text_projection).forward
        # Rounding before the heads changes predictions as much as that before all other layers.
        self._heads = pack_linear(lm.heads, weights, fine=True).forward
        self._out_norm = _copy_norm(lm.out_norm)
        self._embedding = lm.embedding.weight.detach()
        self._first_rows = torch.arange(lm.config.codebooks)[:, None] * (lm.special + 1)

    @torch.inference_mode()
    def begin(
        self,
        text: TextStates,
        negative: TextStates | None,
        sampling: SamplingConfig,
        capacity: int,
    ) -> CpuSession:
        """As `Engine.begin`."""
        states, mask = stack_rows(text, negative, sampling.guidance)
        return CpuSession(self, states.cpu().float(), mask.cpu(), sampling, capacity)

    def read_text(self, states: Tensor, mask: Tensor) -> _Text | None:
        """Project the texts of R rows to every layer's keys and values.

        Args:
            states: [R, S, text_width].
            mask: [R, S] bool.

        Returns:
            None where there is no text at all.
        """
        rows = int(mask.any(dim=1).nonzero().max()) + 1 if bool(mask.any()) else 0
        if rows == 0:
            return None
        states, mask = states[:rows], mask[:rows]
        bias = None
        if self.config.mask_text:
            length = int(mask.any(dim=0).nonzero().max()) + 1
            # As long for nearly all texts: how sums over them are rounded follows from the length,
            # which must not be that of the longest among batch mates.
            length = math.ceil(length / TEXT_STEP) * TEXT_STEP
            missing = max(0, length - states.shape[1])
            states = F.pad(states, (0, 0, 0, missing))[:, :length]
            mask = F.pad(mask, (0, missing))[:, :length]
            visible = visible_text(mask)
            if not bool(visible.all()):
                bias = torch.zeros(visible.shape).masked_fill_(~visible, -torch.inf)
        memory = self._text_projection(states) * mask[..., None]
        heads = self.config.heads
        keys_values = []
        for layer in self._layers:
            both = layer.key_value(memory).view(rows, -1, 2, heads, self.config.dim // heads)
            key, value = both.permute(2, 0, 3, 1, 4).contiguous()
            keys_values.append((key, value))
        return _Text(rows, keys_values, bias)

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Tokens [B, K, S] at positions [S, D] to [B, S, D]."""
        return F.embedding(tokens + self._first_rows, self._embedding).sum(dim=1) + positions

    def predict(self, x: Tensor) -> Tensor:
        """[R, D] to logits [R, K, codebook_size]."""
        return self._heads(self._out_norm(x)).view(len(x), self.config.codebooks, -1)

    def run(self, x: Tensor, cache: _Cache, text: _Text | None) -> Tensor:
        """All blocks, in place, on the positions [R * S, D] that follow those in the cache."""
        S = len(x) // cache.rows
        spans, keys, values = cache.extend(S)
        for number, layer in enumerate(self._layers):
            layer.listen(x, S, spans[number], keys[number], values[number])
            if text is not None:
                layer.read(x[: text.rows * S], S, *text.keys_values[number], text.bias)
            x.add_(layer.ffn_out(layer.ffn_in(layer.ffn_norm(x))))
        return x


class CpuSession:
    """Conditional rows and, below them, those that they are guided away from, in one batch."""

    def __init__(
        self,
        engine: CpuEngine,
        states: Tensor,
        mask: Tensor,
        sampling: SamplingConfig,
        capacity: int,
    ) -> None:
        config = engine.config
        self._engine, self._sampling = engine, sampling
        self._repeats = 1 if sampling.guidance == 1 else 2
        self._text = engine.read_text(states, mask)
        self._cache = _Cache(config.layers, len(mask), config.heads, capacity, config.dim)
        self._logits = torch.zeros(())

    @torch.inference_mode()
    def draw(self, tokens: Tensor, chance: Tensor) -> Tensor:
        """As `Session.draw`."""
        return sample(self.predict(tokens), chance, self._sampling)

    @torch.inference_mode()
    def predict(self, tokens: Tensor) -> Tensor:
        """As `PlainSession.predict`."""
        engine, S = self._engine, tokens.shape[-1]
        x = engine.embed(tokens, self._cache.positions[self._cache.length :][:S])
        x = x.repeat(self._repeats, 1, 1)
        R, _, D = x.shape
        x = engine.run(x.view(R * S, D), self._cache, self._text)
        logits = engine.predict(x.view(R, S, D)[:, -1])
        if self._repeats == 2:
            conditional, unconditional = logits.chunk(2)
            logits = guide(conditional, unconditional, self._sampling.guidance)
        self._logits = logits
        return logits

    def rewind(self) -> None:
        """As `Session.rewind`."""
        self._cache.length = 0

    def is_finite(self) -> bool:
        """As `Session.is_finite`."""
        return bool(torch.isfinite(self._logits).all())


class _Text(NamedTuple):
    """What the layers know of the texts."""

    rows: int
    """The first so many rows have texts; those below have none."""
    keys_values: list[tuple[Tensor, Tensor]]
    """Of every layer, each [rows, H, S, d]."""
    bias: Tensor | None
    """[rows, S]: minus infinity at padding, else zero; None where there is no padding."""


class _Cache:
    """Keys and values of all layers, in one buffer that is allocated once."""

    def __init__(self, layers: int, rows: int, heads: int, capacity: int, dim: int) -> None:
        self.rows = rows
        self.length = 0
        self.positions = sinusoidal_positions(capacity, dim, torch.device("cpu"))
        self._stored = torch.empty(layers, 2, rows, heads, capacity, dim // heads)

    def extend(
        self, steps: int
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Room for further positions.

        Returns:
            For every layer, views: where to write [2, R, H, steps, d], and all keys and all
            values, the new ones included, [R, H, length, d] each.
        """
        start, self.length = self.length, self.length + steps
        assert self.length <= len(self.positions), f"{self.length} of {len(self.positions)}"
        seen = self._stored[..., : self.length, :]
        return seen[..., start:, :].unbind(0), seen[:, 0].unbind(0), seen[:, 1].unbind(0)


class _Norm(NamedTuple):
    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, NORM_EPS)


class _Layer:
    """A block over rows."""

    def __init__(self, block: Block, weights: WeightType) -> None:
        own, cross = block.self_attention, block.cross_attention
        self._heads = own.heads
        self.self_norm, self.cross_norm, self.ffn_norm = (
            _copy_norm(norm) for norm in (block.self_norm, block.cross_norm, block.ffn_norm)
        )
        # Called past the hooks of Module, of which there are none: a step has hundreds of calls.
        self.qkv, self.self_out, self.query, self.key_value, self.cross_out, self.ffn_out = (
            pack_linear(linear, weights).forward
            for linear in (
                own.qkv, own.out, cross.query, cross.key_value, cross.out, block.ffn_out
            )
        )  # fmt: skip
        self.ffn_in = pack_linear(block.ffn_in, weights, "gelu").forward

    def listen(self, x: Tensor, steps: int, span: Tensor, keys: Tensor, values: Tensor) -> None:
        """Add self-attention to x [R * S, D]; write the new keys and values to `span`."""
        qkv = self.qkv(self.self_norm(x))
        qkv = qkv.view(-1, steps, 3, self._heads, keys.shape[-1]).permute(2, 0, 3, 1, 4)
        span.copy_(qkv[1:])
        x.add_(self.self_out(_mix(qkv[0], keys, values)))

    def read(
        self, x: Tensor, steps: int, keys: Tensor, values: Tensor, bias: Tensor | None
    ) -> None:
        """Add cross-attention to x [R * S, D], over keys and values [R, H, S', d]."""
        query = self.query(self.cross_norm(x))
        query = query.view(-1, steps, self._heads, keys.shape[-1]).transpose(1, 2)
        x.add_(self.cross_out(_mix(query, keys, values, bias, causal=False)))


def _mix(
    query: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None, causal: bool = True
) -> Tensor:
    """Attention: [R, H, S, d] over [R, H, n, d] to [R * S, H * d]."""
    R, H, S, d = query.shape
    mask = None if bias is None else bias[:, None, None]
    mixed = F.scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, is_causal=causal and S > 1
    )
    return mixed.transpose(1, 2).reshape(R * S, H * d)


def _copy_norm(norm: nn.LayerNorm) -> _Norm:
    return _Norm(norm.weight.detach(), norm.bias.detach())
