"""Training a tagger, such as the judge, from a recipe."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field

from soundwright.core.records import Clip
from soundwright.core.seeding import initialising
from soundwright.data.manifest import Manifest, read_clip
from soundwright.pipelines.corpora import gather_corpus, split_corpus
from soundwright.pipelines.jobs import Job, Workplace
from soundwright.pipelines.recipe import Recipe
from soundwright.pipelines.scorer_models import Listed, scorer_saver
from soundwright.scorers.clips import LabelledBatch, LabelledClips
from soundwright.scorers.tagger import Tagger, TaggerConfig
from soundwright.scorers.task import TaggerTask, TaggerTaskConfig


class TaggerRecipe(Recipe):
    """Train a tagger on clips whose one tag is their label."""

    kind: Literal["tagger"]  # type: ignore[assignment]
    tagger: TaggerConfig
    batch: int = Field(default=32, ge=1)
    task: TaggerTaskConfig = TaggerTaskConfig()


def prepare_tagger(recipe: TaggerRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to train the tagger of a recipe."""
    corpus = gather_corpus(recipe.data, place.data)
    train, validation = split_corpus(recipe.data, corpus)
    with initialising(recipe.training.seed, "tagger"):
        tagger = Tagger(recipe.tagger)
    train = _labelled(train, recipe)
    clips = _read(train, recipe, tagger)
    held_out = None
    if validation is not None:
        validation = _labelled(validation, recipe)
        held_out = Listed[LabelledBatch](_read(validation, recipe, tagger).everything())

    facts = {"labels": ", ".join(recipe.tagger.labels)}
    save = scorer_saver(tagger, recipe, train, facts)
    return Job(TaggerTask(tagger, recipe.task), clips, held_out, save)


def _labelled(manifest: Manifest, recipe: TaggerRecipe) -> Manifest:
    """The clips that the tagger has a label for."""
    return manifest.with_clips(
        clip for clip in manifest.clips if _label(clip) in recipe.tagger.labels
    )


def _read(manifest: Manifest, recipe: TaggerRecipe, tagger: Tagger) -> LabelledClips:
    rate = recipe.tagger.levels.mel.sample_rate
    waveforms: list[torch.Tensor] = [
        read_clip(manifest, clip, sample_rate=rate).samples for clip in manifest.clips
    ]
    return LabelledClips(
        waveforms,
        [_label(clip) for clip in manifest.clips],
        names=recipe.tagger.labels,
        levels=tagger.levels,
        sample_rate=rate,
        batch_size=recipe.batch,
        seed=recipe.training.seed,
    )


def _label(clip: Clip) -> str:
    """A clip's only tag; a clip with several is none of a label."""
    return clip.tags[0] if len(clip.tags) == 1 else ""
