"""What the recipe of a diffusion model says, and what it takes over from a model to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from soundwright.core.config import Config, merge
from soundwright.core.errors import CheckpointError
from soundwright.data.frame_segments import FrameSegmentConfig
from soundwright.data.mixtures import MixtureConfig
from soundwright.diffusion.conditioner import ConditionsConfig
from soundwright.diffusion.task import DiffusionTaskConfig
from soundwright.pipelines.models import find_model, verify_model
from soundwright.pipelines.parts import NETWORKS, NetworkChoice, network_part
from soundwright.pipelines.recipe import Recipe
from soundwright.pipelines.samples import SampleConfig
from soundwright.pipelines.settings import LatentGenerationConfig, TextConfig

HOW_TO_TRAIN = ("dropout", "checkpointing")
"""Keys of a network that a recipe with `from_model` may set: they are not the model's shape."""


class LatentSource(Config):
    """Whose latents the model learns: exactly one of these."""

    model: str | None = None
    """A finished latent codec, or a diffusion model with one, by name or folder."""
    recipe: str | None = None
    """A recipe of a vocoder, trained first with its autoencoder, on the data of this one, into
    `codec/` of the run."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.model is None) == (self.recipe is None):
            raise ValueError("give exactly one of model and recipe")
        return self


class DiffusionRecipe(NetworkChoice, Recipe):
    """Train a latent diffusion model, from nothing or from another one."""

    kind: Literal["diffusion"]  # type: ignore[assignment]
    from_model: str | None = None
    """A model to start from, by name or folder: its codec, text and shape are taken over."""
    from_hash: str | None = None
    """That model's hash, found by itself, so that a run is not resumed over another model."""
    latents: Path | None = None
    """Latents as `soundwright data tokenize` left them; null makes them from `data`."""
    codec: LatentSource
    text: TextConfig = TextConfig()
    conditions: ConditionsConfig | None = None
    """What is read besides the text; null is nothing."""
    peak: Annotated[float, Field(gt=0, le=1)] | None = None
    """To which each clip is brought before it is encoded, its mean taken away: Tango's is 0.5. Null
    leaves sounds as loud as they are."""
    mixtures: MixtureConfig | None = None
    """Pairs of training clips that are heard together, section 2.4 of the paper; null makes
    none."""
    segments: FrameSegmentConfig = FrameSegmentConfig()
    task: DiffusionTaskConfig = DiffusionTaskConfig()
    generation: LatentGenerationConfig = LatentGenerationConfig()
    """Defaults of the finished model, and of the samples during training."""
    samples: SampleConfig = SampleConfig()

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        data = self.data
        if self.latents is not None and (data.manifests or data.scenes is not None):
            raise ValueError("latents are given, and data.manifests or data.scenes as well")
        if self.latents is not None and self.mixtures is not None:
            raise ValueError("latents are given, and mixtures, which are made before them")
        if self.latents is not None and self.peak is not None:
            raise ValueError("latents are given, and peak, which is for sounds before them")
        return self


def inherit_diffusion(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill a recipe with `from_model` with what it takes over from that model.

    Raises:
        UserError: There is no such model.
        CheckpointError: It is no diffusion model.
    """
    name = values.get("from_model")
    if not name:
        return dict(values)
    record = verify_model(find_model(str(name)))
    if record.kind != "diffusion":
        raise CheckpointError(f"{name} is a {record.kind}.", expected="a diffusion model")
    part = network_part(record)
    own: dict[str, Any] = {}
    for network in NETWORKS:
        shape = values.get(network) or {}
        own |= {key: shape[key] for key in HOW_TO_TRAIN if key in shape}
    values = {key: value for key, value in values.items() if key not in (*NETWORKS, "conditions")}
    taken = {**record.settings, part: {**record.parts[part], **own}}
    return {**merge(values, taken), "codec": {"model": str(name)}, "from_hash": record.hash}
