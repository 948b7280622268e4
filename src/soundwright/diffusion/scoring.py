"""How well a model predicts a sound, given its conditions: what preference training compares.

The score of a sound is s = -1/2 reduce(w(t) ||target - prediction||²): a log-likelihood, up to what
does not depend on the model. For flow the target is the velocity. It depends on a time and on
noise, which are derived from the pair and the epoch: asked again, by another model or in another
run, they are the same, so that a reference's scores can be stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from soundwright.core.config import Config
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.network import Network
from soundwright.diffusion.objective import Reduction, squared_errors

Role = Literal["winner", "loser"]


class ScoringConfig(Config):
    """What a score is. β of a preference loss has a meaning only together with it."""

    reduction: Reduction = "mean"
    """Over the elements of a latent. Tango 2's β of 2000 goes with the mean."""
    min_snr: float | None = Field(default=None, gt=0)
    """γ of min-SNR weights w(t); null is 1 at all times, as in Tango 2. For noise alone."""
    shared: bool = True
    """One time and one noise for winner and loser, as the released code has it; otherwise each has
    noise of its own, as equation 17 has it, and the time is shared all the same."""
    padding: bool = True
    """Whether frames beyond the end of a sound count."""


class ScoreDraws(NamedTuple):
    """The chance of a batch of scores."""

    shares: Tensor
    """[B] float64 in [0, 1): from which times come."""
    noise: Tensor
    """[B, C, T, ...] standard normal."""
    posterior: Tensor
    """[B, C, T, ...] standard normal: where in its posterior each latent lies."""


def draw_scores(
    pairs: Sequence[str],
    role: Role,
    epoch: int,
    shape: Sequence[int],
    seed: int,
    *,
    shared: bool = True,
) -> ScoreDraws:
    """What the names of pairs say about one side of them.

    Args:
        pairs: One a row; rows do not depend on each other.
        role: Which side of the pairs.
        epoch: From 0.
        shape: (C, T, ...) of one item.
        seed: Of the run.
        shared: As in `ScoringConfig`. Posteriors differ between the sides in any case.
    """
    rows = [_draw_row(pair, role, epoch, shape, seed, shared) for pair in pairs]
    shares, noise, posterior = (torch.stack(part) for part in zip(*rows, strict=True))
    return ScoreDraws(shares, noise, posterior)


def score(
    network: Network,
    latents: Tensor,
    shares: Tensor,
    noise: Tensor,
    conditions: Conditions,
    config: ScoringConfig,
    mask: Tensor | None = None,
) -> Tensor:
    """Score sounds, with gradients where they are enabled.

    Dropout is off only if the network is in evaluation mode.

    Args:
        network: The model.
        latents: [B, C, T, ...] fp32 on the network's device.
        shares: [B], as in `ScoreDraws`.
        noise: [B, C, T, ...].
        conditions: Of the B sounds.
        config: What a score is.
        mask: [B, T] bool, valid frames; needed where padding does not count.

    Returns:
        [B] fp32; higher is better, at most 0.
    """
    process, device = network.process, latents.device
    times = process.times_at(shares)
    noise = noise.to(device)
    noisy = process.corrupt(latents, noise, times)
    prediction = network(noisy, times, conditions.to(device))
    if config.padding:
        mask = None
    target = process.target(latents, noise, times)
    errors = squared_errors(prediction, target, mask, config.reduction)
    return -0.5 * process.weights(times, config.min_snr).to(device) * errors


def _draw_row(
    pair: str, role: Role, epoch: int, shape: Sequence[int], seed: int, shared: bool
) -> tuple[Tensor, Tensor, Tensor]:
    def stream(*names: str) -> torch.Generator:
        return torch_stream(seed, "score", pair, epoch, *names)

    share = torch.rand((), generator=stream("time"), dtype=torch.float64)
    noise = torch.randn(tuple(shape), generator=stream("noise", *(() if shared else (role,))))
    posterior = torch.randn(tuple(shape), generator=stream("posterior", role))
    return share, noise, posterior
