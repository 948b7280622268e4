"""The table from the kind of a recipe to the system that it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from soundwright.core.config import merge, parse_override
from soundwright.core.errors import ConfigError, nearest
from soundwright.core.ranks import Ranks
from soundwright.pipelines.captioner_recipe import CaptionerRecipe, inherit_captioner
from soundwright.pipelines.captioner_system import prepare_captioner
from soundwright.pipelines.codec_system import CodecRecipe, prepare_codec
from soundwright.pipelines.detector_system import DetectorRecipe, prepare_detector
from soundwright.pipelines.diffusion_recipe import DiffusionRecipe, inherit_diffusion
from soundwright.pipelines.diffusion_system import prepare_diffusion
from soundwright.pipelines.jobs import Job, Workplace
from soundwright.pipelines.language_system import LanguageRecipe, prepare_language
from soundwright.pipelines.lm_recipe import LmRecipe, inherit_model
from soundwright.pipelines.lm_system import prepare_lm
from soundwright.pipelines.matcher_system import MatcherRecipe, prepare_matcher
from soundwright.pipelines.memory import MemoryEstimate, estimate_memory
from soundwright.pipelines.recipe import Recipe, compose_recipe
from soundwright.pipelines.tagger_system import TaggerRecipe, prepare_tagger
from soundwright.pipelines.vae_system import VaeRecipe, prepare_vae
from soundwright.pipelines.vocoder_system import VocoderRecipe, prepare_vocoder


@dataclass(frozen=True)
class System:
    """A kind of recipe."""

    recipe: type[Recipe]
    """Its configuration."""
    prepare: Callable[[Any, Workplace], Job[Any]]
    """Makes what a run needs from such a recipe."""
    estimate: Callable[[Any, torch.device, Ranks], MemoryEstimate | None] | None = None
    """Says how much memory a run takes; None where nothing is known of it."""
    inherit: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    """Fills a recipe's values with what it takes over from the model that it starts from."""


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "captioner": System(CaptionerRecipe, prepare_captioner, inherit=inherit_captioner),
        "codec": System(CodecRecipe, prepare_codec),
        "detector": System(DetectorRecipe, prepare_detector),
        "diffusion": System(DiffusionRecipe, prepare_diffusion, inherit=inherit_diffusion),
        "language": System(LanguageRecipe, prepare_language),
        "lm": System(LmRecipe, prepare_lm, estimate_memory, inherit_model),
        "matcher": System(MatcherRecipe, prepare_matcher),
        "tagger": System(TaggerRecipe, prepare_tagger),
        "vae": System(VaeRecipe, prepare_vae),
        "vocoder": System(VocoderRecipe, prepare_vocoder),
    }
)


def read_recipe(
    name: str, overrides: Iterable[str] = (), systems: Mapping[str, System] = SYSTEMS
) -> Recipe:
    """Compose and validate a recipe.

    Args:
        name: Of a shipped recipe, or a path to a YAML file.
        overrides: Assignments such as "lm.dim=512".
        systems: By kind; a floor above adds its own.

    Raises:
        ConfigError: No such recipe, an unknown kind or key, or a wrong value.
    """
    values = compose_recipe(name)
    given = {}
    for override in overrides:
        given = merge(given, parse_override(override))
    values = merge(values, given)
    kind = str(values.get("kind"))
    if kind not in systems:
        raise ConfigError(f"The recipe {name} has the kind {kind!r}; {nearest(kind, systems)}")
    system = systems[kind]
    if system.inherit is not None:
        values = merge(system.inherit(values), given)
    return system.recipe.read(values, origin=f"recipe {name}")
