"""AudioCraft's exports, read: `state_dict.bin` and `compression_state_dict.bin`.

Each is a pickled dictionary of `best_state` (tensors) and `xp.cfg` (the experiment's whole
configuration as YAML); the second may be `{"pretrained": name}` instead, for a codec elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from soundwright.codecs.encodec import EncodecCodecConfig
from soundwright.codecs.encodec_weights import from_audiocraft as rename_codec
from soundwright.codecs.encodec_weights import read_audiocraft as read_codec_values
from soundwright.core.errors import CheckpointError, MissingWeightsError, UserError
from soundwright.core.pickles import read_pickle
from soundwright.lm.audiocraft_weights import (
    TEXT_PROJECTION,
    config_from_audiocraft,
    from_audiocraft,
)
from soundwright.pipelines.foreign import (
    T5_TOKENS,
    ForeignModel,
    ImportOptions,
    assemble_codec,
    assemble_lm,
    change_padding,
    given_text,
    refuse_codebooks,
)
from soundwright.pipelines.musicgen_folders import PUBLISHED_TOP_K, open_encodec
from soundwright.pipelines.settings import GenerationConfig, TextConfig
from soundwright.pipelines.weight_files import WeightFiles, hold
from soundwright.text.encoders import TextEncoderConfig

LM_FILE, CODEC_FILE = "state_dict.bin", "compression_state_dict.bin"

_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_DEPTH = 8

Codec = tuple[EncodecCodecConfig, Mapping[str, Tensor]]


def read_audiocraft(folder: Path, options: ImportOptions) -> ForeignModel:
    """A MusicGen or AudioGen; its weights are read only when they are written.

    Raises:
        CheckpointError: It is of another architecture, or not whole.
        MissingWeightsError: It names a codec that is not here.
    """
    refuse_codebooks(options)
    values, weights = _open(folder / LM_FILE)
    projection = f"{TEXT_PROJECTION}.weight"
    if projection not in weights:
        raise CheckpointError(f"{folder / LM_FILE} lacks {projection!r}: it reads no text.")
    lm = config_from_audiocraft(values, weights[projection].shape[1])
    _check_stereo(values)
    texts, note = _read_text(values), ""
    if options.text_encoder is not None:
        texts = given_text(options.text_encoder, lm.text_width)
    else:
        note = (
            f"The checkpoint names its text encoder, {texts.encoder.name}, which is looked for on "
            "the hub, or in its cache, when the model generates. --text-encoder FOLDER puts it "
            "into the model."
        )
    config, codec_weights = _open_codec(folder, options)
    return assemble_lm(
        lm,
        from_audiocraft(weights, lm),
        (change_padding(config, options), codec_weights),
        texts,
        _read_generation(values),
        storage=weights.storage,
        options=options,
        notes=(note,) if note else (),
    )


def read_compression(path: Path, options: ImportOptions) -> ForeignModel:
    """The codec of a `compression_state_dict.bin` alone.

    Raises:
        CheckpointError: It is another codec, or not whole.
        UserError: It has fewer codebooks than asked for.
    """
    config, weights = _read_codec(path)
    quantizer = config.quantizer
    count = quantizer.codebooks if options.codebooks is None else options.codebooks
    if not 1 <= count <= quantizer.codebooks:
        raise UserError(
            f"{count} codebooks were asked of {path}.", expected=f"1 to {quantizer.codebooks}"
        )
    smaller = quantizer.model_copy(update={"codebooks": count})
    config = config.model_copy(update={"quantizer": smaller})
    return assemble_codec(change_padding(config, options), weights, options)


def resolve(values: Any, root: Mapping[str, Any], depth: int = _DEPTH) -> Any:
    """Put the values in the place of "${a.b}"; other interpolations stay as they are.

    Args:
        values: Any part of the configuration.
        root: The whole configuration.
        depth: How many times a reference may lead to another one.
    """
    if isinstance(values, Mapping):
        return {key: resolve(value, root, depth) for key, value in values.items()}
    if isinstance(values, list):
        return [resolve(value, root, depth) for value in values]
    match = _REFERENCE.fullmatch(values) if isinstance(values, str) else None
    if match is None or not depth:
        return values
    found: Any = root
    for key in match[1].split("."):
        if not isinstance(found, Mapping) or key not in found:
            return values
        found = found[key]
    return resolve(found, root, depth - 1)


def _open(path: Path) -> tuple[dict[str, Any], WeightFiles]:
    """Configuration and weights of one export."""
    held = _read_dictionary(path)
    text = held.get("xp.cfg")
    if "best_state" not in held or not isinstance(text, str):
        raise CheckpointError(
            f"{path} has no best_state or no xp.cfg.",
            expected="what audiocraft.utils.export writes",
        )
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CheckpointError(f"xp.cfg in {path} is no YAML: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"xp.cfg in {path} is no configuration.")
    return resolve(values, values), hold(held["best_state"], f"best_state in {path}")


def _read_dictionary(path: Path) -> Mapping[str, Any]:
    held = read_pickle(path)
    if not isinstance(held, Mapping):
        raise CheckpointError(f"{path} holds no dictionary.", expected="an export of AudioCraft")
    return held


def _open_codec(folder: Path, options: ImportOptions) -> Codec:
    if options.codec is not None:
        return _open_given(options.codec)
    path = folder / CODEC_FILE
    if not path.is_file():
        raise MissingWeightsError(
            f"{folder} has no {CODEC_FILE}.",
            expected=f"{LM_FILE} and {CODEC_FILE} side by side",
            change="Put it there, or give the codec's folder with --codec.",
        )
    return _read_codec(path)


def _open_given(given: Path) -> Codec:
    path = given / CODEC_FILE if given.is_dir() else given
    if path.is_file():
        return _read_codec(path)
    config, weights = open_encodec(given)
    # Of all levels that the codec has, the language model takes those that it speaks.
    levels = sum(name.endswith("codebook.embed") for name in weights)
    quantizer = config.quantizer.model_copy(update={"codebooks": levels})
    return config.model_copy(update={"quantizer": quantizer}), weights


def _read_codec(path: Path) -> Codec:
    pretrained = _read_dictionary(path).get("pretrained")
    if pretrained is not None:
        raise CodecElsewhereError(str(pretrained), path)
    values, weights = _open(path)
    config = EncodecCodecConfig.read(read_codec_values(values), origin=f"xp.cfg in {path}")
    return config, rename_codec(weights)


class CodecElsewhereError(MissingWeightsError):
    """An export that only names its codec.

    Args:
        name: Of the codec, on the hub.
        path: The export.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        super().__init__(
            f"{path} holds no codec; it names {name!r}.",
            expected="the codec as a folder",
            change=f"On a machine with network: hf download {name} --local-dir FOLDER. Bring "
            "FOLDER here and give it with --codec FOLDER.",
        )


def _check_stereo(values: Mapping[str, Any]) -> None:
    stereo = values.get("interleave_stereo_codebooks") or {}
    if stereo.get("use") and stereo.get("per_timestep"):
        raise CheckpointError(
            "The checkpoint alternates left and right from frame to frame.",
            expected="interleave_stereo_codebooks.per_timestep: false",
        )


def _read_text(values: Mapping[str, Any]) -> TextConfig:
    conditioner = values["conditioners"]["description"]
    options = conditioner.get("t5")
    if conditioner.get("model") != "t5" or not isinstance(options, Mapping):
        raise CheckpointError(
            f"The checkpoint's texts are read by {conditioner.get('model')!r}.", expected="t5"
        )
    for key, why in (
        ("finetune", "its T5 was trained with it"),
        ("normalize_text", "its texts go through spaCy first, which is not part of Soundwright"),
    ):
        if options.get(key):
            raise CheckpointError(f"The checkpoint has {key}: true: {why}.", expected="false")
    name = str(options.get("name"))
    return TextConfig(encoder=TextEncoderConfig(kind="t5", name=name, max_tokens=T5_TOKENS))


def _read_generation(values: Mapping[str, Any]) -> GenerationConfig:
    window = (values.get("dataset") or {}).get("segment_duration")
    guidance = (values.get("classifier_free_guidance") or {}).get("inference_coef", 3.0)
    found = {
        # AudioCraft's own default: 5 s of AudioGen's 10, 15 s of MusicGen's 30.
        "duration": window / 2 if window else 5.0,
        "window": window,
        "cfg_scale": guidance,
        "top_k": PUBLISHED_TOP_K,
    }
    return GenerationConfig.read(found, origin="the checkpoint's xp.cfg")
