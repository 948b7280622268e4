"""Learning rates as pure functions of the step number."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from soundwright.core.config import Config


class ScheduleConfig(Config):
    """How the learning rate of an optimizer changes over a run."""

    kind: Literal["cosine", "linear", "constant", "inverse_sqrt"] = "cosine"
    """What follows the warm-up: a half cosine or a line that ends with the run, nothing, or
    1/sqrt(step)."""
    warmup: Annotated[int, Field(ge=0)] = 4000
    """Steps of linear rise from 0. As in AudioCraft, step 0 has a learning rate of exactly 0."""
    minimum: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Where the cosine or the line ends, as a part of the full rate."""


def scale_at(config: ScheduleConfig, step: int, steps: int) -> float:
    """The part of the full learning rate that step `step` (from 0) of `steps` takes, in [0, 1]."""
    if step < config.warmup:
        return step / config.warmup
    if config.kind == "cosine":
        return cosine(step - config.warmup, steps - config.warmup, config.minimum)
    if config.kind == "linear":
        return linear(step - config.warmup, steps - config.warmup, config.minimum)
    if config.kind == "inverse_sqrt":
        return inverse_sqrt(step, config.warmup)
    return 1.0


def cosine(step: int, steps: int, minimum: float = 0.0) -> float:
    """Half a cosine from 1 at step 0 to `minimum` at step `steps`, and `minimum` beyond."""
    if step >= steps:
        return minimum
    return minimum + 0.5 * (1.0 - minimum) * (1.0 + math.cos(math.pi * step / steps))


def linear(step: int, steps: int, minimum: float = 0.0) -> float:
    """A line from 1 at step 0 to `minimum` at step `steps`, and `minimum` beyond."""
    return 1.0 - (1.0 - minimum) * min(step / max(steps, 1), 1.0)


def inverse_sqrt(step: int, warmup: int) -> float:
    """sqrt(warmup / step): 1 where the warm-up ends; without a warm-up, 1 at steps 0 and 1."""
    return math.sqrt(max(warmup, 1) / max(step, warmup, 1))
