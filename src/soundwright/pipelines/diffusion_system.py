"""Training a diffusion model from a recipe: its codec, latents, texts and starting weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soundwright.codecs.mel_codec import MelCodec
from soundwright.core.devices import choose_device
from soundwright.core.errors import ConfigError, UserError
from soundwright.core.protocols import LatentCodec
from soundwright.data.encoding import identify_codec
from soundwright.data.frame_segments import LatentSegments
from soundwright.data.latents import encode_latents
from soundwright.data.manifest import Manifest
from soundwright.data.mixtures import add_mixtures
from soundwright.data.store import LatentStore
from soundwright.diffusion.conditioner import Conditioner
from soundwright.diffusion.network import Network
from soundwright.diffusion.task import DiffusionTask
from soundwright.diffusion.tokens import TokenConfig
from soundwright.pipelines.captioned import cut_frames, open_text_encoder
from soundwright.pipelines.cards import write_card
from soundwright.pipelines.conditioning import VectorCache
from soundwright.pipelines.corpora import gather_corpus, split_corpus
from soundwright.pipelines.diffusion_recipe import DiffusionRecipe
from soundwright.pipelines.jobs import Job, Workplace, run_job
from soundwright.pipelines.latent_rendering import LatentRenderer
from soundwright.pipelines.latent_samples import LatentSamples
from soundwright.pipelines.models import RECORD_FILE, ModelRecord, find_model, verify_model
from soundwright.pipelines.models import write_model as write_folder
from soundwright.pipelines.parts import build_network, load_latent_codec, load_part
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
    vectors = VectorCache(recipe.conditions, device)
    seed = recipe.training.seed
    network = _build_network(recipe)
    conditioner = Conditioner(encoder, recipe.conditions, vectors.texts)
    DiffusionTask(network, conditioner, recipe.task, seed)
    codec, record = _find_codec(recipe, place)
    _check_lengths(recipe, network, codec)
    corpus = _find_corpus(recipe, place)
    store = _find_latents(recipe, codec, corpus, place)
    clips = vectors.hear(store.manifest if corpus is None else corpus, place.run / "vectors")
    conditioner = Conditioner(encoder, recipe.conditions, vectors.texts, clips)
    task = DiffusionTask(network, conditioner, recipe.task, seed)
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
        part, shape = recipe.network
        weights, _ = read_weights(checkpoint, part)
        # How activations were kept in training is no part of the model.
        shape = shape.model_copy(update={"checkpointing": False})
        conditions = recipe.conditions
        write_folder(
            folder,
            kind="diffusion",
            name=recipe.name,
            parts={
                "vae": (record.parts["vae"], codec.vae.state_dict()),
                "vocoder": (record.parts["vocoder"], codec.vocoder.state_dict()),
                part: (shape.plain(), weights),
            },
            settings={
                "text": recipe.text.plain(),
                "generation": recipe.generation.plain(),
                **({} if conditions is None else {"conditions": conditions.plain()}),
            },
            recipe=recipe.plain(),
            licence=recipe.licence,
            card=_write_card(recipe, network, codec, captioned.clips, conditioner),
            storage=recipe.storage,
        )

    renderer = LatentRenderer(network, codec, conditioner, recipe.text.preparation)
    hooks = (LatentSamples(recipe.samples, recipe.generation, renderer),)
    return Job(task, captioned.batches, captioned.validation, save, hooks)


def _build_network(recipe: DiffusionRecipe) -> Network:
    """The network as training begins with it."""
    part, shape = recipe.network
    network = build_network(shape, recipe.training.seed)
    if recipe.from_model is not None:
        load_part(network, find_model(recipe.from_model), part)
    return network


def _find_codec(recipe: DiffusionRecipe, place: Workplace) -> tuple[MelCodec, ModelRecord]:
    name: str | Path | None = recipe.codec.model
    if recipe.codec.recipe is not None:
        name = _train_codec(recipe.codec.recipe, recipe, place)
    assert name is not None
    codec, record, _ = load_latent_codec(name)
    part, shape = recipe.network
    sides = {"channels": codec.latent_shape[0]}
    if isinstance(shape, TokenConfig):
        sides["bands"] = codec.latent_shape[1] if len(codec.latent_shape) > 1 else 1
    for name, wanted in sides.items():
        if (given := getattr(shape, name)) != wanted:
            raise ConfigError(
                f"{part}.{name} is {given}, but the latents of {record.name} have {wanted}.",
                change=f"Set {part}.{name}={wanted}.",
            )
    return codec, record


def _check_lengths(recipe: DiffusionRecipe, network: Network, codec: LatentCodec) -> None:
    """Refuse crops that are longer than the network has positions for."""
    limit, wanted = network.frame_limit, recipe.segments.duration
    rate = codec.sample_rate / codec.hop_length
    if limit is not None and wanted is not None and round(wanted * rate) > limit:
        raise ConfigError(
            f"segments.duration is {wanted:g} s, {round(wanted * rate)} frames.",
            expected=f"at most {limit / rate:g} s, the {limit} frames of "
            f"{network.player}.max_frames",
        )


def _train_codec(name: str, recipe: DiffusionRecipe, place: Workplace) -> Path:
    values = {**compose_recipe(name), "data": recipe.data.plain()}
    codec_recipe = VocoderRecipe.read(values, origin=f"recipe {name}")
    inside = Workplace(place.run / "codec", place.data, place.resume, place.accept_changes)
    if not (inside.model / RECORD_FILE).is_file():
        run_job(prepare_vocoder(codec_recipe, inside), codec_recipe, inside)
    return inside.model


def _find_corpus(recipe: DiffusionRecipe, place: Workplace) -> Manifest | None:
    """The clips that become latents; None where latents are given."""
    if recipe.latents is not None:
        return None
    corpus = gather_corpus(recipe.data, place.data)
    if recipe.mixtures is None:
        return corpus
    train, _ = split_corpus(recipe.data, corpus)
    return add_mixtures(corpus, train.clips, recipe.mixtures)


def _find_latents(
    recipe: DiffusionRecipe, codec: MelCodec, corpus: Manifest | None, place: Workplace
) -> LatentStore:
    if corpus is not None:
        device = choose_device(recipe.training.device)
        store = encode_latents(
            corpus, codec.to(device), place.run / "latents", peak=recipe.peak, device=device
        )
        codec.cpu()
        return store
    assert recipe.latents is not None
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
    network: Network,
    codec: MelCodec,
    train: Manifest,
    conditioner: Conditioner,
) -> str:
    process = network.config.process.plain()
    facts = {
        "parameters": f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M, and "
        f"{sum(p.numel() for p in codec.parameters()) / 1e6:.2f} M of the codec",
        "sound": f"{codec.sample_rate} Hz, {codec.channels} channel(s)",
        "latents": f"{codec.sample_rate / codec.hop_length:g} frames a second of "
        f"{' x '.join(map(str, codec.latent_shape))}",
        "network": network.player,
        "process": ", ".join(f"{key} {value}" for key, value in process.items()),
        "text encoder": conditioner.text_encoder.identity,
        **_tell_conditions(recipe),
        "steps": recipe.training.steps,
    }
    lineage = ""
    if recipe.from_model is not None:
        start = verify_model(find_model(recipe.from_model))
        lineage = f"Fine-tuned from {start.name} ({start.hash}, {start.licence})."
    return write_card(recipe, facts, train, lineage=lineage)


def _tell_conditions(recipe: DiffusionRecipe) -> dict[str, str]:
    """For the card: what is read besides the text."""
    config = recipe.conditions
    if config is None:
        return {}
    told = {} if config.vector is None else {"vectors": f"of {config.vector}"}
    if config.sources:
        told["data sets told apart"] = ", ".join(config.sources)
    return told
