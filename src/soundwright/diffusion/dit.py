"""DiT (arXiv 2212.09748) over the tokens of FIT: attention of all to all, adaLN-zero, text states.

Times, vectors and sources shift, scale and gate each layer; texts are attended to.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from soundwright.core.seeding import initialising
from soundwright.diffusion.attention import Attention, FeedForward, Turns, begin_with_zeros
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.context import ExtraTokens, TextTokens, TimeToken
from soundwright.diffusion.tokens import TokenConfig, TokenNetwork

PARTS = 3
"""Of a block: attention to itself, to the text, feed-forward."""


class DitConfig(TokenConfig):
    """Shape of the network, and the process that it reverses. By default it is as large as S."""

    blocks: int = Field(default=18, ge=1)


class DitBlock(nn.Module):
    """Attention to all tokens, to the text, and a feed-forward, each of them modulated."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        width, heads, drop = config.width, config.heads, config.dropout
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * PARTS * width))
        begin_with_zeros(self.modulation)
        self.norms = nn.ModuleList(_bare_norm(width) for _ in range(PARTS))
        self.itself = Attention(width, heads, dropout=drop)
        self.text = Attention(width, heads, dropout=drop)
        self.feed_forward = FeedForward(width, drop)

    def forward(
        self, tokens: Tensor, style: Tensor, text: Tensor, mask: Tensor, turns: Turns | None
    ) -> Tensor:
        """Tokens [B, P, width] to the same; `style` is [B, width]."""
        parts = iter(self.modulation(style)[:, None].chunk(3 * PARTS, -1))
        layers = (
            lambda hidden: self.itself(hidden, None, None, turns),
            lambda hidden: self.text(hidden, text, mask),
            self.feed_forward,
        )
        for norm, layer in zip(self.norms, layers, strict=True):
            shift, scale, gate = next(parts), next(parts), next(parts)
            tokens = tokens + gate * layer(norm(tokens) * (1 + scale) + shift)
        return tokens


class Dit(TokenNetwork[DitConfig]):
    """Predicts what its process asks for; see `Network`.

    Args:
        config: The shape.
        seed: Of the initial weights; at first all predictions are zero.
    """

    player = "dit"

    def __init__(self, config: DitConfig, *, seed: int = 0) -> None:
        with initialising(seed, "dit"):
            super().__init__(config)
            self.text = TextTokens(config.text_width, config.width, config.text)
            self.extras = ExtraTokens(config.vector_width, config.sources, config.width)
            self.time = TimeToken(config.width)
            self.blocks = nn.ModuleList(DitBlock(config) for _ in range(config.blocks))
            self.out_modulation = nn.Sequential(
                nn.SiLU(), nn.Linear(config.width, 2 * config.width)
            )
            begin_with_zeros(self.out_modulation)

    def forward(self, latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """As in `Network`."""
        self.check_shape(tuple(latents.shape[1:]))
        self.check_conditions(conditions)
        config = self.config
        tokens = self.place(self.embed(self.fold(latents)))
        text, mask = self.text(conditions.text)
        style = self.time(self.process.network_times(times))
        for extra in self.extras(conditions):
            style = style + extra
        places = torch.arange(tokens.shape[1], device=tokens.device)
        turns = self.turns(places, places, config.width // config.heads)
        for block in self.blocks:
            given = (tokens, style, text, mask, turns)
            if config.checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, *given, use_reentrant=False)
            else:
                tokens = block(*given)
        shift, scale = self.out_modulation(style)[:, None].chunk(2, -1)
        return self.unfold(self.out(self.out_norm(tokens) * (1 + scale) + shift), latents.shape)


def _bare_norm(width: int) -> nn.LayerNorm:
    """Without weights: the modulation has them."""
    return nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
