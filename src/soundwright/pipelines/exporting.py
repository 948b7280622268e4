"""Public weights out: model folders of ours become folders that transformers or diffusers read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from transformers import EncodecFeatureExtractor, EncodecModel, MusicgenConfig, T5EncoderModel

from soundwright import __version__
from soundwright.codecs.compact import CompactCodec
from soundwright.codecs.stereo import StereoCodec
from soundwright.core.errors import UserError
from soundwright.core.files import folder_atomic, write_json, write_text
from soundwright.core.hub import PRETRAINED_FILES, fetch_folder, quiet_loading
from soundwright.lm.model import LmConfig
from soundwright.lm.musicgen_weights import musicgen_decoder_config, to_musicgen
from soundwright.pipelines.licences import README, write_readme
from soundwright.pipelines.models import ModelRecord, find_model, read_record, verify_model
from soundwright.pipelines.musicgen_folders import PUBLISHED_LENGTH, plain_config
from soundwright.pipelines.parts import Codec, load_codec
from soundwright.pipelines.settings import GenerationConfig, TextConfig
from soundwright.pipelines.tango_folders import export_diffusers
from soundwright.pipelines.text_folders import copy_tokenizer
from soundwright.pipelines.weight_files import SAFE, open_safetensors, stream_weights
from soundwright.text.encoders import TextEncoderConfig
from soundwright.text.preparation import PreparationConfig
from soundwright.text.weights import from_folder

Precision = Literal["fp32", "fp16"]
Target = Literal["auto", "transformers", "diffusers"]
EXPORTED_AS: Mapping[str, tuple[str, str]] = {
    "lm": ("transformers", "MusicgenForConditionalGeneration"),
    "codec": ("transformers", "EncodecModel"),
    "diffusion": ("diffusers", "UNet2DConditionModel"),
}
"""Kind of a model to the library that reads its export, and the class there."""

_TIED = "encoder.embed_tokens.weight"
_DTYPES = {"fp32": "float32", "fp16": "float16"}
_PROMPT_STEPS = ("lower_case", "numbers", "stop_words", "lemmas", "drop_punctuation")
"""What `text.preparation.prepare` may do to a prompt; nothing of it by default."""


def export_model(
    name: str | Path, out: Path, *, storage: Precision = "fp32", to: Target = "auto"
) -> ModelRecord:
    """Write a model as a folder of transformers or diffusers; whole or not at all.

    A diffusion model becomes parts that diffusers reads, see `tango_folders.export_diffusers`. A
    language model becomes what `MusicgenForConditionalGeneration.from_pretrained` reads, with
    text encoder, tokenizer and codec inside; a codec what `EncodecModel.from_pretrained` reads.

    Args:
        name: Of the model, or its folder.
        out: The new folder.
        storage: How weights are stored; fp32 keeps every bit of what the model has.
        to: Whose format; "auto" is the one that there is for the model.

    Raises:
        UserError: The format cannot hold the model exactly, with the reason; or `out` exists.
        MissingWeightsError: Its text encoder is neither here nor reachable.
    """
    if out.exists():
        raise UserError(f"{out} exists already.", change="Choose another folder (--out).")
    place = find_model(name)
    kind = read_record(place).kind
    _check_target(name, kind, to)
    if kind == "diffusion":
        diffusion = verify_model(place)
        export_diffusers(diffusion, place, out, half=storage == "fp16")
        return diffusion
    codec, record, folder = load_codec(name)
    if record.kind == "codec":
        _export_codec(codec, record, out, storage)
    else:
        _export_lm(codec, record, folder, out, storage)
    return record


def _check_target(name: str | Path, kind: str, to: Target) -> None:
    if kind not in EXPORTED_AS:
        raise UserError(
            f"{name} is a {kind}, for which other libraries have no format.",
            expected="a language model, an EnCodec or a diffusion model",
        )
    library, _ = EXPORTED_AS[kind]
    if to not in ("auto", library):
        raise UserError(f"{name} cannot be read by {to}.", expected=f"--to {library}")


def _export_codec(codec: Codec, record: ModelRecord, out: Path, storage: Precision) -> None:
    network = _network(codec)
    if isinstance(codec, StereoCodec):
        raise UserError(
            f"{record.name} codes left and right apart; transformers has such a codec only "
            "inside a MusicGen.",
            change="Export a language model that speaks it.",
        )
    config = network.config
    config.architectures, config.dtype = ["EncodecModel"], _DTYPES[storage]
    with folder_atomic(out) as inside, quiet_loading():
        config.save_pretrained(inside)
        stream_weights(inside / SAFE, network.state_dict(), storage, "export")
        _write_surroundings(record, codec, inside)


def _export_lm(
    codec: Codec, record: ModelRecord, folder: Path, out: Path, storage: Precision
) -> None:
    lm = LmConfig.read(record.parts["lm"], origin=f"the model {record.name}")
    text = TextConfig.read(record.settings["text"], origin=f"the model {record.name}")
    generation = GenerationConfig.read(record.settings["generation"])
    network = _network(codec)
    _check_sides(codec, lm)
    _check_text(text)
    values = _generation_values(generation, lm, codec)
    decoder = {"model_type": "musicgen_decoder", **musicgen_decoder_config(lm)}
    own = to_musicgen(open_safetensors(folder / "lm.safetensors"), lm)
    place = _text_folder(text.encoder)
    encoder, _ = from_folder(T5EncoderModel, place)
    states = {name: state for name, state in encoder.state_dict().items() if name != _TIED}
    weights = Joined({"text_encoder.": states, "audio_encoder.": network.state_dict(), "": own})
    with quiet_loading(), folder_atomic(out) as inside:
        config = MusicgenConfig(
            text_encoder=plain_config(encoder.config),
            audio_encoder=plain_config(network.config),
            decoder=decoder,
            architectures=["MusicgenForConditionalGeneration"],
            dtype=_DTYPES[storage],
        )
        config.save_pretrained(inside)
        write_json(inside / "generation_config.json", values)
        stream_weights(inside / SAFE, weights, storage, "export")
        copy_tokenizer(place, inside)
        _write_surroundings(record, codec, inside)


def _network(codec: Codec) -> EncodecModel:
    """The network that transformers has, too."""
    if isinstance(codec, CompactCodec):
        raise UserError(
            "transformers has no counterpart of the light codec (codec.compact).",
            expected="a model with an EnCodec",
            change="Train the language model on an EnCodec's tokens: recipe encodec-16k.",
        )
    return codec.mono.model if isinstance(codec, StereoCodec) else codec.model


def _check_sides(codec: Codec, lm: LmConfig) -> None:
    stereo = isinstance(codec, StereoCodec)
    if stereo != (lm.pattern == "stereo-delay"):
        raise UserError(
            f"The model lays its codebooks out as {lm.pattern!r}, while its codec "
            f"{'codes left and right apart' if stereo else 'codes all channels as one'}.",
            expected="stereo-delay with a codec for each side, or delay with one for all",
        )


def _check_text(text: TextConfig) -> None:
    if text.encoder.kind != "t5":
        raise UserError(
            f"The model reads texts with {text.encoder.name}; MusicGen in transformers reads them "
            "with a T5.",
            change="Train with text.encoder.kind=t5.",
        )
    plain = PreparationConfig()
    steps = [
        step for step in _PROMPT_STEPS if getattr(text.preparation, step) != getattr(plain, step)
    ]
    if steps:
        raise UserError(
            f"The model prepares its prompts ({', '.join(steps)}); transformers would hand them "
            "to it as they are.",
            change="Train with text.preparation as it is by default.",
        )


def _text_folder(encoder: TextEncoderConfig) -> Path:
    folder = Path(encoder.name).expanduser()
    if folder.is_dir():
        return folder
    return fetch_folder(
        encoder.name, PRETRAINED_FILES, revision=encoder.revision, what="text encoder"
    )


def _generation_values(config: GenerationConfig, lm: LmConfig, codec: Codec) -> dict[str, Any]:
    """`generation_config.json`: the same guidance and sampling."""
    if config.cfg_scale < 1:
        raise UserError(
            f"The model's guidance is {config.cfg_scale:g} by default; transformers has none "
            "below 1."
        )
    frame_rate = codec.sample_rate / codec.hop_length
    length = PUBLISHED_LENGTH if config.window is None else round(config.window * frame_rate)
    values: dict[str, Any] = {
        "bos_token_id": lm.special,
        "decoder_start_token_id": lm.special,
        "pad_token_id": lm.special,
        "guidance_scale": config.cfg_scale,
        "max_length": length,
        "do_sample": config.temperature > 0,
    }
    if config.temperature > 0:
        values["temperature"] = config.temperature
        # Here top_p replaces top_k, there both would apply.
        values |= {"top_k": 0, "top_p": config.top_p} if config.top_p else {"top_k": config.top_k}
    return values


def _write_surroundings(record: ModelRecord, codec: Codec, inside: Path) -> None:
    """What a processor needs to know of the sound, and what people need to know."""
    EncodecFeatureExtractor(
        feature_size=codec.channels, sampling_rate=codec.sample_rate
    ).save_pretrained(inside)
    facts = (
        f"Written by soundwright {__version__} from the model {record.name} ({record.hash}), in "
        f"the format of transformers.\n\nLicence of the weights: {record.licence}."
    )
    write_text(inside / README, write_readme(record.name, record.licence, facts))


class Joined(Mapping[str, Tensor]):
    """The weights of several parts, each under a prefix of its own.

    Args:
        parts: Prefix to weights.
    """

    def __init__(self, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
        self._places = {
            prefix + name: (part, name) for prefix, part in parts.items() for name in part
        }

    def __getitem__(self, name: str) -> Tensor:
        part, inner = self._places[name]
        return part[inner]

    def __contains__(self, name: object) -> bool:
        # Mapping's own would read the tensor.
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
