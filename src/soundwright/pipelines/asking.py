"""What may be asked of a model, told by its record alone: checked before any weight is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soundwright.audio.joining import check_loop
from soundwright.core.errors import CheckpointError, UserError
from soundwright.diffusion.solvers import FLOW_SAMPLERS, NOISE_SAMPLERS
from soundwright.pipelines.loops import FADE_S
from soundwright.pipelines.models import ModelRecord
from soundwright.pipelines.requests import check_counts, check_negative, settle
from soundwright.pipelines.settings import GenerationConfig, LatentGenerationConfig

OF_TOKENS = ("temperature", "top_k", "top_p")
"""Settings that only a language model has."""
OF_NOISE = ("steps", "sampler", "cfg_rescale")
"""Settings that only a diffusion model has."""
SHARED = ("duration", "cfg_scale")

Defaults = GenerationConfig | LatentGenerationConfig


def read_defaults(record: ModelRecord) -> Defaults:
    """How a model generates where nothing else is asked for.

    Raises:
        CheckpointError: It does not generate sounds.
    """
    values = record.settings.get("generation", {})
    if record.kind == "diffusion":
        return LatentGenerationConfig.read(values, origin=f"the model {record.name}")
    if record.kind == "lm":
        return GenerationConfig.read(values, origin=f"the model {record.name}")
    raise CheckpointError(
        f"{record.name} is a {record.kind} and generates no sounds.",
        expected="a language model or a diffusion model",
    )


def settings_of(record: ModelRecord) -> tuple[str, ...]:
    """The names of the settings that a model has."""
    return (*SHARED, *(OF_NOISE if record.kind == "diffusion" else OF_TOKENS))


def samplers_of(record: ModelRecord) -> tuple[str, ...]:
    """The samplers that can run a diffusion model."""
    process = list(record.parts.values())[-1].get("process", {})
    return FLOW_SAMPLERS if process.get("kind") == "flow" else NOISE_SAMPLERS


def check_asked(
    record: ModelRecord,
    given: Mapping[str, Any],
    *,
    negative: str | None = None,
    loop: bool = False,
    longest: float,
) -> Defaults:
    """Settle settings as `generate` of this model would.

    Args:
        record: Of the model.
        given: Settings by name; None is the default.
        negative: As in `generate`.
        loop: As in `generate`.
        longest: Seconds of a sound.

    Raises:
        UserError: A setting that the model does not have, or a value that cannot be.
    """
    known = settings_of(record)
    for name, value in given.items():
        if value is not None and name not in known:
            kind = "diffusion" if record.kind == "diffusion" else "language"
            raise UserError(
                f"{name} is not for {record.name}, which is a {kind} model.",
                expected=", ".join(known),
            )
    if given.get("steps") is not None:
        check_counts(steps=given["steps"])
    defaults = read_defaults(record)
    config: Defaults
    if isinstance(defaults, LatentGenerationConfig):
        config = settle(defaults, given, longest=longest)
        if config.sampler is not None and config.sampler not in samplers_of(record):
            raise UserError(
                f"sampler is {config.sampler!r}, which cannot run {record.name}.",
                expected=", ".join(samplers_of(record)),
            )
        config.sampling()
    else:
        config = settle(defaults, given, longest=longest)
    check_negative(negative, config.cfg_scale)
    if loop:
        check_loop(config.duration, FADE_S)
    return config
