"""Training a codec from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator

from soundwright.codecs.task import CodecTask, CodecTaskConfig
from soundwright.data.segments import SegmentConfig
from soundwright.pipelines.cards import write_card
from soundwright.pipelines.corpora import cut_waveforms
from soundwright.pipelines.jobs import Job, Workplace
from soundwright.pipelines.models import write_model
from soundwright.pipelines.parts import CodecChoice, build_codec
from soundwright.pipelines.recipe import Recipe
from soundwright.training.checkpoints import read_weights


class CodecRecipe(Recipe):
    """Train a codec."""

    kind: Literal["codec"]  # type: ignore[assignment]
    codec: CodecChoice
    segments: SegmentConfig = SegmentConfig()
    task: CodecTaskConfig = CodecTaskConfig()

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        if self.task.weights.perceptual:
            raise ValueError("task.weights.perceptual: recipes have no perceptual loss")
        return self


def prepare_codec(recipe: CodecRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to train the codec of a recipe."""
    seed = recipe.training.seed
    codec = build_codec(recipe.codec, seed)
    task = CodecTask(codec, recipe.task, seed=seed)
    rate, channels = codec.sample_rate, codec.channels
    sounds = cut_waveforms(
        recipe.data, recipe.segments, place.data, sample_rate=rate, channels=channels, seed=seed
    )

    def save(checkpoint: Path, folder: Path) -> None:
        weights, _ = read_weights(checkpoint, "generator")
        facts = {
            "parameters": f"{sum(p.numel() for p in codec.parameters()) / 1e6:.2f} M",
            "sound": f"{rate} Hz, {channels} channel(s)",
            "tokens": f"{rate / codec.hop_length:g} frames a second, {codec.codebooks} codebooks "
            f"of {codec.codebook_size}",
            "steps": recipe.training.steps,
        }
        write_model(
            folder,
            kind="codec",
            name=recipe.name,
            parts={"codec": (recipe.codec.plain(), weights)},
            settings={},
            recipe=recipe.plain(),
            licence=recipe.licence,
            card=write_card(recipe, facts, sounds.clips),
            storage=recipe.storage,
        )

    return Job(task, sounds.batches, sounds.validation, save)
