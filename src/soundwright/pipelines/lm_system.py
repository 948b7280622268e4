"""Training a language model from a recipe: its codec, tokens, texts and starting weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soundwright.core.devices import choose_device
from soundwright.core.errors import ConfigError, UserError
from soundwright.core.protocols import TextEncoder
from soundwright.data.encoding import identify_codec
from soundwright.data.frame_segments import TokenSegments
from soundwright.data.manifest import Manifest
from soundwright.data.store import TokenStore
from soundwright.data.tokens import tokenize
from soundwright.lm.engine import PlainEngine
from soundwright.lm.model import AudioLm
from soundwright.lm.task import LmTask
from soundwright.nn.lora import add_lora
from soundwright.pipelines.adapters import name_base, write_adapter
from soundwright.pipelines.captioned import cut_frames, open_text_encoder
from soundwright.pipelines.cards import write_card
from soundwright.pipelines.codec_system import prepare_codec
from soundwright.pipelines.corpora import gather_corpus
from soundwright.pipelines.jobs import Job, Workplace, run_job
from soundwright.pipelines.lm_recipe import LmRecipe, read_codec_recipe
from soundwright.pipelines.models import (
    RECORD_FILE,
    find_model,
    read_record,
    verify_model,
    write_model,
)
from soundwright.pipelines.parts import (
    Codec,
    CodecChoice,
    build_codec,
    coarser_codec,
    load_codec,
    load_part,
)
from soundwright.pipelines.rendering import Renderer
from soundwright.pipelines.samples import LmSamples
from soundwright.pipelines.settings import GenerationConfig, TextConfig
from soundwright.text.preparation import excluded_term
from soundwright.training.checkpoints import read_weights


def prepare_lm(recipe: LmRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to train the language model of a recipe.

    Trains the codec and makes the tokens first, where they are missing.
    """
    # What can be wrong is found out before hours go into the codec.
    device = choose_device(recipe.training.device)
    encoder = open_text_encoder(recipe.text, device)
    seed = recipe.training.seed
    lm = _build_lm(recipe)
    task = LmTask(lm, encoder, recipe.task, seed)
    codec, choice = _find_codec(recipe, place)
    store = _find_tokens(recipe, codec, place)
    captioned = cut_frames(
        TokenSegments,
        store,
        _without_excluded(recipe, store.manifest),
        recipe.data,
        recipe.segments,
        recipe.text.preparation,
        seed,
    )

    def save(checkpoint: Path, folder: Path) -> None:
        weights, _ = read_weights(checkpoint, "lm")
        card = _write_card(recipe, lm, codec, captioned.clips, encoder)
        if recipe.adapter is None:
            _write_whole(recipe, folder, weights, (choice, codec), card)
        else:
            _write_adapter(recipe, folder, weights, card)

    renderer = Renderer(PlainEngine(lm), codec, encoder, recipe.text.preparation)
    hooks = (LmSamples(recipe.samples, _defaults(recipe), renderer),)
    return Job(task, captioned.batches, captioned.validation, save, hooks)


def share_tokens(recipe: LmRecipe, place: Workplace) -> tuple[str, ...]:
    """Train codec and make tokens of a recipe once, for many runs that differ otherwise.

    Returns:
        Overrides with which the recipe's runs take them from `place`.
    """
    if recipe.tokens is not None:
        return ()
    codec, _ = _find_codec(recipe, place)
    _find_tokens(recipe, codec, place)
    shared = [f"tokens={place.run / 'tokens'}", "data.scenes=null", "data.manifests=[]"]
    if recipe.codec.recipe is not None:
        shared += [f"codec.model={_codec_place(place).model}", "codec.recipe=null"]
    return tuple(shared)


def _build_lm(recipe: LmRecipe) -> AudioLm:
    """The language model as training begins with it."""
    seed = recipe.training.seed
    if recipe.from_model is None:
        return AudioLm(recipe.lm, seed=seed)
    folder = find_model(recipe.from_model)
    # Without initial weights, which would be drawn for minutes for nothing.
    with torch.device("meta"):
        lm = AudioLm(recipe.lm)
    load_part(lm.to_empty(device="cpu"), folder, "lm")
    if recipe.adapter is not None:
        base = read_record(folder)
        if TextConfig.read(base.settings["text"]) != recipe.text:
            raise ConfigError(
                "The recipe reads texts in another way than the model that it adapts.",
                change="Leave the section text out, or train without adapter.",
            )
        add_lora(lm, recipe.adapter, seed)
    return lm


def _write_whole(
    recipe: LmRecipe,
    folder: Path,
    weights: Mapping[str, Tensor],
    codec: tuple[CodecChoice, Codec],
    card: str,
) -> None:
    # How activations were kept in training is no part of the model.
    shape = recipe.lm.model_copy(update={"checkpointing": False})
    write_model(
        folder,
        kind="lm",
        name=recipe.name,
        parts={
            "codec": (codec[0].plain(), codec[1].state_dict()),
            "lm": (shape.plain(), weights),
        },
        settings={"text": recipe.text.plain(), "generation": _defaults(recipe).plain()},
        recipe=recipe.plain(),
        licence=recipe.licence,
        card=card,
        storage=recipe.storage,
    )


def _write_adapter(
    recipe: LmRecipe, folder: Path, weights: Mapping[str, Tensor], card: str
) -> None:
    assert recipe.from_model is not None
    assert recipe.adapter is not None
    write_adapter(
        folder,
        name=recipe.name,
        base=name_base(recipe.from_model, read_record(find_model(recipe.from_model))),
        config=recipe.adapter,
        weights=weights,
        recipe=recipe.plain(),
        licence=recipe.licence,
        card=card,
        storage=recipe.storage,
    )


def _find_codec(recipe: LmRecipe, place: Workplace) -> tuple[Codec, CodecChoice]:
    name = recipe.codec.model
    if recipe.codec.recipe is not None:
        name = _train_codec(recipe.codec.recipe, recipe, place)
    assert name is not None
    codec, record, _ = load_codec(name)
    choice = CodecChoice.read(record.parts["codec"])
    if recipe.codec.codebooks is not None:
        codec, choice = coarser_codec(codec, choice, recipe.codec.codebooks)
    _check_shape(recipe, codec)
    return codec, choice


def _train_codec(name: str, recipe: LmRecipe, place: Workplace) -> Path:
    """Train the codec on the same data as the language model (section 4.2 of the paper)."""
    codec_recipe = read_codec_recipe(name, recipe)
    _check_shape(recipe, build_codec(codec_recipe.codec))
    inside = _codec_place(place)
    if not (inside.model / RECORD_FILE).is_file():
        run_job(prepare_codec(codec_recipe, inside), codec_recipe, inside)
    return inside.model


def _codec_place(place: Workplace) -> Workplace:
    """Where a run trains its codec, on its own data."""
    return Workplace(place.run / "codec", place.data, place.resume, place.accept_changes)


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
    if recipe.adapter is not None:
        trained = sum(p.numel() for p in lm.parameters() if p.requires_grad)
        facts["adapter"] = (
            f"LoRA of rank {recipe.adapter.rank}, alpha {recipe.adapter.alpha:g}, "
            f"{trained / 1e6:.2f} M of the parameters"
        )
    lineage = ""
    if recipe.from_model is not None:
        start = verify_model(find_model(recipe.from_model))
        verb = "Fine-tuned from" if recipe.adapter is None else "An adapter for"
        lineage = f"{verb} {start.name} ({start.hash}, {start.licence})."
    return write_card(recipe, facts, train, lineage=lineage)
