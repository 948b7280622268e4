"""How much a text helps a diffusion model to undo the noise on a sound."""

from __future__ import annotations

import torch
from torch import Tensor

from soundwright.core.protocols import TextStates
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.guidance import pair_texts
from soundwright.diffusion.network import LatentUnet
from soundwright.diffusion.objective import squared_errors

TIMES = 8
"""Even shares of the way from latents to noise at which a sound is looked at, each with noise of
its own, the same for all sounds of a shape: candidates then differ by what they are."""


@torch.no_grad()
def measure_evidence(
    network: LatentUnet, latents: Tensor, text: TextStates, negative: TextStates | None = None
) -> float:
    """Mean over times of the error without the text minus the error with it.

    Section 3 of arXiv 2303.16203 ranks classes so; up to a factor it estimates
    log p(x | text) - log p(x).

    Args:
        network: In evaluation mode.
        latents: [C, T, F] of one sound.
        text: Of the one sound.
        negative: A text in the place of none.
    """
    device = network.null.device
    shares = (torch.arange(TIMES, dtype=torch.float64) + 0.5) / TIMES
    times = network.process.times_at(shares)
    stream = torch_stream(0, "evidence")
    noise = torch.randn(TIMES, *latents.shape, generator=stream).to(device)
    clean = latents.to(device).expand(TIMES, *latents.shape)
    noisy = network.process.corrupt(clean, noise, times)
    target = network.process.target(clean, noise, times)
    errors: list[Tensor] = []
    for states, mask in zip(*(part.to(device) for part in pair_texts(text, negative)), strict=True):
        rows = states.expand(TIMES, *states.shape), mask.expand(TIMES, *mask.shape)
        errors.append(squared_errors(network(noisy, times, *rows), target).mean())
    with_text, without = errors
    return float(without - with_text)
