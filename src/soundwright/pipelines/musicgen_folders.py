"""transformers' folders of MusicGen and EnCodec, read: `config.json`, weights, tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import EncodecConfig, MusicgenConfig, T5Config, T5EncoderModel

from soundwright.codecs.encodec import EncodecCodecConfig, usual_codebooks
from soundwright.core.errors import CheckpointError, UserError
from soundwright.core.files import read_json, write_json
from soundwright.core.hub import first_line, quiet_loading
from soundwright.lm.musicgen_weights import config_from_musicgen, from_musicgen
from soundwright.pipelines.foreign import (
    T5_TOKENS,
    Fitting,
    ForeignModel,
    ImportOptions,
    assemble_codec,
    assemble_lm,
    change_padding,
    given_text,
    refuse_codebooks,
)
from soundwright.pipelines.settings import GenerationConfig, TextConfig
from soundwright.pipelines.text_folders import copy_tokenizer
from soundwright.pipelines.weight_files import SAFE, WeightFiles, open_pretrained, stream_weights
from soundwright.text.encoders import TextEncoderConfig

PUBLISHED_LENGTH = 1500
"""Steps that the published MusicGen models generate: 30 s."""
PUBLISHED_TOP_K = 250
"""AudioCraft's, by which the published models were measured. Their folders do not say it, and
transformers' own default would be 50."""
PUBLISHED_GUIDANCE = 3.0

_TIED, _SHARED = "encoder.embed_tokens.weight", "shared.weight"
_PASSING = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
"""Keys of a configuration that say where it was last, not what it is."""


def read_musicgen(folder: Path, options: ImportOptions) -> ForeignModel:
    """A MusicgenForConditionalGeneration; its weights are read only when they are written.

    Raises:
        CheckpointError: It is a variant without counterpart, or not whole.
        MissingWeightsError: It has no tokenizer.
    """
    refuse_codebooks(options)
    if options.codec is not None:
        raise UserError("The folder has its codec inside.", change="Leave --codec out.")
    with _reading(folder):
        config: Any = MusicgenConfig.from_dict(read_json(folder / "config.json"))
        audio, text = config.audio_encoder, config.text_encoder
    for found, wanted in ((audio, EncodecConfig), (text, T5Config)):
        if not isinstance(found, wanted):
            raise CheckpointError(
                f"{folder} has a {found.model_type} inside.", expected=wanted.model_type
            )
    weights = open_pretrained(folder)
    own = weights.among("decoder.", "enc_to_dec_proj.")
    lm = config_from_musicgen(config.decoder.to_dict(), text.d_model)
    codec = EncodecCodecConfig.from_transformers(audio, audio.num_quantizers)
    if options.text_encoder is not None:
        texts, carried = given_text(options.text_encoder, text.d_model), None
    else:
        named = TextEncoderConfig(kind="t5", name=str(folder), max_tokens=T5_TOKENS)
        texts = TextConfig(encoder=named)
        carried = _text_writer(text, weights.below("text_encoder."), folder)
    return assemble_lm(
        lm,
        from_musicgen(own, lm),
        (change_padding(codec, options), weights.below("audio_encoder.")),
        texts,
        _read_generation(folder, codec.sample_rate / codec.hop_length),
        storage=own.storage,
        options=options,
        text_encoder=carried,
    )


def read_encodec(folder: Path, options: ImportOptions) -> ForeignModel:
    """An EncodecModel.

    Raises:
        CheckpointError: It is a variant without tokens of its own right, or not whole.
        UserError: It has fewer codebooks than asked for.
    """
    config, weights = open_encodec(folder, options.codebooks)
    return assemble_codec(change_padding(config, options), weights, options)


def open_encodec(
    folder: Path, codebooks: int | None = None
) -> tuple[EncodecCodecConfig, Mapping[str, Tensor]]:
    """Configuration and weights of an EncodecModel; see `read_encodec`."""
    with _reading(folder):
        config = EncodecConfig.from_dict(read_json(folder / "config.json"))
    count = usual_codebooks(config) if codebooks is None else codebooks
    if not 1 <= count <= config.num_quantizers:
        raise UserError(
            f"{count} codebooks were asked of {folder}.", expected=f"1 to {config.num_quantizers}"
        )
    return EncodecCodecConfig.from_transformers(config, count), open_pretrained(folder)


def plain_config(config: Any) -> dict[str, Any]:
    """A configuration of transformers as JSON values, without where it came from."""
    return {key: value for key, value in config.to_dict().items() if key not in _PASSING}


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """A block that builds configurations of what somebody wrote."""
    try:
        with quiet_loading():
            yield
    except (StrictDataclassError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / 'config.json'} is no configuration that transformers knows: "
            f"{first_line(error)}."
        ) from error


def _text_writer(config: T5Config, weights: WeightFiles, folder: Path) -> Callable[[Path], None]:
    """What writes the text encoder inside a MusicGen as a folder of its own."""
    if _SHARED not in weights and _TIED in weights:
        weights = weights.renamed({_TIED: _SHARED})
    with torch.device("meta"):
        network = T5EncoderModel(config)
    fitting = Fitting(weights, network, "text encoder", without=(_TIED,))

    def write(target: Path) -> None:
        copy_tokenizer(folder, target)
        values = {**plain_config(config), "architectures": ["T5EncoderModel"]}
        write_json(target / "config.json", values)
        stream_weights(target / SAFE, fitting, weights.storage, "write text encoder")

    return write


def _read_generation(folder: Path, frame_rate: float) -> GenerationConfig:
    """The defaults that `generation_config.json` states, and AudioCraft's for the rest."""
    path = folder / "generation_config.json"
    found = read_json(path) if path.is_file() else {}
    given = {key: value for key, value in dict(found).items() if value is not None}
    window = given.get("max_length", PUBLISHED_LENGTH) / frame_rate
    nucleus = given.get("top_p", 1.0)
    values = {
        # Half of what the model can do at once is what AudioCraft makes unless told otherwise.
        "duration": window / 2,
        "window": window,
        "cfg_scale": given.get("guidance_scale", PUBLISHED_GUIDANCE),
        "temperature": given.get("temperature", 1.0) if given.get("do_sample", True) else 0.0,
        "top_k": given.get("top_k", PUBLISHED_TOP_K),
        "top_p": 0.0 if nucleus == 1.0 else nucleus,
    }
    return GenerationConfig.read(values, origin=str(path))
