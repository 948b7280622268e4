"""What every model of another library becomes on its way in, and what is checked about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from soundwright.codecs.encodec import EncodecCodec, EncodecCodecConfig
from soundwright.codecs.stereo import StereoCodec
from soundwright.core.errors import CheckpointError, UserError
from soundwright.core.files import read_json
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.pipelines.models import Kind
from soundwright.pipelines.parts import CodecChoice
from soundwright.pipelines.settings import GenerationConfig, TextConfig
from soundwright.pipelines.storage import Storage
from soundwright.text.encoders import TextEncoderConfig

T5_TOKENS = 512
"""At which prompts are cut; T5 itself knows no limit, and neither does AudioCraft."""


@dataclass(frozen=True)
class ImportOptions:
    """How a model of another library is taken in; the defaults change nothing about it."""

    storage: Storage | None = None
    """How weights are stored; None keeps fp16 where all of them are, and else takes fp32."""
    text_encoder: Path | None = None
    """A folder of transformers with a T5 that the model shall carry."""
    codec: Path | None = None
    """A folder with the codec that an AudioCraft model only names."""
    codebooks: int | None = None
    """Levels of an EnCodec that comes alone; None takes those of its first bandwidth."""
    pad_mode: Literal["constant", "reflect", "replicate"] | None = None
    """How EnCodec pads at its ends; None takes what its configuration says."""
    mask_text: bool = True
    """Whether text padding is left out, as transformers does. False is AudioCraft's way, in which
    a prompt's sound depends on the other prompts of its batch."""


@dataclass(frozen=True)
class ForeignModel:
    """A model of another library in our words: what `write_model` needs."""

    kind: Kind
    parts: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Tensor]]]
    storage: Mapping[str, Storage]
    settings: Mapping[str, Any] = field(default_factory=dict)
    text_encoder: Callable[[Path], None] | None = None
    """Writes the text encoder's folder; None where the settings say it all."""
    notes: tuple[str, ...] = ()
    """What a person should know about it."""


def assemble_lm(
    lm: LmConfig,
    weights: Mapping[str, Tensor],
    codec: tuple[EncodecCodecConfig, Mapping[str, Tensor]],
    text: TextConfig,
    generation: GenerationConfig,
    *,
    storage: Storage,
    options: ImportOptions,
    text_encoder: Callable[[Path], None] | None = None,
    notes: tuple[str, ...] = (),
) -> ForeignModel:
    """A language model with its codec.

    Args:
        lm: The shape.
        weights: Under `AudioLm`'s names.
        codec: Configuration and weights, under `EncodecModel`'s names.
        text: How texts are read.
        generation: The defaults.
        storage: Of the language model, if `options` say nothing.
        options: See there.
        text_encoder: See `ForeignModel`.
        notes: See `ForeignModel`.

    Raises:
        CheckpointError: Codec and language model do not belong together, or weights do not fit.
    """
    choice = match_codec(codec[0], lm)
    lm = lm.model_copy(update={"mask_text": options.mask_text})
    return ForeignModel(
        kind="lm",
        parts={
            "codec": (choice.plain(), codec_weights(choice, codec[1])),
            "lm": (lm.plain(), Fitting(weights, _empty(lm), "language model")),
        },
        storage={"codec": options.storage or "fp32", "lm": options.storage or storage},
        settings={"text": text.plain(), "generation": generation.plain()},
        text_encoder=text_encoder,
        notes=notes,
    )


def assemble_codec(
    config: EncodecCodecConfig, weights: Mapping[str, Tensor], options: ImportOptions
) -> ForeignModel:
    """A codec alone; arguments and errors as in `assemble_lm`."""
    choice = CodecChoice(encodec=config)
    return ForeignModel(
        kind="codec",
        parts={"codec": (choice.plain(), codec_weights(choice, weights))},
        storage={"codec": options.storage or "fp32"},
    )


def match_codec(codec: EncodecCodecConfig, lm: LmConfig) -> CodecChoice:
    """The codec of a language model, with as many levels as it speaks.

    Raises:
        CheckpointError: It has fewer, or codebooks of another size.
    """
    stereo = lm.pattern == "stereo-delay" and codec.channels == 1
    needed = lm.codebooks // 2 if stereo else lm.codebooks
    there = codec.quantizer
    if needed > there.codebooks or (stereo and lm.codebooks % 2):
        raise CheckpointError(
            f"The language model speaks {lm.codebooks} codebooks"
            f"{', half of them for each side' if stereo else ''}; its codec has "
            f"{there.codebooks}.",
            change="Give the codec that the model was trained with.",
        )
    if lm.codebook_size != there.codebook_size:
        raise CheckpointError(
            f"The language model has codebooks of {lm.codebook_size}, its codec of "
            f"{there.codebook_size}.",
            change="Give the codec that the model was trained with.",
        )
    quantizer = there.model_copy(update={"codebooks": needed})
    codec = codec.model_copy(update={"quantizer": quantizer})
    return CodecChoice(stereo_encodec=codec) if stereo else CodecChoice(encodec=codec)


def codec_weights(choice: CodecChoice, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a codec, made of weights under `EncodecModel`'s names.

    Raises:
        CheckpointError: They do not fit the configuration.
    """
    if choice.stereo_encodec is not None:
        mono = EncodecCodec.from_weights(choice.stereo_encodec, weights)
        return dict(StereoCodec(mono).state_dict())
    assert choice.encodec is not None
    return dict(EncodecCodec.from_weights(choice.encodec, weights).state_dict())


def change_padding(codec: EncodecCodecConfig, options: ImportOptions) -> EncodecCodecConfig:
    """The codec with the padding that was asked for."""
    if options.pad_mode is None:
        return codec
    return codec.model_copy(update={"pad_mode": options.pad_mode})


def _empty(config: LmConfig) -> AudioLm:
    with torch.device("meta"):
        return AudioLm(config)


def given_text(folder: Path, width: int) -> TextConfig:
    """Texts read by the T5 in a folder, which the model will carry.

    Raises:
        CheckpointError: It is no T5, or its states have another width.
    """
    found = dict(read_json(folder / "config.json"))
    kind, there = found.get("model_type"), found.get("d_model")
    if kind != "t5" or there != width:
        raise CheckpointError(
            f"{folder} holds a {kind or 'model'} of width {there}.",
            expected=f"a T5 of width {width}, as the language model was trained with",
        )
    encoder = TextEncoderConfig(kind="t5", name=str(folder.absolute()), max_tokens=T5_TOKENS)
    return TextConfig(encoder=encoder)


def refuse_codebooks(options: ImportOptions) -> None:
    """Refuse the option that is for a codec alone.

    Raises:
        UserError: It was given.
    """
    if options.codebooks is not None:
        raise UserError(
            "The number of codebooks is for an EnCodec alone; a language model decides its own.",
            change="Leave --codebooks out.",
        )


class Fitting(Mapping[str, Tensor]):
    """Weights whose shapes are compared with those of a network, each when it is read.

    Args:
        weights: Under the network's names.
        network: On the meta device.
        origin: What the weights are of, for messages.
        without: Names that need not be there.

    Raises:
        CheckpointError: One is missing; a shape that differs is found when it is read.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        network: nn.Module,
        origin: str,
        without: tuple[str, ...] = (),
    ) -> None:
        own = network.state_dict()
        self._shapes = {name: tuple(own[name].shape) for name in own if name not in without}
        self._weights, self._origin = weights, origin
        missing = [name for name in self._shapes if name not in weights]
        if missing:
            raise CheckpointError(f"The {origin} lacks {missing[0]!r}, of {len(missing)} in all.")

    def __getitem__(self, name: str) -> Tensor:
        wanted, tensor = self._shapes[name], self._weights[name]
        if tuple(tensor.shape) != wanted:
            raise CheckpointError(
                f"The {self._origin} has {name!r} of the shape {tuple(tensor.shape)}.",
                expected=f"{wanted}, by its configuration",
            )
        return tensor

    def __contains__(self, name: object) -> bool:
        # Mapping's own would read the tensor.
        return name in self._shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)
