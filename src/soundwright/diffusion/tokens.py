"""Latents as tokens and back: what FIT and DiT have in common."""

from __future__ import annotations

import math
from typing import Literal, Self, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.core.errors import UserError
from soundwright.diffusion.attention import Turns, begin_with_zeros, make_turns, plain_norm
from soundwright.diffusion.context import TextForm
from soundwright.diffusion.network import Network, NetworkConfig
from soundwright.diffusion.noise import NoiseConfig

POSITION_DEVIATION = 0.02


class TokenConfig(NetworkConfig):
    """What the configurations of transformers over patches of latents say."""

    channels: int = Field(default=64, ge=1)
    """C of the latents."""
    bands: int = Field(default=1, ge=1)
    """F of latents [B, C, T, F], all of which a token holds; 1 is for latents [B, C, T] too."""
    patch: int = Field(default=1, ge=1)
    """Frames of a token."""
    width: int = Field(default=1024, ge=2)
    """Of a token."""
    heads: int = Field(default=16, ge=1)
    """Of the attention of tokens; divides `width`."""
    text: TextForm = "states"
    """states: attention to each state of the text encoder; pooled: to the mean of the valid ones,
    as in the paper."""
    positions: Literal["learned", "rotary"] = "learned"
    """learned: as in the paper, up to `max_frames`; rotary: of any length."""
    max_frames: int = Field(default=256, ge=1)
    """Frames for which positions are learned: 256 are 10.24 s at 25 Hz."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Behind attention and in feed-forwards, in training."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        check_heads(self.width, self.heads, self.positions)
        return self

    @model_validator(mode="after")
    def _carries_noise(self) -> Self:
        held = self.channels * self.bands * self.patch
        process = self.process
        is_noise = isinstance(process, NoiseConfig) and process.prediction == "epsilon"
        if is_noise and self.width < held:
            raise ValueError(
                f"a token of width {self.width} cannot carry the noise of its {held} values, and "
                "the first steps of sampling multiply what is lost: take a larger width, a smaller "
                "patch, or prediction v"
            )
        return self

    @property
    def max_tokens(self) -> int:
        """Tokens for which positions are learned."""
        return math.ceil(self.max_frames / self.patch)


def check_heads(width: int, heads: int, positions: str) -> None:
    """Refuse a width that heads cannot share.

    Raises:
        ValueError: For pydantic.
    """
    if width % heads:
        raise ValueError(f"the width {width} must be a multiple of its heads={heads}")
    if positions == "rotary" and width // heads % 2:
        raise ValueError(f"rotary positions turn pairs: {width} / {heads} must be even")


TokenShape = TypeVar("TokenShape", bound=TokenConfig)


class TokenNetwork(Network[TokenShape]):
    """A transformer over tokens, each a patch of frames: latents as tokens and back."""

    def __init__(self, config: TokenShape) -> None:
        super().__init__(config)
        self.embed = nn.Linear(self._patch_size, config.width)
        self.positions = learn_positions(config.max_tokens, config.width, config.positions)
        self.out_norm = plain_norm(config.width)
        self.out = nn.Linear(config.width, self._patch_size)
        begin_with_zeros(self.out)

    @property
    def frame_limit(self) -> int | None:
        """Frames for which positions are learned."""
        return None if self.positions is None else self.config.max_frames

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """As in `Network`."""
        config = self.config
        wanted = (config.channels, config.bands)
        found = (shape[0], *(shape[2:] or (1,))) if len(shape) in (2, 3) else shape
        if found != wanted or min(shape) < 1:
            bands = f", {config.bands}" if config.bands > 1 else ""
            raise UserError(
                f"Latents of the shape {tuple(shape)} cannot be made.",
                expected=f"({config.channels}, T{bands}) with at least one frame",
            )
        limit = self.frame_limit
        if limit is not None and shape[1] > limit:
            raise UserError(
                f"{shape[1]} frames are more than the model has positions for.",
                expected=f"at most {limit}",
                change="Take a model with positions=rotary, or ask for less.",
            )

    def fold(self, latents: Tensor) -> Tensor:
        """Latents [B, C, T, ...] to patches [B, P, patch * C * F]; the last is filled up."""
        frames = latents.transpose(1, 2).flatten(2)
        patches = F.pad(frames, (0, 0, 0, -frames.shape[1] % self.config.patch))
        return patches.unflatten(1, (-1, self.config.patch)).flatten(2)

    def unfold(self, patches: Tensor, shape: torch.Size) -> Tensor:
        """Patches back to latents of a shape."""
        config, frames = self.config, shape[2]
        rows = patches.unflatten(-1, (config.patch, -1)).flatten(1, 2)[:, :frames]
        return rows.unflatten(-1, (config.channels, config.bands)).transpose(1, 2).reshape(shape)

    def place(self, tokens: Tensor) -> Tensor:
        """Tokens with their learned positions, if they have some."""
        if self.positions is None:
            return tokens
        return tokens + self.positions[: tokens.shape[1]].to(tokens.dtype)

    def turns(self, queries: Tensor, keys: Tensor, head_width: int) -> Turns | None:
        """Rotations of queries and keys by their places, in tokens, if positions are rotary."""
        if self.positions is not None:
            return None
        return make_turns(queries, head_width), make_turns(keys, head_width)

    @property
    def _patch_size(self) -> int:
        return self.config.patch * self.config.channels * self.config.bands


def learn_positions(count: int, width: int, positions: str) -> nn.Parameter | None:
    """A table of learned positions; None where they are rotary."""
    if positions == "rotary":
        return None
    return nn.Parameter(nn.init.normal_(torch.empty(count, width), std=POSITION_DEVIATION))
