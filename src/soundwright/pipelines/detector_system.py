"""Training the event detector from a recipe."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from soundwright.core.seeding import initialising
from soundwright.data.manifest import Manifest, read_clip
from soundwright.pipelines.corpora import gather_corpus, split_corpus
from soundwright.pipelines.jobs import Job, Workplace
from soundwright.pipelines.recipe import Recipe
from soundwright.pipelines.scorer_models import Listed, scorer_saver
from soundwright.scorers.detector import Detector, DetectorConfig
from soundwright.scorers.detector_task import DetectorTask, DetectorTaskConfig
from soundwright.scorers.marked_clips import MarkedBatch, MarkedClips


class DetectorRecipe(Recipe):
    """Train a detector on clips whose events are marked, such as scenes."""

    kind: Literal["detector"]  # type: ignore[assignment]
    detector: DetectorConfig
    batch: int = Field(default=32, ge=1)
    task: DetectorTaskConfig = DetectorTaskConfig()


def prepare_detector(recipe: DetectorRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to train the detector of a recipe."""
    corpus = gather_corpus(recipe.data, place.data)
    train, validation = split_corpus(recipe.data, corpus)
    with initialising(recipe.training.seed, "detector"):
        detector = Detector(recipe.detector)
    clips = _read(train, recipe, detector)
    held_out = None
    if validation is not None:
        held_out = Listed[MarkedBatch](_read(validation, recipe, detector).everything())

    facts = {
        "labels": ", ".join(recipe.detector.labels),
        "frames a second": f"{detector.frame_rate:g}",
    }
    save = scorer_saver(detector, recipe, train, facts)
    return Job(DetectorTask(detector, recipe.task), clips, held_out, save)


def _read(manifest: Manifest, recipe: DetectorRecipe, detector: Detector) -> MarkedClips:
    marked = [(clip, clip.events) for clip in manifest.clips if clip.events is not None]
    rate = recipe.detector.levels.mel.sample_rate
    return MarkedClips(
        [read_clip(manifest, clip, sample_rate=rate).samples for clip, _ in marked],
        [events for _, events in marked],
        names=recipe.detector.labels,
        levels=detector.levels,
        sample_rate=rate,
        batch_size=recipe.batch,
        seed=recipe.training.seed,
    )
