"""The Python interface: load a model, generate sounds, save them with how they were made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from soundwright.core.devices import choose_device
from soundwright.core.errors import CheckpointError, UserError
from soundwright.lm.engine_choice import choose_engine
from soundwright.pipelines.adapters import Adapter, AdapterChoice, gather_adapters
from soundwright.pipelines.conditioning import open_conditioner
from soundwright.pipelines.latent_model import LatentModel
from soundwright.pipelines.latent_rendering import LatentRenderer, choose_precision
from soundwright.pipelines.models import find_model, read_record
from soundwright.pipelines.parts import load_codec, load_latent_codec, load_lm, load_network
from soundwright.pipelines.rendering import Renderer
from soundwright.pipelines.requests import check_prompts
from soundwright.pipelines.settings import TextConfig
from soundwright.pipelines.sounds import GeneratedSound
from soundwright.pipelines.streaming import SoundStream
from soundwright.pipelines.token_model import BATCH_SIZE, FILLINGS, Model
from soundwright.text.encoders import load_text_encoder

__all__ = [
    "BATCH_SIZE",
    "FILLINGS",
    "GeneratedSound",
    "LatentModel",
    "Model",
    "SoundStream",
    "check_prompts",
    "load",
]


def load(
    name: str | Path = "bundled",
    *,
    device: str = "auto",
    dtype: str = "auto",
    adapters: Sequence[AdapterChoice] = (),
) -> Model | LatentModel:
    """Load a model.

    Args:
        name: "bundled", the name of an installed model, a model folder, or owner/name on the hub.
            An adapter's folder stands for its base with the adapter.
        device: auto, cpu, cuda, cuda:N or mps.
        dtype: How the weights are kept: auto, fp32, bf16, or int8 for a language model.
        adapters: Folders of adapters that are added to its weights, each alone or in a pair with
            how much of it is wanted: ["rain", ("bells", 0.5)].

    Returns:
        A `Model`, which is a language model, or a `LatentModel`, which is a diffusion model.

    Raises:
        UserError: There is no such model or device, the device cannot work in that dtype, or an
            adapter is for another model.
        MissingWeightsError: The model is known, but its weights are not here.
        CheckpointError: The model is damaged, newer than this Soundwright, or does not generate.
    """
    where = choose_device(device)
    below, added = gather_adapters(name, adapters)
    if read_record(find_model(below)).kind == "diffusion":
        return _load_latent(below, where, dtype, added)
    codec, record, folder = load_codec(below)
    lm = load_lm(record, folder, added)
    text = TextConfig.read(record.settings["text"], origin=f"the model {name}")
    encoder = load_text_encoder(text.encoder, where)
    renderer = Renderer(
        choose_engine(lm.to(where), dtype),
        codec.to(where),
        encoder,
        text.preparation,
        # Engines take a model apart: what reads whole sequences is loaded when it is needed.
        reader=lambda: load_lm(record, folder, added).to(where),
    )
    return Model(record, renderer, added)


def load_lm_model(name: str | Path = "bundled", **how: Any) -> Model:
    """As `load`, for what only a language model can do, such as streams.

    Raises:
        CheckpointError: It is a diffusion model.
    """
    model = load(name, **how)
    if not isinstance(model, Model):
        raise CheckpointError(f"{name} is a diffusion model.", expected="a language model")
    return model


def _load_latent(
    name: str | Path, device: torch.device, dtype: str, adapters: Sequence[Adapter]
) -> LatentModel:
    if adapters:
        raise UserError(
            f"{name} is a diffusion model, and adapters are for language models.",
            change="Leave the adapters out.",
        )
    codec, record, folder = load_latent_codec(name)
    network = load_network(record, folder)
    text = TextConfig.read(record.settings["text"], origin=f"the model {name}")
    renderer = LatentRenderer(
        network.to(device),
        codec.to(device),
        open_conditioner(record, load_text_encoder(text.encoder, device), device),
        text.preparation,
        choose_precision(dtype, device),
    )
    return LatentModel(record, renderer)
