"""The samplers by name: those of diffusers for noise, Euler and midpoint steps for flow.

| name     | what                                                  | noise of its own |
|----------|-------------------------------------------------------|------------------|
| ddpm     | ancestral, equations 5-8                              | each step        |
| ddim     | DPM-Solver++ of first order, which is DDIM (η = 0)    | none             |
| dpm++    | DPM-Solver++ (2M), midpoint                           | none             |
| unipc    | UniPC of second order, predicting x_0                 | none             |
| euler    | flow: straight steps                                  | none             |
| midpoint | flow: two evaluations a step                          | none             |

| spacing   | times                                                                               |
|-----------|-------------------------------------------------------------------------------------|
| quadratic | dense where little noise is left, from the last of training to 0                     |
| trailing  | even, from the last of training                                                      |
| leading   | even, down to 1, from below the last, though from pure noise all the same: as Tango  |

Even times leave much to their last step, which without noise of its own gives a mean of all that
is possible: what varies finely is smoothed away. Of Gaussians with deviation 1, 0.5 and 0.1,
25 even steps of dpm++ leave 98, 94 and 45 %, quadratic ones 100, 101 and 97 %, and 200 even steps
of ddpm 98, 97 and 78 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from soundwright.core.errors import UserError
from soundwright.core.extras import load_diffusers
from soundwright.diffusion.noise import NoiseConfig

Sampler = Literal["ddpm", "ddim", "dpm++", "unipc", "euler", "midpoint"]
Spacing = Literal["quadratic", "trailing", "leading"]
Predict = Callable[[Tensor, Tensor], Tensor]
"""Latents [B, C, T, ...] and times [] to predictions of the same shape, guided."""

FLOW_SAMPLERS: tuple[Sampler, ...] = ("euler", "midpoint")
NOISE_SAMPLERS: tuple[Sampler, ...] = ("ddpm", "ddim", "dpm++", "unipc")


def build_scheduler(name: Sampler, config: NoiseConfig, steps: int, spacing: Spacing) -> Any:
    """A scheduler of diffusers, ready for `steps` steps of a process.

    Raises:
        UserError: More steps than the process has.
    """
    if steps > config.steps:
        raise UserError(
            f"{steps} sampling steps are more than the model was trained on.",
            expected=f"1 to {config.steps}",
        )
    diffusers = load_diffusers()
    # diffusers computes the same betas in fp32; here they are rounded once.
    begin, end = config.beta_start**0.5, config.beta_end**0.5
    betas = torch.linspace(begin, end, config.steps, dtype=torch.float64).square()
    common = {
        "num_train_timesteps": config.steps,
        "trained_betas": betas.tolist(),
        "prediction_type": "v_prediction" if config.prediction == "v" else "epsilon",
    }
    if name == "ddpm":
        scheduler = diffusers.DDPMScheduler(**common, clip_sample=False)
    elif name == "unipc":
        scheduler = diffusers.UniPCMultistepScheduler(**common)
    else:
        order = 1 if name == "ddim" else 2
        scheduler = diffusers.DPMSolverMultistepScheduler(
            **common, solver_order=order, algorithm_type="dpmsolver++"
        )
    scheduler.set_timesteps(steps)
    _place(scheduler, place_times(config.steps, steps, spacing))
    return scheduler


def place_times(of: int, steps: int, spacing: Spacing) -> Tensor:
    """The times of `steps` steps out of `of`, falling: [steps] int64."""
    if spacing == "leading":
        width = of // steps
        # With as many steps as there are, there is no room for the offset.
        offset = int(width * (steps - 1) + 1 < of)
        return torch.arange(steps - 1, -1, -1) * width + offset
    places = torch.arange(steps, dtype=torch.float64)
    if spacing == "trailing":
        return (of - places * of / steps).round().long() - 1
    times = ((of - 1) * (1 - places / max(steps - 1, 1)).square()).round().long()
    # No time twice: near the end, where squares lie dense, steps are of one at least.
    least = torch.arange(steps - 1, -1, -1)
    return (times - least).flip(0).cummax(0).values.flip(0) + least


def solve_noise(
    scheduler: Any, predict: Predict, latents: Tensor, streams: Sequence[torch.Generator]
) -> Tensor:
    """From noise to latents by a scheduler of diffusers.

    Args:
        scheduler: From `build_scheduler`; it can be used once.
        predict: The guided network.
        latents: [B, C, T, ...] fp32, standard normal.
        streams: One an item, for the samplers that add noise.
    """
    extra: dict[str, Any] = {}
    if type(scheduler).__name__ == "DDPMScheduler":
        extra = {"generator": list(streams)}
    for time in scheduler.timesteps:
        prediction = predict(latents, time)
        latents = scheduler.step(prediction, time, latents, **extra).prev_sample
    return latents


def solve_flow(name: Sampler, predict: Predict, latents: Tensor, steps: int) -> Tensor:
    """From noise (t = 1) to latents (t = 0) in even steps along the predicted velocity."""
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    for time, after in pairwise(times):
        step = float(after - time)
        velocity = predict(latents, time)
        if name == "midpoint":
            velocity = predict(latents + step / 2 * velocity, (time + after) / 2)
        latents = latents + step * velocity
    return latents


def _place(scheduler: Any, times: Tensor) -> None:
    """Put the times of a scheduler, and the levels of noise there, with none at the end.

    diffusers' own trailing times have one too many, -1, with 61, 103 or 122 of 1000 steps.
    """
    scheduler.timesteps, scheduler.num_inference_steps = times, len(times)
    if hasattr(scheduler, "sigmas"):
        bars = scheduler.alphas_cumprod[times].double()
        scheduler.sigmas = F.pad((1 / bars - 1).sqrt(), (0, 1)).float()
