"""How much its conditions help a diffusion model to undo the noise on a sound."""

from __future__ import annotations

import torch
from torch import Tensor

from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.network import Network
from soundwright.diffusion.objective import squared_errors

TIMES = 8
"""Even shares of the way from latents to noise at which a sound is looked at, each with noise of
its own, the same for all sounds of a shape: candidates then differ by what they are."""


@torch.no_grad()
def measure_evidence(
    network: Network,
    latents: Tensor,
    conditions: Conditions,
    negative: Conditions | None = None,
) -> float:
    """Mean over times of the error without the conditions minus the error with them.

    Section 3 of arXiv 2303.16203 ranks classes so; up to a factor it estimates
    log p(x | text) - log p(x).

    Args:
        network: In evaluation mode.
        latents: [C, T, ...] of one sound.
        conditions: Of the one sound.
        negative: Conditions in the place of none.
    """
    device = network.device
    shares = (torch.arange(TIMES, dtype=torch.float64) + 0.5) / TIMES
    times = network.process.times_at(shares)
    stream = torch_stream(0, "evidence")
    noise = torch.randn(TIMES, *latents.shape, generator=stream).to(device)
    clean = latents.to(device).expand(TIMES, *latents.shape)
    noisy = network.process.corrupt(clean, noise, times)
    target = network.process.target(clean, noise, times)
    errors = [
        squared_errors(network(noisy, times, one.to(device).repeat(TIMES)), target).mean()
        for one in (conditions, conditions.nulls() if negative is None else negative)
    ]
    with_text, without = errors
    return float(without - with_text)
