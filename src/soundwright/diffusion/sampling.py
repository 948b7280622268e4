"""From conditions and seeds to latents.

All that an item draws, its first noise and the noise of ancestral steps, comes from streams named
by its own seed; with masks and item-wise norms, its latents do not depend on its batch mates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.flow import FlowConfig
from soundwright.diffusion.guidance import guide, pair_conditions
from soundwright.diffusion.network import Network
from soundwright.diffusion.solvers import (
    FLOW_SAMPLERS,
    NOISE_SAMPLERS,
    Sampler,
    Spacing,
    build_scheduler,
    solve_flow,
    solve_noise,
)

Progress = Callable[[int, int], None]
"""Called after each evaluation of the network with the number done and the number of all."""


class SamplingConfig(Config):
    """How latents are generated."""

    sampler: Sampler | None = None
    """By name; null is dpm++ for a model of noise and euler for one of flow."""
    steps: int = 25
    """Of the sampler. Tango's own numbers are 100 and 200, with ddpm."""
    guidance: float = 3.0
    """Weight w of the conditions: unconditional + w (conditional - unconditional); 1 is without."""
    rescale: float = 0.0
    """How far guidance's growth of each item's deviation is taken back, 0 to 1."""
    spacing: Spacing | None = None
    """Where the steps through noise lie; null is trailing for ddpm and quadratic for the others."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.steps < 1:
            raise UserError(f"There are {self.steps} sampling steps.", expected="at least 1")
        if not (math.isfinite(self.guidance) and self.guidance >= 0):
            raise UserError(f"The guidance is {self.guidance}.", expected="a number of at least 0")
        if not 0 <= self.rescale <= 1:
            raise UserError(f"The rescale is {self.rescale}.", expected="a number from 0 to 1")
        return self


@torch.no_grad()
def sample(
    network: Network,
    shape: Sequence[int],
    conditions: Conditions,
    seeds: Sequence[int],
    config: SamplingConfig,
    *,
    negative: Conditions | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Generate latents for B items.

    Args:
        network: In evaluation mode. Its process says what its predictions mean.
        shape: (C, T), or (C, T, F), of one item.
        conditions: Of the B items, on any device.
        seeds: One for each item. Same seed, same conditions, same settings: same latents.
        config: How to sample.
        negative: What the B items are guided away from, in the place of nothing.
        progress: Told how far it is.

    Returns:
        [B, *shape] fp32 on the network's device.

    Raises:
        UserError: A shape, a sampler or a number of items that cannot be, or a model whose outputs
            are not finite.
    """
    sampler = _choose_sampler(network, config)
    _check_request(network, shape, conditions, seeds, negative)
    device = network.device
    evaluations = _evaluations(sampler, config)
    predict = _Guided(network, conditions, negative, config, progress, evaluations)
    noise = torch.stack(
        [torch.randn(*shape, generator=torch_stream(seed, "latents")) for seed in seeds]
    ).to(device)
    if sampler in FLOW_SAMPLERS:
        latents = solve_flow(sampler, predict, noise, config.steps)
    else:
        process = network.config.process
        assert not isinstance(process, FlowConfig)
        spacing = config.spacing or ("trailing" if sampler == "ddpm" else "quadratic")
        scheduler = build_scheduler(sampler, process, config.steps, spacing)
        streams = [torch_stream(seed, "ancestral") for seed in seeds]
        latents = solve_noise(scheduler, predict, noise, streams)
    if not bool(latents.isfinite().all()):
        raise UserError(
            "The model's outputs are not finite.",
            change="Verify its weights; in bf16, try fp32.",
        )
    return latents.contiguous()


class _Guided:
    """The network with its conditions and guidance, as a function of latents and time."""

    def __init__(
        self,
        network: Network,
        conditions: Conditions,
        negative: Conditions | None,
        config: SamplingConfig,
        progress: Progress | None,
        evaluations: int,
    ) -> None:
        self._network, self._config = network, config
        self._progress, self._evaluations, self._done = progress, evaluations, 0
        self._both = config.guidance != 1
        conditions = conditions.to(network.device)
        negative = None if negative is None else negative.to(network.device)
        self._read = pair_conditions(conditions, negative) if self._both else conditions

    def __call__(self, latents: Tensor, time: Tensor) -> Tensor:
        rows = torch.cat([latents, latents]) if self._both else latents
        times = time.expand(len(rows))
        prediction = self._network(rows, times, self._read).float()
        if self._both:
            with_text, without = prediction.chunk(2)
            prediction = guide(with_text, without, self._config.guidance, self._config.rescale)
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._evaluations)
        return prediction


def _choose_sampler(network: Network, config: SamplingConfig) -> Sampler:
    is_flow = isinstance(network.config.process, FlowConfig)
    if config.sampler is None:
        return "euler" if is_flow else "dpm++"
    known = FLOW_SAMPLERS if is_flow else NOISE_SAMPLERS
    if config.sampler not in known:
        kind = "flow" if is_flow else "noise"
        raise UserError(
            f"The sampler {config.sampler!r} cannot run a model of {kind}.",
            expected=", ".join(known),
        )
    return config.sampler


def _evaluations(sampler: Sampler, config: SamplingConfig) -> int:
    return config.steps * (2 if sampler == "midpoint" else 1)


def _check_request(
    network: Network,
    shape: Sequence[int],
    conditions: Conditions,
    seeds: Sequence[int],
    negative: Conditions | None,
) -> None:
    network.check_shape(tuple(shape))
    items = len(conditions)
    if not items or len(seeds) != items:
        raise UserError(f"There are {len(seeds)} seeds for {items} texts.", expected="one each")
    if negative is not None and len(negative) != items:
        raise UserError(
            f"There are {len(negative)} negative texts for {items} texts.", expected="one each"
        )
    for one in (conditions, negative):
        if one is not None:
            network.check_conditions(one)
