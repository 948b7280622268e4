"""The parts that models are made of: built from their configuration, loaded from model folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from soundwright.codecs.compact import CompactCodec, CompactCodecConfig
from soundwright.codecs.encodec import EncodecCodec, EncodecCodecConfig
from soundwright.codecs.stereo import StereoCodec
from soundwright.core.config import Config
from soundwright.core.errors import CheckpointError, ConfigError
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.pipelines.adapters import Adapter, add_adapters, check_base
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
