"""The audio language model: a decoder over K codebooks that reads text by cross-attention.

The architecture is MusicGen's and AudioGen's, so that their weights fit exactly
(`musicgen_weights`). Section 3.1 of arXiv 2309.08773.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from soundwright.core.config import Config
from soundwright.core.seeding import initialising
from soundwright.lm.cache import DecodingCache, StaticCache, sinusoidal_positions
from soundwright.lm.layers import NORM_EPS, Block, TextMemory, visible_text
from soundwright.lm.patterns import Pattern, PatternName


class LmConfig(Config):
    """Shape of an `AudioLm`. The defaults are AudioCraft's "small" over T5-base, 420.37 M."""

    dim: int = Field(default=1024, ge=4, multiple_of=2)
    """D."""
    layers: int = Field(default=24, ge=1)
    heads: int = Field(default=16, ge=1)
    ffn_multiple: int = Field(default=4, ge=1)
    """Width of the feed-forward layer as a multiple of `dim`."""
    codebooks: int = Field(default=4, ge=1)
    """K."""
    codebook_size: int = Field(default=2048, ge=1)
    """Codes in each codebook; the special token is one more."""
    text_width: int = Field(default=768, ge=1)
    """Width of the text encoder's states."""
    pattern: PatternName = "delay"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On the input, inside the feed-forward layer and on the output of each of a block's parts."""
    mask_text: bool = True
    """Whether cross-attention leaves text padding out. False reproduces AudioCraft: padded keys
    are zeros with logit 0, which take their share of the softmax."""
    checkpointing: bool = False
    """Recompute each block's activations in the backward pass, to save memory."""

    @property
    def special(self) -> int:
        """The token of cells that hold no frame; the same in all codebooks."""
        return self.codebook_size

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}")
        return self


class LmOutput(NamedTuple):
    """What the model says at every position.

    Alignment: position s has read steps 0 .. s and its logits predict step s + 1.
    """

    logits: Tensor
    """[B, K, S, codebook_size]; the special token cannot be predicted."""
    hidden: Tensor
    """[B, S, D]: after the last norm, which is what the heads read, or of the layer asked for."""
    projected_text: Tensor
    """[B, St, D]: the projected text before it is dropped; zero where the text mask is False."""


class AudioLm(nn.Module):
    """K summed token embeddings, pre-norm blocks without biases, K heads.

    Args:
        config: The shape.
        seed: Seed of the initial weights.
    """

    def __init__(self, config: LmConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.pattern = Pattern.named(config.pattern, config.codebooks)
        D, K = config.dim, config.codebooks
        with initialising(seed, "lm"):
            # One table and one matrix for all codebooks: codebook q owns the q-th part of the rows.
            self.embedding = nn.Embedding(K * (config.codebook_size + 1), D)
            self.text_projection = nn.Linear(config.text_width, D)
            self.blocks = nn.ModuleList(
                Block(D, config.heads, config.ffn_multiple * D, config.dropout)
                for _ in range(config.layers)
            )
            self.out_norm = nn.LayerNorm(D, eps=NORM_EPS)
            self.heads = nn.Linear(D, K * config.codebook_size, bias=False)
            self.dropout = nn.Dropout(config.dropout)
            self._initialise()

    @property
    def special(self) -> int:
        """`LmConfig.special`."""
        return self.config.special

    @property
    def _stack(self) -> list[Block]:
        return cast("list[Block]", list(self.blocks))

    def _initialise(self) -> None:
        """Draw the initial weights as AudioCraft does.

        | weights                                   | distribution                               |
        |-------------------------------------------|--------------------------------------------|
        | embedding, heads                          | N(0, 1 / D), cut at 3 sigma                |
        | out of attentions, ffn of block l = 1, ...| N(0, 1 / (2 l fan_in)), cut at 3 sigma     |
        | qkv, query, key_value                     | U(-1, 1) / sqrt(D), the default of Linear  |
        | text_projection, with its bias            | U(-1, 1) / sqrt(text_width), the default   |
        | norms                                     | one and zero                               |

        The third row looks like an oversight of AudioCraft's, whose fused projection is a bare
        parameter that its initialiser does not see; it is what all published models began from.
        """
        _draw_normal(self.embedding.weight)
        _draw_normal(self.heads.weight)
        for depth, block in enumerate(self._stack, start=1):
            for layer in (
                block.self_attention.out,
                block.cross_attention.out,
                block.ffn_in,
                block.ffn_out,
            ):
                _draw_normal(layer.weight, divisor=math.sqrt(2 * depth))

    def forward(
        self,
        tokens: Tensor,
        text: Tensor,
        text_mask: Tensor,
        *,
        drop_text: bool = False,
        hidden_layer: int | None = None,
    ) -> LmOutput:
        """Read a whole sequence.

        Right padding needs no mask: attention is causal, so earlier positions never see it.

        Args:
            tokens: [B, K, S] int64, laid out by the pattern.
            text: [B, St, text_width], states of the text encoder.
            text_mask: [B, St] bool. A row without any True is unconditional: cross-attention
                then adds exactly zero.
            drop_text: Hide all texts from cross-attention, which stays in the graph with zeros.
            hidden_layer: Number of the block, from 0, whose output `hidden` shall be.
        """
        projected, memory = self.read_text(text, text_mask, drop=drop_text)
        positions = sinusoidal_positions(tokens.shape[-1], self.config.dim, tokens.device)
        x = self.dropout(self._embed(tokens, positions))
        hidden = None
        for number, block in enumerate(self._stack):
            if self.config.checkpointing and self.training and torch.is_grad_enabled():
                x = checkpoint(block, x, memory, use_reentrant=False)
            else:
                x = block(x, memory)
            if number == hidden_layer:
                hidden = x
        x = self.out_norm(x)
        logits = self._predict(x)
        return LmOutput(logits, x if hidden is None else hidden, projected)

    def start(self, text: Tensor, text_mask: Tensor, capacity: int) -> DecodingCache:
        """Begin a decoding of R rows: project the texts and make room for `capacity` positions.

        Args:
            text: [R, St, text_width].
            text_mask: [R, St] bool; rows without any True are unconditional.
            capacity: The most positions that will be read before a `rewind`.
        """
        _, memory = self.read_text(text, text_mask)
        if memory.visible is not None and bool(memory.visible.all()):
            memory = memory._replace(visible=None)
        return DecodingCache(
            layers=[block.remember(memory, capacity) for block in self._stack],
            positions=sinusoidal_positions(capacity, self.config.dim, text.device),
        )

    def remember(self, memory: Tensor, cache: StaticCache) -> None:
        """Project the memory [R, S, D] to the keys and values of every layer of a cache."""
        for block, layer in zip(self._stack, cache.layers, strict=True):
            key, value = block.cross_attention.keys_values(memory)
            layer.text_keys.copy_(key)
            layer.text_values.copy_(value)

    def step(self, tokens: Tensor, cache: DecodingCache | StaticCache) -> Tensor:
        """Read the tokens [R, K, S] that follow those in the cache, give the last logits.

        S may exceed 1 only while the cache is empty.

        Returns:
            [R, K, codebook_size]: the prediction of the next step.
        """
        x = self._embed(tokens, cache.take_positions(tokens.shape[-1]))
        for block, layer in zip(self._stack, cache.layers, strict=True):
            x = block.step(x, layer)
        return self._predict(self.out_norm(x[:, -1:]))[:, :, 0]

    def read_text(
        self, text: Tensor, mask: Tensor, *, drop: bool = False
    ) -> tuple[Tensor, TextMemory]:
        """Project the text; give it as it is, and as cross-attention may see it.

        Args:
            text: [B, St, text_width].
            mask: [B, St] bool.
            drop: Hide all texts from cross-attention.

        Returns:
            [B, St, D], and the memory, which has one position at least.
        """
        length = text.shape[1]
        if length == 0:
            text, mask = F.pad(text, (0, 0, 0, 1)), F.pad(mask, (0, 1))
        text = text.to(self.text_projection.weight.dtype)
        projected = self.text_projection(text) * mask[..., None]
        keep = torch.zeros_like(mask) if drop else mask
        visible = visible_text(keep)[:, None, None] if self.config.mask_text else None
        return projected[:, :length], TextMemory(projected * keep[..., None], visible)

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """[B, K, S] to [B, S, D]; positions are added in fp32."""
        K = self.config.codebooks
        first_rows = torch.arange(K, device=tokens.device)[:, None] * (self.special + 1)
        summed = self.embedding(tokens + first_rows).sum(dim=1)
        return (summed + positions).to(summed.dtype)

    def _predict(self, hidden: Tensor) -> Tensor:
        """[B, S, D] to [B, K, S, codebook_size]."""
        shape = (self.config.codebooks, self.config.codebook_size)
        return self.heads(hidden).unflatten(-1, shape).transpose(1, 2)


def _draw_normal(weight: Tensor, divisor: float = 1.0) -> None:
    deviation = 1 / (math.sqrt(weight.shape[1]) * divisor)
    nn.init.trunc_normal_(weight, std=deviation, a=-3 * deviation, b=3 * deviation)
