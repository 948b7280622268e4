"""Training a diffusion model from a recipe: its codec, latents, texts and starting weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soundwright.codecs.mel_codec import MelCodec
from soundwright.core.devices import choose_device
from soundwright.core.errors import ConfigError, UserError
from soundwright.core.protocols import TextEncoder
from soundwright.data.encoding import identify_codec
from soundwright.data.frame_segments import LatentSegments
from soundwright.data.latents import encode_latents
from soundwright.data.manifest import Manifest
from soundwright.data.mixtures import add_mixtures
from soundwright.data.store import LatentStore
from soundwright.diffusion.network import LatentUnet
from soundwright.diffusion.task import DiffusionTask
from soundwright.pipelines.captioned import cut_frames, open_text_encoder
from soundwright.pipelines.cards import write_card
from soundwright.pipelines.corpora import gather_corpus, split_corpus
from soundwright.pipelines.diffusion_recipe import DiffusionRecipe
from soundwright.pipelines.jobs import Job, Workplace, run_job
from soundwright.pipelines.latent_rendering import LatentRenderer
from soundwright.pipelines.latent_samples import LatentSamples
from soundwright.pipelines.models import RECORD_FILE, ModelRecord, find_model, verify_model
from soundwright.pipelines.models import write_model as write_folder
from soundwright.pipelines.parts import load_latent_codec, load_part
from soundwright.pipelines.recipe import compose_recipe
from soundwright.pipelines.vocoder_system import VocoderRecipe, prepare_vocoder
from soundwright.training.checkpoints import read_weights


def prepare_diffusion(recipe: DiffusionRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to train the diffusion model of a recipe.

    Trains the codec and makes the latents first, where they are missing.
    """
    # What can be wrong is found out before hours go into the codec.
    device = choose_device(recipe.training.device)
    encoder = open_text_encoder(recipe.text, device)
    seed = recipe.training.seed
    network = _build_network(recipe)
    task = DiffusionTask(network, encoder, recipe.task, seed)
    codec, record = _find_codec(recipe, place)
    store = _find_latents(recipe, codec, place)
    captioned = cut_frames(
        LatentSegments,
        store,
        store.manifest,
        recipe.data,
        recipe.segments,
        recipe.text.preparation,
        seed,
    )

    def save(checkpoint: Path, folder: Path) -> None:
        weights, _ = read_weights(checkpoint, "unet")
        # How activations were kept in training is no part of the model.
        shape = recipe.unet.model_copy(update={"checkpointing": False})
        write_folder(
            folder,
            kind="diffusion",
            name=recipe.name,
            parts={
                "vae": (record.parts["vae"], codec.vae.state_dict()),
                "vocoder": (record.parts["vocoder"], codec.vocoder.state_dict()),
                "unet": (shape.plain(), weights),
            },
            settings={"text": recipe.text.plain(), "generation": recipe.generation.plain()},
            recipe=recipe.plain(),
            licence=recipe.licence,
            card=_write_card(recipe, network, codec, captioned.clips, encoder),
            storage=recipe.storage,
        )

    renderer = LatentRenderer(network, codec, encoder, recipe.text.preparation)
    hooks = (LatentSamples(recipe.samples, recipe.generation, renderer),)
    return Job(task, captioned.batches, captioned.validation, save, hooks)


def _build_network(recipe: DiffusionRecipe) -> LatentUnet:
    """The network as training begins with it."""
    network = LatentUnet(recipe.unet, seed=recipe.training.seed)
    if recipe.from_model is not None:
        load_part(network, find_model(recipe.from_model), "unet")
    return network


def _find_codec(recipe: DiffusionRecipe, place: Workplace) -> tuple[MelCodec, ModelRecord]:
    name: str | Path | None = recipe.codec.model
    if recipe.codec.recipe is not None:
        name = _train_codec(recipe.codec.recipe, recipe, place)
    assert name is not None
    codec, record, _ = load_latent_codec(name)
    channels = codec.latent_shape[0]
    if recipe.unet.channels != channels:
        raise ConfigError(
            f"unet.channels is {recipe.unet.channels}, but the latents of {record.name} have "
            f"{channels}.",
            change=f"Set unet.channels={channels}.",
        )
    return codec, record


def _train_codec(name: str, recipe: DiffusionRecipe, place: Workplace) -> Path:
    values = {**compose_recipe(name), "data": recipe.data.plain()}
    codec_recipe = VocoderRecipe.read(values, origin=f"recipe {name}")
    inside = Workplace(place.run / "codec", place.data, place.resume, place.accept_changes)
    if not (inside.model / RECORD_FILE).is_file():
        run_job(prepare_vocoder(codec_recipe, inside), codec_recipe, inside)
    return inside.model


def _find_latents(recipe: DiffusionRecipe, codec: MelCodec, place: Workplace) -> LatentStore:
    if recipe.latents is None:
        corpus = gather_corpus(recipe.data, place.data)
        if recipe.mixtures is not None:
            train, _ = split_corpus(recipe.data, corpus)
            corpus = add_mixtures(corpus, train.clips, recipe.mixtures)
        device = choose_device(recipe.training.device)
        store = encode_latents(
            corpus, codec.to(device), place.run / "latents", peak=recipe.peak, device=device
        )
        codec.cpu()
        return store
    store = LatentStore(recipe.latents)
    if store.info.codec != identify_codec(codec):
        raise UserError(
            f"The latents in {recipe.latents} were made by another codec than the recipe's.",
            expected=f"latents of {recipe.codec.model or recipe.codec.recipe}",
            change="Encode the corpus again: soundwright data tokenize MANIFEST --model "
            f"{recipe.from_model or recipe.codec.model}.",
        )
    return store


def _write_card(
    recipe: DiffusionRecipe,
    network: LatentUnet,
    codec: MelCodec,
    train: Manifest,
    encoder: TextEncoder,
) -> str:
    channels, bands = codec.latent_shape
    process = recipe.unet.process.plain()
    facts = {
        "parameters": f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M, and "
        f"{sum(p.numel() for p in codec.parameters()) / 1e6:.2f} M of the codec",
        "sound": f"{codec.sample_rate} Hz, {codec.channels} channel(s)",
        "latents": f"{codec.sample_rate / codec.hop_length:g} frames a second of "
        f"{channels} x {bands}",
        "process": ", ".join(f"{key} {value}" for key, value in process.items()),
        "text encoder": encoder.identity,
        "steps": recipe.training.steps,
    }
    lineage = ""
    if recipe.from_model is not None:
        start = verify_model(find_model(recipe.from_model))
        lineage = f"Fine-tuned from {start.name} ({start.hash}, {start.licence})."
    return write_card(recipe, facts, train, lineage=lineage)
