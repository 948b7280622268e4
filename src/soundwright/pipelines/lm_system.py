"""Training a language model from a recipe: its codec, tokens, texts and starting weights."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import model_validator

from soundwright.core.config import Config, merge
from soundwright.core.devices import choose_device
from soundwright.core.errors import CheckpointError, ConfigError, UserError
from soundwright.core.files import cache_folder
from soundwright.core.protocols import TextEncoder
from soundwright.core.records import Clip
from soundwright.data.manifest import Manifest
from soundwright.data.segments import TokenSegmentConfig, TokenSegments
from soundwright.data.store import TokenStore
from soundwright.data.tokens import identify_codec, tokenize
from soundwright.lm.engine import PlainEngine
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.lm.task import LmTask, LmTaskConfig
from soundwright.pipelines.cards import write_card
from soundwright.pipelines.codec_system import CodecRecipe, prepare_codec
from soundwright.pipelines.corpora import draw_weights, gather_corpus, split_corpus
from soundwright.pipelines.jobs import Job, Workplace, run_job
from soundwright.pipelines.models import RECORD_FILE, find_model, verify_model, write_model
from soundwright.pipelines.parts import Codec, CodecChoice, build_codec, load_codec, load_part
from soundwright.pipelines.recipe import Recipe, compose_recipe
from soundwright.pipelines.rendering import Renderer
from soundwright.pipelines.samples import LmSamples, SampleConfig
from soundwright.pipelines.settings import GenerationConfig, TextConfig
from soundwright.text.cache import CachedTextEncoder
from soundwright.text.encoders import load_text_encoder
from soundwright.text.preparation import PreparationConfig, draw_text, excluded_term
from soundwright.training.checkpoints import read_weights


class CodecSource(Config):
    """Whose tokens the model learns: exactly one of these."""

    model: str | None = None
    """A finished model, by name or folder."""
    recipe: str | None = None
    """A codec recipe, trained first, on the data of this one, into `codec/` of the run."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.model is None) == (self.recipe is None):
            raise ValueError("give exactly one of model and recipe")
        return self


class LmRecipe(Recipe):
    """Train a language model, from nothing or from another one."""

    kind: Literal["lm"]  # type: ignore[assignment]
    from_model: str | None = None
    """A model to start from, by name or folder: its codec, text and shape are taken over."""
    tokens: Path | None = None
    """Tokens as `soundwright data tokenize` left them; null makes them from `data`."""
    codec: CodecSource
    text: TextConfig = TextConfig()
    lm: LmConfig = LmConfig()
    segments: TokenSegmentConfig = TokenSegmentConfig()
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
    taken = {**record.settings, "lm": record.parts["lm"]}
    return {**merge(values, taken), "codec": {"model": str(name)}}


def prepare_lm(recipe: LmRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to train the language model of a recipe.

    Trains the codec and makes the tokens first, where they are missing.
    """
    # What can be wrong is found out before hours go into the codec.
    device = choose_device(recipe.training.device)
    encoder = CachedTextEncoder(
        load_text_encoder(recipe.text.encoder, device), cache_folder() / "text", device
    )
    seed = recipe.training.seed
    lm = AudioLm(recipe.lm, seed=seed)
    if recipe.from_model is not None:
        load_part(lm, find_model(recipe.from_model), "lm")
    task = LmTask(lm, encoder, recipe.task, seed)
    codec, choice = _find_codec(recipe, place)
    store = _find_tokens(recipe, codec, place)
    train, validation = split_corpus(recipe.data, _without_excluded(recipe, store.manifest))
    text = functools.partial(_draw_text, recipe.text.preparation)
    batches = TokenSegments(
        store,
        recipe.segments,
        seed=seed,
        clips=train.clips,
        weights=draw_weights(recipe.data, train.clips),
        text=text,
    )
    held_out = None
    if validation is not None:
        still = recipe.segments.model_copy(update={"shuffle": False, "crop": "start"})
        held_out = TokenSegments(store, still, seed=seed, clips=validation.clips, text=text)

    def save(checkpoint: Path, folder: Path) -> None:
        weights, _ = read_weights(checkpoint, "lm")
        write_model(
            folder,
            kind="lm",
            name=recipe.name,
            parts={
                "codec": (choice.plain(), codec.state_dict()),
                "lm": (recipe.lm.plain(), weights),
            },
            settings={"text": recipe.text.plain(), "generation": _defaults(recipe).plain()},
            recipe=recipe.plain(),
            licence=recipe.licence,
            card=_write_card(recipe, lm, codec, train, encoder),
            storage=recipe.storage,
        )

    renderer = Renderer(PlainEngine(lm), codec, encoder, recipe.text.preparation)
    hooks = (LmSamples(recipe.samples, _defaults(recipe), renderer),)
    return Job(task, batches, held_out, save, hooks)


def _find_codec(recipe: LmRecipe, place: Workplace) -> tuple[Codec, CodecChoice]:
    name = recipe.codec.model
    if recipe.codec.recipe is not None:
        name = _train_codec(recipe.codec.recipe, recipe, place)
    assert name is not None
    codec, record, _ = load_codec(name)
    _check_shape(recipe, codec)
    return codec, CodecChoice.read(record.parts["codec"])


def _train_codec(name: str, recipe: LmRecipe, place: Workplace) -> Path:
    """Train the codec on the same data as the language model (section 4.2 of the paper)."""
    values = {**compose_recipe(name), "data": recipe.data.plain()}
    codec_recipe = CodecRecipe.read(values, origin=f"recipe {name}")
    _check_shape(recipe, build_codec(codec_recipe.codec))
    inside = Workplace(place.run / "codec", place.data, place.resume, place.accept_changes)
    if not (inside.model / RECORD_FILE).is_file():
        run_job(prepare_codec(codec_recipe, inside), codec_recipe, inside)
    return inside.model


def _check_shape(recipe: LmRecipe, codec: Codec) -> None:
    for key in ("codebooks", "codebook_size"):
        wanted, there = getattr(recipe.lm, key), getattr(codec, key)
        if wanted != there:
            raise ConfigError(f"lm.{key} is {wanted}, but the codec's is {there}.")


def _find_tokens(recipe: LmRecipe, codec: Codec, place: Workplace) -> TokenStore:
    if recipe.tokens is None:
        corpus = gather_corpus(recipe.data, place.data)
        device = choose_device(recipe.training.device)
        store = tokenize(corpus, codec.to(device), place.run / "tokens", device=device)
        codec.cpu()
        return store
    store = TokenStore(recipe.tokens)
    if store.info.codec != identify_codec(codec):
        raise UserError(
            f"The tokens in {recipe.tokens} were made by another codec than the recipe's.",
            expected=f"tokens of {recipe.codec.model or recipe.codec.recipe}",
            change="Tokenize the corpus again: soundwright data tokenize MANIFEST --model "
            f"{recipe.from_model or recipe.codec.model}.",
        )
    return store


def _without_excluded(recipe: LmRecipe, corpus: Manifest) -> Manifest:
    """Leave out clips that mention an excluded term, such as speech (section 4.1)."""
    preparation = recipe.text.preparation
    if not preparation.excluded_terms:
        return corpus
    return corpus.with_clips(
        clip for clip in corpus.clips if excluded_term(clip, preparation) is None
    )


def _draw_text(preparation: PreparationConfig, clip: Clip, stream: np.random.Generator) -> str:
    return draw_text(clip, preparation, stream)


def _defaults(recipe: LmRecipe) -> GenerationConfig:
    window = recipe.generation.window or recipe.segments.duration
    return recipe.generation.model_copy(update={"window": window})


def _write_card(
    recipe: LmRecipe, lm: AudioLm, codec: Codec, train: Manifest, encoder: TextEncoder
) -> str:
    facts = {
        "parameters": f"{sum(p.numel() for p in lm.parameters()) / 1e6:.2f} M, and "
        f"{sum(p.numel() for p in codec.parameters()) / 1e6:.2f} M of the codec",
        "sound": f"{codec.sample_rate} Hz, {codec.channels} channel(s)",
        "tokens": f"{codec.sample_rate / codec.hop_length:g} frames a second, "
        f"{codec.codebooks} codebooks of {codec.codebook_size}",
        "text encoder": encoder.identity,
        "steps": recipe.training.steps,
        "regularizer": f"{recipe.task.regularizer.kind}, weight {recipe.task.regularizer.weight:g}",
    }
    lineage = ""
    if recipe.from_model is not None:
        start = verify_model(find_model(recipe.from_model))
        lineage = f"Fine-tuned from {start.name} ({start.hash}, {start.licence})."
    return write_card(recipe, facts, train, lineage=lineage)
