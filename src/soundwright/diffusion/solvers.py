"""The samplers by name: those of diffusers for noise, Euler and midpoint steps for flow.

| name     | what                                                  | noise of its own |
|----------|-------------------------------------------------------|------------------|
| ddpm     | ancestral, equations 5-8                              | each step        |
| ddim     | DPM-Solver++ of first order, which is DDIM (η = 0)    | none             |
| dpm++    | DPM-Solver++ (2M), midpoint                           | none             |
| unipc    | UniPC of second order, predicting x_0                 | none             |
| euler    | flow: straight steps                                  | none             |
| midpoint | flow: two evaluations a step                          | none             |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from soundwright.core.errors import UserError
from soundwright.diffusion.library import load_diffusers
from soundwright.diffusion.noise import NoiseConfig

Sampler = Literal["ddpm", "ddim", "dpm++", "unipc", "euler", "midpoint"]
Spacing = Literal["trailing", "leading"]
Predict = Callable[[Tensor, Tensor], Tensor]
"""Latents [B, C, T, F] and times [] to predictions of the same shape, guided."""

FLOW_SAMPLERS: tuple[Sampler, ...] = ("euler", "midpoint")
NOISE_SAMPLERS: tuple[Sampler, ...] = ("ddpm", "ddim", "dpm++", "unipc")


def build_scheduler(name: Sampler, config: NoiseConfig, steps: int, spacing: Spacing) -> Any:
    """A scheduler of diffusers, ready for `steps` steps of a process.

    Trailing spacing begins at the last time of training, at which there is all but nothing left of
    the signal, and its steps are even. Leading spacing, with its offset of 1, is how Tango's code
    begins: below that time, though from pure noise all the same.

    Raises:
        UserError: More steps than the process has.
    """
    if steps > config.steps:
        raise UserError(
            f"{steps} sampling steps are more than the model was trained on.",
            expected=f"1 to {config.steps}",
        )
    library = load_diffusers()
    # diffusers computes the same betas in fp32; here they are rounded once.
    begin, end = config.beta_start**0.5, config.beta_end**0.5
    betas = torch.linspace(begin, end, config.steps, dtype=torch.float64).square()
    common = {
        "num_train_timesteps": config.steps,
        "trained_betas": betas.tolist(),
        "prediction_type": "v_prediction" if config.prediction == "v" else "epsilon",
        "timestep_spacing": spacing,
    }
    if name == "ddpm":
        # With as many steps as there are, there is no room for the offset.
        last = config.steps // steps * (steps - 1)
        offset = int(spacing == "leading" and last + 1 < config.steps)
        scheduler = library.DDPMScheduler(**common, clip_sample=False, steps_offset=offset)
    elif name == "unipc":
        scheduler = library.UniPCMultistepScheduler(**common, final_sigmas_type="zero")
    else:
        order = 1 if name == "ddim" else 2
        scheduler = library.DPMSolverMultistepScheduler(
            **common, solver_order=order, algorithm_type="dpmsolver++", final_sigmas_type="zero"
        )
    scheduler.set_timesteps(steps)
    _drop_extra(scheduler, steps)
    return scheduler


def solve_noise(
    scheduler: Any, predict: Predict, latents: Tensor, streams: Sequence[torch.Generator]
) -> Tensor:
    """From noise to latents by a scheduler of diffusers.

    Args:
        scheduler: From `build_scheduler`; it can be used once.
        predict: The guided network.
        latents: [B, C, T, F] fp32, standard normal.
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


def _drop_extra(scheduler: Any, steps: int) -> None:
    """Take away the time -1 that trailing spacing has for some numbers of steps.

    With 61 of 1000, for one, diffusers' sum of rounded steps falls short of the end.
    """
    scheduler.timesteps = scheduler.timesteps[:steps]
    scheduler.num_inference_steps = steps
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None:
        scheduler.sigmas = torch.cat([sigmas[:steps], sigmas[-1:]])
