"""The parts that models are made of: built from their configuration, loaded from model folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from soundwright.codecs.compact import CompactCodec, CompactCodecConfig
from soundwright.codecs.encodec import EncodecCodec, EncodecCodecConfig
from soundwright.codecs.mel_autoencoder import MelAutoencoder
from soundwright.codecs.mel_codec import MelCodec
from soundwright.codecs.stereo import StereoCodec
from soundwright.core.config import Config
from soundwright.core.errors import CheckpointError, ConfigError
from soundwright.diffusion.dit import Dit, DitConfig
from soundwright.diffusion.fit import Fit, FitConfig
from soundwright.diffusion.network import Network, NetworkConfig
from soundwright.diffusion.unet import LatentUnet, UnetConfig
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.pipelines.adapters import Adapter, add_adapters, check_base
from soundwright.pipelines.latent_codecs import VaeChoice, VocoderChoice, build_vae, build_vocoder
from soundwright.pipelines.models import ModelRecord, find_model, read_part, verify_model

Codec = CompactCodec | EncodecCodec | StereoCodec


class CodecChoice(Config):
    """Exactly one codec."""

    compact: CompactCodecConfig | None = None
    encodec: EncodecCodecConfig | None = None
    stereo_encodec: EncodecCodecConfig | None = None
    """EnCodec for one channel, applied to left and right apart, as in MusicGen's stereo models."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = (self.compact, self.encodec, self.stereo_encodec)
        if sum(choice is not None for choice in given) != 1:
            raise ValueError("give exactly one of compact, encodec and stereo_encodec")
        if self.stereo_encodec is not None and self.stereo_encodec.channels != 1:
            raise ValueError("stereo_encodec.channels is 1: there is a codec for each side")
        return self


def build_codec(choice: CodecChoice, seed: int = 0) -> Codec:
    """A codec with initial weights."""
    if choice.compact is not None:
        return CompactCodec(choice.compact, seed)
    if choice.stereo_encodec is not None:
        return StereoCodec(EncodecCodec(choice.stereo_encodec, seed))
    assert choice.encodec is not None
    return EncodecCodec(choice.encodec, seed)


def load_codec(name: str | Path) -> tuple[Codec, ModelRecord, Path]:
    """The codec of a model, whether the model is a codec or a language model with its codec.

    Returns:
        The codec in evaluation mode, the model's record and its folder.

    Raises:
        UserError: There is no such model.
        CheckpointError: It is damaged or has no codec.
    """
    folder = find_model(name)
    record = verify_model(folder)
    if "codec" not in record.parts:
        raise CheckpointError(f"The model {name} has no codec.")
    codec = build_codec(CodecChoice.read(record.parts["codec"], origin=f"the codec of {name}"))
    load_part(codec, folder, "codec")
    return codec.eval(), record, folder


def load_vae(name: str | Path) -> tuple[MelAutoencoder[Any], ModelRecord, Path]:
    """The autoencoder of a model, whether it stands alone or in a codec or a diffusion model.

    Returns:
        The autoencoder in evaluation mode, the model's record and its folder.

    Raises:
        UserError: There is no such model.
        CheckpointError: It is damaged or has no autoencoder.
    """
    folder = find_model(name)
    record = verify_model(folder)
    return _load_vae(record, folder), record, folder


def load_latent_codec(name: str | Path) -> tuple[MelCodec, ModelRecord, Path]:
    """The latent codec of a model, whether it stands alone or in a diffusion model.

    Returns:
        The codec in evaluation mode, the model's record and its folder.

    Raises:
        UserError: There is no such model.
        CheckpointError: It is damaged or has no latent codec.
    """
    folder = find_model(name)
    record = verify_model(folder)
    vae = _load_vae(record, folder)
    config = _configuration(record, "vocoder")
    vocoder = build_vocoder(VocoderChoice.read(config, origin=f"the vocoder of {name}"))
    load_part(vocoder, folder, "vocoder")
    return MelCodec(vae, vocoder).eval(), record, folder


def _load_vae(record: ModelRecord, folder: Path) -> MelAutoencoder[Any]:
    config = _configuration(record, "vae")
    vae = build_vae(VaeChoice.read(config, origin=f"the autoencoder of {record.name}"))
    load_part(vae, folder, "vae")
    return vae.eval()


def _configuration(record: ModelRecord, part: str) -> Mapping[str, Any]:
    if part not in record.parts:
        raise CheckpointError(
            f"The model {record.name} is a {record.kind} and has no {part}.",
            expected=f"a model with the part {part}: {', '.join(record.parts)} are there",
        )
    return record.parts[part]


def coarser_choice(choice: CodecChoice, codebooks: int) -> CodecChoice:
    """The configuration of a codec of which only the first codebooks are kept.

    Raises:
        ConfigError: It has fewer.
    """
    name, config = next(
        (name, value)
        for name in CodecChoice.model_fields
        if (value := getattr(choice, name)) is not None
    )
    there = config.quantizer.codebooks
    if codebooks > there:
        raise ConfigError(
            f"codec.codebooks is {codebooks}, but the codec has {there}.",
            expected=f"a number from 1 to {there}",
        )
    quantizer = config.quantizer.model_copy(update={"codebooks": codebooks})
    return CodecChoice(**{name: config.model_copy(update={"quantizer": quantizer})})


def coarser_codec(codec: Codec, choice: CodecChoice, codebooks: int) -> tuple[Codec, CodecChoice]:
    """The first codebooks of a codec: residual quantisation stays whole when the last ones go.

    Raises:
        ConfigError: It has fewer.
    """
    choice = coarser_choice(choice, codebooks)
    coarse, weights = build_codec(choice), codec.state_dict()
    coarse.load_state_dict({name: weights[name] for name in coarse.state_dict()})
    return coarse.eval(), choice


def load_lm(record: ModelRecord, folder: Path, adapters: Sequence[Adapter] = ()) -> AudioLm:
    """The language model of a verified model folder, in evaluation mode.

    Args:
        record: The model's.
        folder: The model's.
        adapters: Those that are merged into its weights.

    Raises:
        UserError: An adapter is for another model.
        CheckpointError: The model has none, or its weights do not fit.
    """
    check_base(adapters, record)
    if "lm" not in record.parts:
        raise CheckpointError(
            f"The model {record.name} is a {record.kind}.", expected="a language model"
        )
    config = LmConfig.read(record.parts["lm"], origin=f"the model {record.name}")
    # Without initial weights, which would be drawn for minutes and held in memory for nothing.
    with torch.device("meta"):
        lm = AudioLm(config)
    weights = add_adapters(read_part(folder, "lm"), adapters)
    _load(lm, weights, folder / "lm.safetensors", assign=True)
    return lm.eval()


class NetworkChoice(Config):
    """Exactly one network of a diffusion model."""

    unet: UnetConfig | None = None
    """Tango's."""
    dit: DitConfig | None = None
    """A plain transformer with adaLN-zero."""
    fit: FitConfig | None = None
    """GenAu's."""

    @model_validator(mode="after")
    def _is_one_network(self) -> Self:
        given = [name for name in NETWORKS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(NETWORKS)}")
        return self

    @property
    def network(self) -> tuple[str, NetworkConfig]:
        """Key and shape of the one that is given."""
        return next(
            (name, shape) for name in NETWORKS if (shape := getattr(self, name)) is not None
        )


NETWORKS = tuple(NetworkChoice.model_fields)
"""Keys of a recipe, and names of the part of a model folder."""


def build_network(shape: NetworkConfig, seed: int = 0) -> Network:
    """A network with initial weights.

    Raises:
        UserError: It needs a package that is not installed.
    """
    if isinstance(shape, FitConfig):
        return Fit(shape, seed=seed)
    if isinstance(shape, DitConfig):
        return Dit(shape, seed=seed)
    assert isinstance(shape, UnetConfig)
    return LatentUnet(shape, seed=seed)


def network_part(record: ModelRecord) -> str:
    """Name of the part that is a diffusion model's network.

    Raises:
        CheckpointError: The model has none.
    """
    for name in NETWORKS:
        if name in record.parts:
            return name
    raise CheckpointError(
        f"The model {record.name} is a {record.kind}.", expected="a diffusion model"
    )


def load_network(record: ModelRecord, folder: Path) -> Network:
    """The network of a verified diffusion model's folder, in evaluation mode.

    Raises:
        CheckpointError: The model has none, or its weights do not fit.
    """
    part = network_part(record)
    given = {part: record.parts[part]}
    _, shape = NetworkChoice.read(given, origin=f"the model {record.name}").network
    network = build_network(shape)
    load_part(network, folder, part)
    return network.eval()


def load_part(module: nn.Module, folder: Path, part: str) -> None:
    """Load the weights of one part of a model folder.

    Args:
        module: Where to.
        folder: The model's.
        part: Name of the part.

    Raises:
        CheckpointError: The weights do not fit the configuration beside them.
    """
    _load(module, read_part(folder, part), folder / f"{part}.safetensors")


def _load(
    module: nn.Module, weights: Mapping[str, Tensor], path: Path, *, assign: bool = False
) -> None:
    try:
        module.load_state_dict(weights, assign=assign)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit its configuration: {error}") from error
