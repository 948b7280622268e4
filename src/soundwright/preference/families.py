"""What differs between language models and diffusion models, so that all else need not ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from soundwright.core.files import cache_folder
from soundwright.core.protocols import TextEncoder
from soundwright.data.latents import encode_latents
from soundwright.data.manifest import Manifest
from soundwright.data.store import LatentStore, TokenStore
from soundwright.data.tokens import tokenize
from soundwright.lm.engine import PlainEngine
from soundwright.pipelines.conditioning import open_conditioner
from soundwright.pipelines.latent_model import LatentMaker
from soundwright.pipelines.latent_rendering import LatentRenderer
from soundwright.pipelines.making import Maker
from soundwright.pipelines.models import ModelRecord
from soundwright.pipelines.parts import (
    load_codec,
    load_latent_codec,
    load_lm,
    load_network,
    network_part,
)
from soundwright.pipelines.rendering import Renderer
from soundwright.pipelines.requests import Request
from soundwright.pipelines.settings import GenerationConfig, LatentGenerationConfig, TextConfig
from soundwright.pipelines.token_making import TokenMaker
from soundwright.preference.policies import DenoisingPolicy, ScoredPolicy, TokenPolicy
from soundwright.preference.recipe import PreferenceRecipe
from soundwright.text.cache import CachedTextEncoder
from soundwright.text.encoders import load_text_encoder

Store = TokenStore | LatentStore


@dataclass(frozen=True)
class Family:
    """A model that is to be aligned, with what goes with it."""

    policy: ScoredPolicy[Any]
    text: TextConfig
    encode: Callable[[Manifest, Path], Store]
    """Stores the frames of a corpus in a folder."""
    make: Callable[[float], Maker]
    """Generates sounds of so many seconds with the network in training, by the model's defaults."""
    longest: float | None
    """Seconds that the model reads at once; None is any number."""


def open_family(
    recipe: PreferenceRecipe, record: ModelRecord, folder: Path, device: torch.device
) -> Family:
    """The model of a verified folder, ready to be trained.

    Args:
        recipe: What a score is.
        record: The model's.
        folder: The model's.
        device: Where sounds are encoded.
    """
    text = TextConfig.read(record.settings["text"], origin=f"the model {record.name}")
    encoder = CachedTextEncoder(
        load_text_encoder(text.encoder, device), cache_folder() / "text", device
    )
    opens = _open_lm if record.kind == "lm" else _open_diffusion
    return opens(recipe, record, folder, (text, encoder), device)


def load_module(record: ModelRecord, folder: Path) -> nn.Module:
    """The network of a model folder, without dropout."""
    plain = _without_dropout(record)
    return (load_lm if record.kind == "lm" else load_network)(plain, folder)


def _without_dropout(record: ModelRecord, *, checkpointing: bool = False) -> ModelRecord:
    """The record of the same model as it is trained here."""
    part = trained_part(record)
    shape = {**record.parts[part], "dropout": 0.0, "checkpointing": checkpointing}
    return record.model_copy(update={"parts": {**record.parts, part: shape}})


def trained_part(record: ModelRecord) -> str:
    """Name of the part of a model that is aligned."""
    return TokenPolicy.player if record.kind == "lm" else network_part(record)


def _open_lm(
    recipe: PreferenceRecipe,
    record: ModelRecord,
    folder: Path,
    reading: tuple[TextConfig, TextEncoder],
    device: torch.device,
) -> Family:
    text, encoder = reading
    lm = load_lm(_without_dropout(record, checkpointing=recipe.checkpointing), folder).train()
    codec, _, _ = load_codec(folder)
    defaults = GenerationConfig.read(record.settings["generation"])
    policy = TokenPolicy(lm, encoder, recipe.tokens)

    def encode(sounds: Manifest, out: Path) -> TokenStore:
        store = tokenize(sounds, codec.to(device), out, device=device, max_bad_rate=0)
        codec.cpu()
        return store

    def make(duration: float) -> Maker:
        renderer = Renderer(PlainEngine(policy.module), codec, encoder, text.preparation)
        return TokenMaker(renderer, Request(defaults.model_copy(update={"duration": duration})))

    return Family(policy, text, encode, make, defaults.window)


def _open_diffusion(
    recipe: PreferenceRecipe,
    record: ModelRecord,
    folder: Path,
    reading: tuple[TextConfig, TextEncoder],
    device: torch.device,
) -> Family:
    text, encoder = reading
    plain = _without_dropout(record, checkpointing=recipe.checkpointing)
    network = load_network(plain, folder).train()
    codec, _, _ = load_latent_codec(folder)
    defaults = LatentGenerationConfig.read(record.settings["generation"])
    conditioner = open_conditioner(record, encoder, device, cached=True)
    policy = DenoisingPolicy(network, conditioner, recipe.noise, recipe.training.seed)
    limit = network.frame_limit
    longest = None if limit is None else limit * codec.hop_length / codec.sample_rate

    def encode(sounds: Manifest, out: Path) -> LatentStore:
        store = encode_latents(sounds, codec.to(device), out, device=device, max_bad_rate=0)
        codec.cpu()
        return store

    def make(duration: float) -> Maker:
        renderer = LatentRenderer(policy.module, codec, conditioner, text.preparation)
        return LatentMaker(renderer, Request(defaults.model_copy(update={"duration": duration})))

    return Family(policy, text, encode, make, longest)
