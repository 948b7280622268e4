"""Training the matcher, the small text-audio model, from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from soundwright.core.errors import ConfigError
from soundwright.core.records import Clip, Scene
from soundwright.core.seeding import derive_seed, initialising, numpy_stream
from soundwright.data.manifest import Manifest, read_clip
from soundwright.pipelines.corpora import gather_corpus, scenes_folder, split_corpus
from soundwright.pipelines.jobs import Job, Workplace
from soundwright.pipelines.recipe import Recipe
from soundwright.pipelines.scenes import SCENES_NAME
from soundwright.pipelines.scorer_models import Listed, scorer_saver
from soundwright.scorers.matched_clips import MatchedBatch, MatchedClips, Pairing
from soundwright.scorers.matcher_task import MatcherTask, MatcherTaskConfig
from soundwright.scorers.matching import Matcher, MatcherConfig, text_vectors
from soundwright.synthesis.captions import caption_scene
from soundwright.synthesis.contrasts import CONTRASTS, content_of, contrast_scene
from soundwright.text.cache import CachedTextEncoder

AT_ONCE = 512
"""Texts that are encoded together: their states are large."""
KINDS = (*CONTRASTS, "order")
"""Order is the hardest to learn, and only sequences have one: it is drawn twice as often."""


class MatcherRecipe(Recipe):
    """Train a matcher on scenes and their captions."""

    kind: Literal["matcher"]  # type: ignore[assignment]
    matcher: MatcherConfig = MatcherConfig()
    batch: int = Field(default=64, ge=2)
    captions: int = Field(default=1, ge=1)
    """Captions of a scene, each with a contrasting one."""
    task: MatcherTaskConfig = MatcherTaskConfig()


def prepare_matcher(recipe: MatcherRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to train the matcher of a recipe.

    Raises:
        ConfigError: The recipe has no scenes: their records are what contrasts are made of.
    """
    if recipe.data.scenes is None or recipe.data.manifests:
        raise ConfigError("A matcher is trained on scenes alone.", expected="data.scenes")
    corpus = gather_corpus(recipe.data, place.data)
    train, validation = split_corpus(recipe.data, corpus)
    scenes = _read_scenes(scenes_folder(recipe.data.scenes, place.data))
    with initialising(recipe.training.seed, "matcher"):
        matcher = Matcher(recipe.matcher)
    texts = CachedTextEncoder(matcher.text_encoder, place.data / "texts")
    clips = _read(train, scenes, recipe, matcher, texts)
    held_out = None
    if validation is not None:
        held_out = Listed[MatchedBatch](
            _read(validation, scenes, recipe, matcher, texts).everything()
        )

    facts = {"text encoder": recipe.matcher.text.name, "width": recipe.matcher.width}
    save = scorer_saver(matcher, recipe, train, facts)
    return Job(MatcherTask(matcher, recipe.task), clips, held_out, save)


def _read_scenes(folder: Path) -> dict[int, Scene]:
    """The scenes of a corpus by seed."""
    lines = (folder / SCENES_NAME).read_text(encoding="utf-8").splitlines()
    scenes = (Scene.model_validate_json(line) for line in lines)
    return {scene.seed: scene for scene in scenes}


def _read(
    manifest: Manifest,
    scenes: dict[int, Scene],
    recipe: MatcherRecipe,
    matcher: Matcher,
    texts: CachedTextEncoder,
) -> MatchedClips:
    drafts = [
        (number, *draft)
        for number, clip in enumerate(manifest.clips)
        for draft in _contrasts(clip, scenes[int(clip.metadata["scene_seed"])], recipe.captions)
    ]
    vectors = _vectors([text for _, *pair in drafts for text, _ in pair], texts)
    pairings = [
        Pairing(number, vectors[text], told, vectors[other], other_told)
        for number, (text, told), (other, other_told) in drafts
    ]
    return MatchedClips(
        [
            read_clip(manifest, clip, sample_rate=matcher.sample_rate).samples
            for clip in manifest.clips
        ],
        pairings,
        levels=matcher.levels,
        sample_rate=matcher.sample_rate,
        batch_size=recipe.batch,
        seed=recipe.training.seed,
    )


def _contrasts(
    clip: Clip, scene: Scene, count: int
) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Captions of a clip, each with one of a contrasting scene; both with what they tell."""
    rng = numpy_stream(scene.seed, "contrasts")
    told = content_of(scene)
    pairs = []
    for number, caption in enumerate(clip.captions[:count]):
        other = None
        for kind in rng.permutation(np.array(KINDS)):
            other = other or contrast_scene(scene, kind, rng)
        assert other is not None, "a scene can always have another label"
        (wrong,) = caption_scene(other, 1, derive_seed(scene.seed, "contrast", number))
        pairs.append(((caption.text, told), (wrong.text, content_of(other))))
    return pairs


def _vectors(texts: list[str], encoder: CachedTextEncoder) -> dict[str, torch.Tensor]:
    every = list(dict.fromkeys(texts))
    parts = [
        text_vectors(encoder.encode(every[first : first + AT_ONCE]))
        for first in range(0, len(every), AT_ONCE)
    ]
    return dict(zip(every, torch.cat(parts), strict=True))
