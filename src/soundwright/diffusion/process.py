"""What noise and flow have in common: a way from latents to noise, whose reverse is learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from pydantic import BeforeValidator, Field
from torch import Tensor

from soundwright.diffusion.flow import FlowConfig, FlowProcess
from soundwright.diffusion.noise import NoiseConfig, NoiseProcess


class Process(Protocol):
    """A way from latents to noise. Times are [B], one an item, on any device.

    Items of a batch are independent; latents and noise may have any axes behind the first.
    """

    def times_at(self, shares: Tensor) -> Tensor:
        """Times from uniform numbers [B] in [0, 1), in the distribution that training draws from.

        They grow with the numbers: 0 is next to no noise, 1 nothing but noise.
        """
        ...

    def corrupt(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """The latents on their way, at their times."""
        ...

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network shall predict."""
        ...

    def denoise(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """The latents that a prediction means."""
        ...

    def level(self, times: Tensor) -> Tensor:
        """[B] in [0, 1): how far along the way the times are."""
        ...

    def network_times(self, times: Tensor) -> Tensor:
        """[B] float: the times as the network reads them, 0 to 1000."""
        ...

    def weights(self, times: Tensor, gamma: float | None) -> Tensor:
        """[B] fp32: min-SNR weights of squared errors; ones where gamma is None."""
        ...


def _read_kind(value: Any) -> Any:
    return {"kind": "noise", **value} if isinstance(value, Mapping) else value


ProcessConfig = Annotated[
    Annotated[NoiseConfig | FlowConfig, Field(discriminator="kind")], BeforeValidator(_read_kind)
]
"""Noise unless `kind: flow` is said."""


def build_process(config: NoiseConfig | FlowConfig) -> NoiseProcess | FlowProcess:
    """The process of a configuration."""
    return NoiseProcess(config) if isinstance(config, NoiseConfig) else FlowProcess(config)
