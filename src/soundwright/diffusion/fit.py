"""FIT (arXiv 2305.12689) as the backbone of GenAu (arXiv 2406.19388, section 3.3).

Patches of latents are tokens, in groups. Each group has a few latents of its own, learned vectors
(not those of the codec) that read what its tokens say, attend to the latents of all groups and to
the conditions, and write back. A block is:

| layer   | who attends to whom                          | times    |
|---------|----------------------------------------------|----------|
| local   | tokens to those of their group               | `local`  |
| ask     | latents to the conditions                    | once     |
| read    | latents to the tokens of their group         | once     |
| across  | latents to all latents                       | `across` |
| write   | tokens to the latents of their group         | once     |

After the last block there are local layers once more. Behind every attention is a feed-forward.
Time grows with the square of the group, not of the sound, but for `across`; the paper has as many
latents as tokens, which spares nothing there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from soundwright.core.seeding import initialising
from soundwright.diffusion.attention import AttentionLayer, Turns
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.context import ExtraTokens, TextTokens, TimeToken
from soundwright.diffusion.tokens import (
    POSITION_DEVIATION,
    TokenConfig,
    TokenNetwork,
    check_heads,
    learn_positions,
)


class FitConfig(TokenConfig):
    """Shape of the network, and the process that it reverses. The defaults are our GenAu-S."""

    blocks: int = Field(default=4, ge=1)
    group: int = Field(default=32, ge=1)
    """Tokens of a group."""
    latents_per_group: int = Field(default=32, ge=1)
    latent_width: int = Field(default=1024, ge=2)
    """Of a latent, and of a condition."""
    latent_heads: int = Field(default=16, ge=1)
    """Divides `latent_width`."""
    local: int = Field(default=2, ge=1)
    """Layers of tokens in a block, and behind the last one."""
    across: int = Field(default=4, ge=1)
    """Layers of latents in a block."""

    @model_validator(mode="after")
    def _divides_latents(self) -> Self:
        check_heads(self.latent_width, self.latent_heads, self.positions)
        return self

    @property
    def max_groups(self) -> int:
        """Groups for which positions are learned."""
        return math.ceil(self.max_tokens / self.group)


@dataclass(frozen=True)
class _Layout:
    """What stays the same from block to block. G groups of N tokens and of L latents."""

    groups: int
    """G."""
    mask: Tensor | None
    """[B * G, N] bool: tokens that are no padding; None where none is."""
    context: Tensor
    """[B, S, latent_width]: the conditions."""
    context_mask: Tensor
    """[B, S] bool."""
    local: Turns | None
    read: Turns | None
    across: Turns | None
    write: Turns | None

    def divide(self, latents: Tensor) -> Tensor:
        """[B, G * L, D] to [B * G, L, D]."""
        return latents.unflatten(1, (self.groups, -1)).flatten(0, 1)

    def join(self, latents: Tensor) -> Tensor:
        """Back to [B, G * L, D]."""
        return latents.unflatten(0, (-1, self.groups)).flatten(1, 2)


class FitBlock(nn.Module):
    """One block; see the table above."""

    def __init__(self, config: FitConfig) -> None:
        super().__init__()
        tokens, latents, drop = config.width, config.latent_width, config.dropout
        self.local = _make_local(config)
        self.ask = AttentionLayer(latents, config.latent_heads, context_width=latents, dropout=drop)
        self.read = AttentionLayer(latents, config.latent_heads, context_width=tokens, dropout=drop)
        self.across = nn.ModuleList(
            AttentionLayer(latents, config.latent_heads, dropout=drop) for _ in range(config.across)
        )
        self.write = AttentionLayer(tokens, config.heads, context_width=latents, dropout=drop)

    def forward(self, tokens: Tensor, latents: Tensor, layout: _Layout) -> tuple[Tensor, Tensor]:
        """Tokens [B * G, N, width] and latents [B, G * L, latent_width] to the same."""
        for layer in self.local:
            tokens = layer(tokens, None, layout.mask, layout.local)
        latents = self.ask(latents, layout.context, layout.context_mask)
        own = self.read(layout.divide(latents), tokens, layout.mask, layout.read)
        latents = layout.join(own)
        for layer in self.across:
            latents = layer(latents, None, None, layout.across)
        tokens = self.write(tokens, layout.divide(latents), None, layout.write)
        return tokens, latents


class Fit(TokenNetwork[FitConfig]):
    """Predicts what its process asks for; see `Network` and the top of this file.

    Args:
        config: The shape.
        seed: Of the initial weights; at first all predictions are zero.
    """

    player = "fit"

    def __init__(self, config: FitConfig, *, seed: int = 0) -> None:
        with initialising(seed, "fit"):
            super().__init__(config)
            width = config.latent_width
            latents = torch.empty(config.latents_per_group, width)
            self.latents = nn.Parameter(nn.init.normal_(latents, std=POSITION_DEVIATION))
            self.groups = learn_positions(config.max_groups, width, config.positions)
            self.text = TextTokens(config.text_width, width, config.text)
            self.extras = ExtraTokens(config.vector_width, config.sources, width)
            self.time = TimeToken(width)
            self.blocks = nn.ModuleList(FitBlock(config) for _ in range(config.blocks))
            self.last = _make_local(config)

    def forward(self, latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """As in `Network`."""
        self.check_shape(tuple(latents.shape[1:]))
        self.check_conditions(conditions)
        tokens = self.place(self.embed(self.fold(latents)))
        count, size = tokens.shape[1], self.config.group
        layout = self._lay_out(count, times, conditions)
        tokens = F.pad(tokens, (0, 0, 0, layout.groups * size - count))
        tokens = tokens.unflatten(1, (layout.groups, size)).flatten(0, 1)
        slots = self._begin(len(latents), layout.groups)
        for block in self.blocks:
            if self.config.checkpointing and torch.is_grad_enabled():
                tokens, slots = checkpoint(block, tokens, slots, layout, use_reentrant=False)
            else:
                tokens, slots = block(tokens, slots, layout)
        for layer in self.last:
            tokens = layer(tokens, None, layout.mask, layout.local)
        tokens = layout.join(tokens)[:, :count]
        return self.unfold(self.out(self.out_norm(tokens)), latents.shape)

    def _begin(self, items: int, groups: int) -> Tensor:
        """[B, G * L, latent_width]: the latents before the first block."""
        slots = self.latents.expand(groups, -1, -1)
        if self.groups is not None:
            slots = slots + self.groups[:groups, None]
        return slots.flatten(0, 1).expand(items, -1, -1)

    def _lay_out(self, count: int, times: Tensor, conditions: Conditions) -> _Layout:
        config, device, items = self.config, self.device, len(conditions)
        groups = math.ceil(count / config.group)
        mask = None
        if count % config.group:
            valid = torch.arange(groups * config.group, device=device) < count
            mask = valid.view(groups, config.group).repeat(items, 1)
        text, text_mask = self.text(conditions.text)
        time = self.time(self.process.network_times(times))
        others = torch.stack([*self.extras(conditions), time], 1)
        always = text_mask.new_ones(items, others.shape[1])
        # Of its group alone: what is attended to lies as far away in every group.
        tokens = torch.arange(config.group, device=device)
        step = config.group / config.latents_per_group
        slots = (torch.arange(config.latents_per_group, device=device) + 0.5) * step - 0.5
        firsts = torch.arange(groups, device=device)[:, None] * config.group
        everywhere = (firsts + slots).flatten()
        narrow, wide = config.width // config.heads, config.latent_width // config.latent_heads
        return _Layout(
            groups,
            mask,
            torch.cat([text, others], 1),
            torch.cat([text_mask, always], 1),
            local=self.turns(tokens, tokens, narrow),
            read=self.turns(slots, tokens, wide),
            across=self.turns(everywhere, everywhere, wide),
            write=self.turns(tokens, slots, narrow),
        )


def _make_local(config: FitConfig) -> nn.ModuleList:
    return nn.ModuleList(
        AttentionLayer(config.width, config.heads, dropout=config.dropout)
        for _ in range(config.local)
    )
