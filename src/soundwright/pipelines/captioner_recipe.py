"""What the recipe of a captioner says, and what it takes over from one to start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from soundwright.captioner.batches import CaptionBatchConfig
from soundwright.captioner.decoding import CaptioningConfig
from soundwright.captioner.model import BridgeConfig
from soundwright.captioner.task import CaptionerTaskConfig
from soundwright.captioner.towers import HtsatConfig
from soundwright.core.config import Config, merge
from soundwright.core.errors import CheckpointError
from soundwright.pipelines.models import find_model, verify_model
from soundwright.pipelines.recipe import Recipe
from soundwright.text.preparation import PreparationConfig

HOW_TO_TRAIN = ("dropout",)
"""Keys of `bridge` that a recipe with a start may set: they are not the model's shape."""


class TowerSource(Config):
    """The audio tower, frozen: one of `clap`, `htsat`, or a small one of the two others."""

    clap: str | None = None
    """The HTSAT of a CLAP model, by its name on the hub or folder."""
    htsat: HtsatConfig | None = None
    """An HTSAT with initial weights, for trying things out."""
    tagger: str | None = None
    """A tagger: tagger2, which ships, or the folder of one."""
    detector: str | None = None
    """A detector, beside the tagger or alone: the folder of one. The one that ships measures how
    well sounds obey their captions, and should not have written these."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        small = self.tagger is not None or self.detector is not None
        if (self.clap is not None) + (self.htsat is not None) + small != 1:
            raise ValueError("give exactly one of clap, htsat, and tagger or detector or both")
        return self


class ClapSource(Config):
    """What hears a sound as a whole: exactly one of these, frozen."""

    clap: str | None = None
    """CLAP by its name on the hub or folder. It is no part of the captioner's own folder."""
    matcher: str | None = None
    """A matcher: matcher1, which ships, or the folder of one."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.clap is None) == (self.matcher is None):
            raise ValueError("give exactly one of clap and matcher")
        return self


class LanguageSource(Config):
    """The BART to begin with: exactly one of these."""

    bart: str | None = None
    """By its name on the hub or folder."""
    model: str | None = None
    """A language that a recipe has trained, by its folder."""
    recipe: str | None = None
    """A recipe of one, trained first, on the data of this one, into `language/` of the run."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(one is not None for one in (self.bart, self.model, self.recipe)) != 1:
            raise ValueError("give exactly one of bart, model and recipe")
        return self


class Start(Config):
    """The captioner to start from: exactly one of these."""

    model: str | None = None
    """By name or folder. Its towers and its shape are taken over."""
    recipe: str | None = None
    """A recipe of one, trained first, on the data, the towers and the language of this one, into
    `stage1/` of the run."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.model is None) == (self.recipe is None):
            raise ValueError("give exactly one of model and recipe")
        return self


class CaptionerRecipe(Recipe):
    """Train AutoCap: one of its two stages, or both."""

    kind: Literal["captioner"]  # type: ignore[assignment]
    start: Start | None = None
    """Null begins with a new bridge: stage 1, or the ablation without it."""
    from_hash: str | None = None
    """Hash of `start.model`, found by itself, so that a run is not resumed over another model."""
    tower: TowerSource | None = None
    """Null takes that of `start.model`."""
    clap: ClapSource | None = None
    """Null is the ablation without CLAP; with `start.model` it is that model's."""
    language: LanguageSource | None = None
    """Null takes that of `start.model`."""
    bridge: BridgeConfig = BridgeConfig()
    text: PreparationConfig = PreparationConfig()
    batches: CaptionBatchConfig = CaptionBatchConfig()
    task: CaptionerTaskConfig = CaptionerTaskConfig()
    memory_mb: int = Field(default=2048, ge=0)
    """Most of what the towers have heard that is kept in memory; all of it is on the disk."""
    max_bad_rate: float = Field(default=0.05, ge=0, le=1)
    """Part of the clips that may be silent or unreadable; they are left out and named."""
    generation: CaptioningConfig = CaptioningConfig()
    """Defaults of the finished model."""

    @model_validator(mode="after")
    def _has_parts(self) -> Self:
        whole = self.tower is not None and self.language is not None
        if (self.start is None or self.start.model is None) and not whole:
            raise ValueError("without start.model, tower and language must be given")
        return self


def inherit_captioner(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill a recipe whose `start.model` is given with what it takes over from that model.

    Raises:
        UserError: There is no such model.
        CheckpointError: It is no captioner.
    """
    start = values.get("start")
    name = start.get("model") if isinstance(start, Mapping) else None
    if not name:
        return dict(values)
    record = verify_model(find_model(str(name)))
    if record.kind != "captioner":
        raise CheckpointError(f"{name} is a {record.kind}.", expected="a captioner")
    own = values.get("bridge")
    own = {key: own[key] for key in HOW_TO_TRAIN if key in own} if isinstance(own, dict) else {}
    shape = {key: record.parts["captioner"][key] for key in BridgeConfig.model_fields}
    return merge(values, {"bridge": {**shape, **own}, "from_hash": record.hash})
