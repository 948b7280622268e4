"""What the recipe of a language model says, and what it takes over from a model to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from soundwright.core.config import Config, merge
from soundwright.core.errors import CheckpointError
from soundwright.data.frame_segments import FrameSegmentConfig
from soundwright.lm.model import LmConfig
from soundwright.lm.task import LmTaskConfig
from soundwright.nn.lora import LoraConfig
from soundwright.pipelines.codec_system import CodecRecipe
from soundwright.pipelines.models import find_model, read_record, verify_model
from soundwright.pipelines.parts import CodecChoice, coarser_choice
from soundwright.pipelines.recipe import Recipe, compose_recipe
from soundwright.pipelines.samples import SampleConfig
from soundwright.pipelines.settings import GenerationConfig, TextConfig

HOW_TO_TRAIN = ("dropout", "checkpointing")
"""Keys of `lm` that a recipe with `from_model` may set: they are not the model's shape."""


class CodecSource(Config):
    """Whose tokens the model learns: exactly one of these."""

    model: str | None = None
    """A finished model, by name or folder."""
    recipe: str | None = None
    """A codec recipe, trained first, on the data of this one, into `codec/` of the run."""
    codebooks: int | None = Field(default=None, ge=1)
    """Keep only so many of the finished model's codebooks, the coarsest; null keeps all."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.model is None) == (self.recipe is None):
            raise ValueError("give exactly one of model and recipe")
        if self.codebooks is not None and self.model is None:
            raise ValueError("a codec recipe says itself how many codebooks it has")
        return self


class LmRecipe(Recipe):
    """Train a language model, from nothing or from another one."""

    kind: Literal["lm"]  # type: ignore[assignment]
    from_model: str | None = None
    """A model to start from, by name or folder: its codec, text and shape are taken over."""
    from_hash: str | None = None
    """That model's hash, found by itself, so that a run is not resumed over another model."""
    adapter: LoraConfig | None = None
    """Train a small addition to the model instead of all its weights."""
    tokens: Path | None = None
    """Tokens as `soundwright data tokenize` left them; null makes them from `data`."""
    codec: CodecSource
    text: TextConfig = TextConfig()
    lm: LmConfig = LmConfig()
    segments: FrameSegmentConfig = FrameSegmentConfig()
    task: LmTaskConfig = LmTaskConfig()
    generation: GenerationConfig = GenerationConfig()
    """Defaults of the finished model, and of the samples during training."""
    samples: SampleConfig = SampleConfig()

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        data = self.data
        if self.tokens is not None and (data.manifests or data.scenes is not None):
            raise ValueError("tokens are given, and data.manifests or data.scenes as well")
        return self

    @model_validator(mode="after")
    def _has_a_base(self) -> Self:
        if self.adapter is not None and self.from_model is None:
            raise ValueError("an adapter needs a model to be trained on: from_model")
        return self


def inherit_model(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill a recipe with `from_model` with what it takes over from that model.

    Raises:
        UserError: There is no such model.
        CheckpointError: It is no language model.
    """
    name = values.get("from_model")
    if not name:
        return dict(values)
    record = verify_model(find_model(str(name)))
    if record.kind != "lm":
        raise CheckpointError(f"{name} is a {record.kind}.", expected="a language model")
    own = values.get("lm")
    own = {key: own[key] for key in HOW_TO_TRAIN if key in own} if isinstance(own, dict) else {}
    taken = {**record.settings, "lm": {**record.parts["lm"], **own}}
    codec = {"model": str(name)}
    return {**merge(values, taken), "codec": codec, "from_hash": record.hash}


def choose_codec(recipe: LmRecipe) -> CodecChoice:
    """The codec of a recipe, without its weights, which may be yet to be trained.

    Raises:
        UserError: There is no such model or recipe.
    """
    if recipe.codec.recipe is not None:
        return read_codec_recipe(recipe.codec.recipe, recipe).codec
    assert recipe.codec.model is not None
    record = read_record(find_model(recipe.codec.model))
    if "codec" not in record.parts:
        raise CheckpointError(f"The model {recipe.codec.model} has no codec.")
    choice = CodecChoice.read(record.parts["codec"])
    kept = recipe.codec.codebooks
    return choice if kept is None else coarser_choice(choice, kept)


def read_codec_recipe(name: str, recipe: LmRecipe) -> CodecRecipe:
    """A codec recipe with the data of the language model's."""
    values = {**compose_recipe(name), "data": recipe.data.plain()}
    return CodecRecipe.read(values, origin=f"recipe {name}")
