"""The U-Net over latents, conditioned on the states of a text encoder.

The blocks are those of diffusers' UNet2DConditionModel. Here are the text, its mask and what stands
for no text; the other conditions, where the model knows them, are further states that it attends
to. Latents of any length are taken as they are: the U-Net rounds up where it halves, and cuts off
again where it doubles. Latents [B, C, T] have one band.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.core.errors import UserError
from soundwright.core.extras import load_diffusers
from soundwright.core.seeding import initialising
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.context import ExtraTokens
from soundwright.diffusion.network import Network, NetworkConfig


class UnetConfig(NetworkConfig):
    """Shape of the network, and the process that it reverses. The defaults are Tango's."""

    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    """Channels of each level; from one level to the next, T and F are halved."""
    attention: tuple[bool, ...] = (True, True, True, False)
    """Levels whose blocks attend, to themselves and to the text. What lies below the last level
    always does."""
    heads: tuple[int, ...] = (5, 10, 20, 20)
    """Attention heads of each level, which diffusers calls attention_head_dim."""
    layers: int = Field(default=2, ge=1)
    """Residual blocks of a level on the way down; there is one more on the way up."""
    groups: int = Field(default=32, ge=1)
    """Of the group norms; divides all widths."""
    cross_width: int = Field(default=1024, ge=1)
    """What the U-Net's attention reads. Where it is not the text's width, a linear layer of our own
    stands between."""
    null: Literal["learned", "fixed"] = "learned"
    """What stands for no text: states that are trained, or that stay what they are, zero unless
    weights say otherwise (Tango: those of the empty text)."""
    null_length: int = Field(default=1, ge=1)
    """Number of these states."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        levels = len(self.widths)
        if not levels or len(self.attention) != levels or len(self.heads) != levels:
            raise ValueError(
                f"widths, attention and heads have {levels}, {len(self.attention)} and "
                f"{len(self.heads)} levels; they must have the same number, one at least"
            )
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width < 1 or width % self.groups:
                raise ValueError(f"the width {width} must be a multiple of groups={self.groups}")
            if heads < 1 or width % heads:
                raise ValueError(f"the width {width} must be a multiple of its heads={heads}")
        return self

    def diffusers_config(self) -> dict[str, Any]:
        """Arguments of diffusers' UNet2DConditionModel."""
        down = ["CrossAttnDownBlock2D" if one else "DownBlock2D" for one in self.attention]
        up = ["CrossAttnUpBlock2D" if one else "UpBlock2D" for one in reversed(self.attention)]
        return {
            "in_channels": self.channels,
            "out_channels": self.channels,
            "down_block_types": down,
            "up_block_types": up,
            "block_out_channels": list(self.widths),
            "attention_head_dim": list(self.heads),
            "layers_per_block": self.layers,
            "norm_num_groups": self.groups,
            "cross_attention_dim": self.cross_width,
            "use_linear_projection": True,
            "dropout": self.dropout,
        }


class LatentUnet(Network[UnetConfig]):
    """Predicts what its process asks for; see `Network`.

    Args:
        config: The shape.
        seed: Seed of the initial weights.

    Raises:
        UserError: The package diffusers is not installed.
    """

    player = "unet"
    null: Tensor

    def __init__(self, config: UnetConfig, *, seed: int = 0) -> None:
        super().__init__(config)
        diffusers = load_diffusers()
        with initialising(seed, "unet"):
            self.unet = diffusers.UNet2DConditionModel(**config.diffusers_config())
            self.text_projection: nn.Module = (
                nn.Linear(config.text_width, config.cross_width)
                if config.text_width != config.cross_width
                else nn.Identity()
            )
            null = torch.zeros(config.null_length, config.text_width)
            if config.null == "learned":
                self.null = nn.Parameter(nn.init.normal_(null, std=0.02))
            else:
                self.register_buffer("null", null)
            self.extras = ExtraTokens(config.vector_width, config.sources, config.cross_width)
        if config.checkpointing:
            self.unet.enable_gradient_checkpointing()
        # Convolutions on CPUs with AVX2 take a third less time so; results are the same.
        self.unet.to(memory_format=torch.channels_last)

    def forward(self, latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """As in `Network`."""
        self.check_shape(tuple(latents.shape[1:]))
        self.check_conditions(conditions)
        states, mask = self._fill_in_null(conditions.text.states, conditions.text.mask)
        states = self.text_projection(states)
        extras = self.extras(conditions)
        if extras:
            states = torch.cat([states, torch.stack(extras, 1).to(states.dtype)], 1)
            mask = F.pad(mask, (0, len(extras)), value=True)
        prediction = self.unet(
            latents if latents.dim() == 4 else latents[..., None],
            self.process.network_times(times).to(latents.device),
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
        ).sample
        return prediction.reshape(latents.shape)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """As in `Network`."""
        channels = self.config.channels
        if len(shape) not in (2, 3) or shape[0] != channels or min(shape) < 1:
            raise UserError(
                f"Latents of the shape {tuple(shape)} cannot be made.",
                expected=f"({channels}, T) or ({channels}, T, F) with at least one frame",
            )

    def _fill_in_null(self, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Put the null in the place of texts that are none."""
        states = states.to(self.null.dtype)
        absent = ~mask.any(-1)
        length = self.config.null_length
        missing = max(length - states.shape[1], 0)
        states, mask = F.pad(states, (0, 0, 0, missing)), F.pad(mask, (0, missing))
        beyond = states.shape[1] - length
        valid = torch.arange(states.shape[1], device=mask.device) < length
        return (
            torch.where(absent[:, None, None], F.pad(self.null, (0, 0, 0, beyond)), states),
            torch.where(absent[:, None], valid, mask),
        )
