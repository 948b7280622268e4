"""Tango and Tango 2: folders of the public checkpoints in, folders of diffusers out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from soundwright.audio.mel import PRESETS, MelConfig
from soundwright.codecs.audioldm_weights import from_audioldm
from soundwright.codecs.hifigan import HifiGan, HifiGanConfig
from soundwright.codecs.mel_vae import MelVae, MelVaeConfig
from soundwright.core.errors import CheckpointError, UserError
from soundwright.core.files import folder_atomic, read_json, write_text
from soundwright.core.hub import quiet_loading
from soundwright.core.pickles import read_pickle, refuse_pointer
from soundwright.diffusion.tango_weights import MAIN_CONFIG, read_tango, write_diffusers
from soundwright.diffusion.unet import LatentUnet
from soundwright.pipelines.foreign import T5_TOKENS, ForeignModel, ImportOptions, given_text
from soundwright.pipelines.licences import README, write_readme
from soundwright.pipelines.models import ModelRecord
from soundwright.pipelines.parts import (
    VocoderChoice,
    load_latent_codec,
    load_network,
    network_part,
)
from soundwright.pipelines.settings import LatentGenerationConfig, TextConfig
from soundwright.pipelines.text_folders import copy_text_encoder
from soundwright.text.encoders import TextEncoderConfig, load_text_encoder

VAE_FILE = "pytorch_model_vae"
VAE_CONFIG, STFT_CONFIG = "vae_config.json", "stft_config.json"
FILES = ("pytorch_model_main.*", f"{VAE_FILE}.*", "*_config.json")
"""What is fetched of a repository."""

_VAE_SHAPE: Mapping[str, Any] = {
    "double_z": True,
    "in_channels": 1,
    "out_ch": 1,
    "attn_resolutions": [],
    "downsample_time": False,
}
"""What the autoencoder has in common with every one here."""


def is_tango(place: Path) -> bool:
    """Whether a folder has Tango's layout."""
    return (place / MAIN_CONFIG).is_file()


def read_tango_model(folder: Path, options: ImportOptions) -> ForeignModel:
    """A model of the public layout; nothing in its pickled files is run.

    What stands for no text are the states of the empty text, as in the released code: the text
    encoder is asked for them once, here.

    Args:
        folder: With main_config.json and what belongs to it.
        options: See there; `text_encoder` is carried by the model.

    Raises:
        CheckpointError: It is damaged, or of another architecture.
        MissingWeightsError: Its text encoder is neither here nor reachable.
        UserError: An option that is for other models.
    """
    _refuse(options)
    files = read_tango(folder)
    mel = _read_mel(folder)
    state = _read_vae(folder)
    shape = _read_vae_shape(folder, mel)
    vocoder = HifiGanConfig(mel=mel, width=_vocoder_width(state))
    weights = from_audioldm(state, shape, vocoder)
    if options.text_encoder is not None:
        text = given_text(options.text_encoder, files.config.text_width)
        note = ""
    else:
        text = TextConfig(
            encoder=TextEncoderConfig(kind="t5", name=files.text_encoder_name, max_tokens=T5_TOKENS)
        )
        note = (
            f"The checkpoint names its text encoder, {files.text_encoder_name}, which is looked "
            "for on the hub, or in its cache, when the model generates. --text-encoder FOLDER "
            "puts it into the model."
        )
    null = load_text_encoder(text.encoder).encode_nothing().cpu()
    config = files.config.model_copy(update={"null": "fixed", "null_length": len(null)})
    if null.shape[1] != config.text_width:
        raise CheckpointError(
            f"The text encoder {text.encoder.name} has states of width {null.shape[1]}.",
            expected=f"width {config.text_width}, which the U-Net reads",
        )
    choice = VocoderChoice(hifigan=vocoder)
    stored = options.storage or "fp32"
    return ForeignModel(
        kind="diffusion",
        parts={
            "vae": (shape.plain(), weights.vae),
            "vocoder": (choice.plain(), weights.vocoder),
            "unet": (config.plain(), {**files.unet, "null": null}),
        },
        storage={"vae": stored, "vocoder": stored, "unet": stored},
        settings={
            "text": text.plain(),
            # The sampler of the released code, and the number of steps of the paper's figures.
            "generation": LatentGenerationConfig(
                duration=10.0, cfg_scale=3.0, sampler="ddpm", steps=200, spacing="leading"
            ).plain(),
        },
        text_encoder=None if options.text_encoder is None else _copier(options.text_encoder),
        notes=(note,) if note else (),
    )


def export_diffusers(record: ModelRecord, folder: Path, out: Path, *, half: bool = False) -> None:
    """Write unet/, scheduler/, vae/, vocoder/ and, where the model carries it, text_encoder/.

    Each is what its class loads: UNet2DConditionModel, DDPMScheduler, AutoencoderKL of diffusers,
    SpeechT5HifiGan of transformers. There is no pipeline class for Tango in diffusers.

    Args:
        record: Of a diffusion model.
        folder: The model's.
        out: The new folder, written whole or not at all.
        half: Whether weights are stored in fp16.

    Raises:
        UserError: The model has parts for which there is no place there.
    """
    dtype = torch.float16 if half else torch.float32
    if (part := network_part(record)) != LatentUnet.player:
        raise UserError(
            f"The network of {record.name} is a {part}, for which diffusers has no class.",
            expected="a model with a unet",
        )
    codec = load_latent_codec(folder)[0].to(dtype)
    network = load_network(record, folder).to(dtype)
    assert isinstance(network, LatentUnet)
    vae = codec.vae
    if not isinstance(vae, MelVae):
        raise UserError(
            f"The autoencoder of {record.name} is one over time alone, for which diffusers has no "
            "class.",
            expected="a model with an autoencoder vae.mel_2d, as Tango's",
        )
    if vae.config.patch != 1:
        raise UserError(
            f"The autoencoder of {record.name} folds spectrograms into patches, for which "
            "AutoencoderKL of diffusers has no place.",
            expected="a model trained with vae.mel_2d.patch=1, as Tango's",
        )
    with folder_atomic(out) as inside, quiet_loading():
        write_diffusers(network.state_dict(), network.config, inside)
        vae.network.register_to_config(scaling_factor=vae.config.scale)
        vae.network.save_pretrained(inside / "vae")
        if isinstance(codec.vocoder, HifiGan):
            codec.vocoder.network.save_pretrained(inside / "vocoder")
        if record.carries_text_encoder:
            copy_text_encoder(folder / "text_encoder", inside / "text_encoder")
        facts = (
            f"Parts of the model {record.name} ({record.hash}), a text-to-audio latent diffusion "
            f"model.\n\nLicence of the weights: {record.licence}."
        )
        write_text(inside / README, write_readme(record.name, record.licence, facts))


def _refuse(options: ImportOptions) -> None:
    given = {
        "--codec": options.codec is not None,
        "--codebooks": options.codebooks is not None,
        "--pad-mode": options.pad_mode is not None,
        "--text-padding": not options.mask_text,
    }
    for name, is_given in given.items():
        if is_given:
            raise UserError(
                f"{name} is for language models and their codecs.",
                change=f"Leave {name} out: the source is a diffusion model.",
            )


def _copier(source: Path) -> Any:
    return lambda target: copy_text_encoder(source, target)


def _read_mel(folder: Path) -> MelConfig:
    """The front end that stft_config.json says; Tango's where there is none."""
    path = folder / STFT_CONFIG
    if not path.is_file():
        return PRESETS["tango"]
    found = dict(read_json(path))
    names = {
        "sample_rate": "sampling_rate",
        "n_fft": "filter_length",
        "win_length": "win_length",
        "hop_length": "hop_length",
        "n_mels": "n_mel_channels",
        "f_min": "mel_fmin",
        "f_max": "mel_fmax",
    }
    values = {ours: found[theirs] for ours, theirs in names.items() if theirs in found}
    return MelConfig.read({**PRESETS["tango"].plain(), **values}, origin=str(path))


def _read_vae_shape(folder: Path, mel: MelConfig) -> MelVaeConfig:
    path = folder / VAE_CONFIG
    if not path.is_file():
        return MelVaeConfig(mel=mel)
    found = dict(read_json(path))
    shape = dict(found.get("ddconfig", {}))
    for key, wanted in _VAE_SHAPE.items():
        if shape.get(key, wanted) != wanted:
            raise CheckpointError(
                f"The autoencoder in {path} has {key} = {shape[key]!r}.", expected=repr(wanted)
            )
    channels = shape.get("z_channels", 8)
    if found.get("embed_dim", channels) != channels:
        raise CheckpointError(
            f"The autoencoder in {path} has embed_dim {found['embed_dim']} and z_channels "
            f"{channels}.",
            expected="the same number",
        )
    width = shape.get("ch", 128)
    values = {
        "mel": mel.plain(),
        "widths": [width * factor for factor in shape.get("ch_mult", (1, 2, 4))],
        "layers": shape.get("num_res_blocks", 2),
        "latent_channels": channels,
        **({"scale": found["scale_factor"]} if "scale_factor" in found else {}),
    }
    return MelVaeConfig.read(values, origin=str(path))


def _vocoder_width(state: Mapping[str, Tensor]) -> int:
    """Of the first layer; the configuration does not tell."""
    for name, value in state.items():
        if name.endswith(("vocoder.conv_pre.weight", "vocoder.conv_pre.weight_v")):
            return len(value)
    raise CheckpointError(
        "The checkpoint's autoencoder has no vocoder.", expected="vocoder.conv_pre and the like"
    )


def _read_vae(folder: Path) -> Mapping[str, Tensor]:
    safe = folder / f"{VAE_FILE}.safetensors"
    if safe.is_file():
        refuse_pointer(safe)
        return load_file(safe)
    path = folder / f"{VAE_FILE}.bin"
    held = read_pickle(path)
    if not isinstance(held, Mapping) or not all(isinstance(one, Tensor) for one in held.values()):
        raise CheckpointError(f"{path} holds no tensors by name.", expected="Tango's autoencoder")
    return held
