"""Training a captioner from a recipe: its towers, its language model, its two stages."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from soundwright.captioner.batches import CaptionedSounds
from soundwright.captioner.heard import Memory
from soundwright.captioner.model import AutoCap, AutoCapConfig
from soundwright.captioner.task import CaptionerTask
from soundwright.captioner.words import Words
from soundwright.core.devices import choose_device
from soundwright.core.errors import AudioError
from soundwright.core.records import Clip
from soundwright.data.bad_clips import BadClips
from soundwright.data.manifest import Manifest, read_clip
from soundwright.pipelines.captioner_parts import (
    Ears,
    load_captioner_parts,
    open_ears,
    open_language,
)
from soundwright.pipelines.captioner_recipe import CaptionerRecipe, LanguageSource, Start
from soundwright.pipelines.cards import write_card
from soundwright.pipelines.corpora import draw_weights, gather_corpus, split_corpus
from soundwright.pipelines.jobs import Job, Workplace, run_job
from soundwright.pipelines.language_system import WORDS_FILE, LanguageRecipe, prepare_language
from soundwright.pipelines.models import RECORD_FILE, find_model, verify_model, write_model
from soundwright.pipelines.recipe import compose_recipe
from soundwright.pipelines.storage import Storage
from soundwright.text.preparation import clip_texts, draw_text
from soundwright.training.checkpoints import read_weights

logger = logging.getLogger(__name__)
HALF: Storage = "fp16"
AT_ONCE = 256
"""Sounds that are looked at together."""


def prepare_captioner(recipe: CaptionerRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to train the captioner of a recipe.

    Trains the language model and the first stage before it, where the recipe names recipes of
    them and they are missing, and lets the towers hear all clips, each once.
    """
    recipe = _train_language(recipe, place)
    ears, model, words = _begin(recipe)
    corpus = gather_corpus(recipe.data, place.data)
    train, validation = split_corpus(recipe.data, corpus)
    memory = Memory(ears.towers, place.data / "heard", recipe.memory_mb)
    bad = BadClips(len(corpus.clips), recipe.max_bad_rate)
    train = _hear(train, memory, ears, bad, recipe)
    seed = recipe.training.seed
    text = functools.partial(_draw_text, recipe)
    batches = CaptionedSounds(
        train.clips,
        memory,
        recipe.batches,
        text,
        seed=seed,
        weights=draw_weights(recipe.data, train.clips),
    )
    held_out = None
    if validation is not None:
        validation = _hear(validation, memory, ears, bad, recipe)
        still = recipe.batches.model_copy(update={"known": 1.0})
        held_out = CaptionedSounds(validation.clips, memory, still, text, seed=seed, shuffle=False)
    if bad.reasons:
        logger.warning(
            "%d clips are left out: %s", len(bad), ", ".join(sorted(set(bad.reasons.values())))
        )

    def save(checkpoint: Path, folder: Path) -> None:
        weights, _ = read_weights(checkpoint, "captioner")
        write_model(
            folder,
            kind="captioner",
            name=recipe.name,
            parts={**ears.parts, "captioner": (model.config.plain(), weights)},
            settings={"clap": ears.clap_name, "generation": recipe.generation.plain()},
            recipe=recipe.plain(),
            licence=recipe.licence,
            card=_write_card(recipe, model, ears, train),
            # The towers are what they were, and are too small to be worth more loss.
            storage={**dict.fromkeys(ears.parts, HALF), "captioner": recipe.storage},
            texts={WORDS_FILE: words.text},
        )

    return Job(CaptionerTask(model, words, recipe.task, seed), batches, held_out, save)


def _train_language(recipe: CaptionerRecipe, place: Workplace) -> CaptionerRecipe:
    """The recipe with what it names by recipes trained and named by folders."""
    data = recipe.data.plain()
    if recipe.language is not None and recipe.language.recipe is not None:
        values = {**compose_recipe(recipe.language.recipe), "data": data}
        language = LanguageRecipe.read(values, origin=f"recipe {recipe.language.recipe}")
        inside = _inside(place, "language")
        if not (inside.model / RECORD_FILE).is_file():
            run_job(prepare_language(language, inside), language, inside)
        found = LanguageSource(model=str(inside.model))
        recipe = recipe.model_copy(update={"language": found})
    if recipe.start is not None and recipe.start.recipe is not None:
        taken = ("data", "tower", "clap", "language", "bridge")
        values = compose_recipe(recipe.start.recipe)
        values |= {key: value for key, value in recipe.plain().items() if key in taken}
        first = CaptionerRecipe.read(values, origin=f"recipe {recipe.start.recipe}")
        inside = _inside(place, "stage1")
        if not (inside.model / RECORD_FILE).is_file():
            run_job(prepare_captioner(first, inside), first, inside)
        found = Start(model=str(inside.model))
        recipe = recipe.model_copy(update={"start": found})
    return recipe


def _inside(place: Workplace, name: str) -> Workplace:
    return Workplace(place.run / name, place.data, place.resume, place.accept_changes)


def _begin(recipe: CaptionerRecipe) -> tuple[Ears, AutoCap, Words]:
    """The model as training begins with it."""
    device = choose_device(recipe.training.device)
    if recipe.start is not None:
        assert recipe.start.model is not None
        parts = load_captioner_parts(recipe.start.model, device)
        config = parts.model.config.model_copy(update={"dropout": recipe.bridge.dropout})
        model = AutoCap(config)
        model.load_state_dict(parts.model.state_dict())
        return parts.ears, model, parts.words
    assert recipe.tower is not None
    assert recipe.language is not None
    ears = open_ears(recipe.tower, recipe.clap, device)
    language = open_language(recipe.language)
    tower = ears.towers.tower
    values = {
        **recipe.bridge.plain(),
        "state_width": tower.width,
        "frames": tower.frames,
        "vector_width": ears.vector_width,
        "bart": language.shape.plain(),
    }
    config = AutoCapConfig.read(values, origin="bridge")
    model = AutoCap(config, recipe.training.seed)
    model.load_bart(language.weights)
    return ears, model, language.words


def _hear(
    manifest: Manifest, memory: Memory, ears: Ears, bad: BadClips, recipe: CaptionerRecipe
) -> Manifest:
    """The clips of a manifest that have a caption and are heard; what is silent is counted."""
    clips = [clip for clip in manifest.clips if clip_texts(clip, recipe.text)]
    readers = {clip.pcm_hash: _reader(manifest, clip, ears) for clip in clips}
    by_hash = {clip.pcm_hash: clip for clip in clips}
    unread = memory.fill(readers)
    for key, error in unread.items():
        bad.add(by_hash[key], error)
    clips = [clip for clip in clips if clip.pcm_hash not in unread]
    for first in range(0, len(clips), AT_ONCE):
        some = clips[first : first + AT_ONCE]
        for clip, sound in zip(some, memory.read([clip.pcm_hash for clip in some]), strict=True):
            if not len(sound.states):
                bad.add(clip, AudioError(f"Clip {clip.id} is silent.", reason="silent"))
    return manifest.with_clips(clip for clip in clips if clip.id not in bad)


def _reader(manifest: Manifest, clip: Clip, ears: Ears) -> Callable[[], Tensor]:
    def read() -> Tensor:
        seconds = min(clip.duration, ears.towers.longest)
        rate = ears.towers.sample_rate
        return read_clip(manifest, clip, duration=seconds, sample_rate=rate, channels=1).samples[0]

    return read


def _draw_text(recipe: CaptionerRecipe, clip: Clip, stream: np.random.Generator) -> str:
    return draw_text(clip, recipe.text, stream)


def _write_card(recipe: CaptionerRecipe, model: AutoCap, ears: Ears, train: Manifest) -> str:
    def millions(*values: Sequence[Tensor] | Any) -> str:
        return f"{sum(p.numel() for group in values for p in group) / 1e6:.2f} M"

    bart = sum(p.numel() for p in model.bart.parameters()) / 1e6
    clap = ears.clap_name or ("none" if ears.clap is None else ears.clap.name)
    facts = {
        "parameters": f"{millions(model.parameters())} ({bart:.2f} M of BART), and "
        f"{millions(ears.towers.tower.parameters())} of the audio tower",
        "CLAP": clap,
        "sound": f"{ears.towers.sample_rate} Hz, at most {ears.towers.longest:g} s at once",
        "metadata": ", ".join(model.config.fields) or "none",
        "frozen": {"language": "BART", "words": "word embeddings", "nothing": "the towers alone"}[
            recipe.task.frozen
        ],
        "steps": recipe.training.steps,
    }
    lineage = ""
    if recipe.start is not None and recipe.start.model is not None:
        start = verify_model(find_model(recipe.start.model))
        lineage = f"Its first stage is {start.name} ({start.hash})."
    return write_card(recipe, facts, train, lineage=lineage)
