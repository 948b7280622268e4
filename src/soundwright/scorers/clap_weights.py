"""Weights of CLAP: folders of transformers, and the checkpoints that LAION published.

The same network has two sets of names. Those of the original are translated here; the sizes are
read off its tensors, so that the tiny and the base variant, with and without fusion, all load.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor
from transformers import AutoTokenizer, ClapConfig, ClapFeatureExtractor, ClapModel

from soundwright.core.errors import CheckpointError
from soundwright.core.files import hash_file
from soundwright.core.hub import (
    PRETRAINED_FILES,
    fetch_file,
    fetch_folder,
    first_line,
    missing,
    quiet_loading,
)
from soundwright.scorers.pretrained import SUFFIXES, read_state
from soundwright.text.weights import from_folder, hash_folder

WHAT = "CLAP model"
LAION_REPOSITORY = "lukewys/laion_clap"
LAION_FILES: Mapping[str, str] = MappingProxyType(
    {
        "630k-best": "630k-best.pt",
        "630k-audioset-best": "630k-audioset-best.pt",
        "630k-fusion-best": "630k-fusion-best.pt",
        "630k-audioset-fusion-best": "630k-audioset-fusion-best.pt",
        "music-audioset": "music_audioset_epoch_15_esc_90.14.pt",
        "music-speech": "music_speech_epoch_15_esc_89.25.pt",
        "music-speech-audioset": "music_speech_audioset_epoch_15_esc_89.98.pt",
    }
)
"""Short names of what LAION published in its own format. transformers' laion/clap-htsat-unfused and
laion/clap-htsat-fused are the second and the fourth."""
TOKENIZER = "FacebookAI/roberta-base"
"""What the original splits texts with; its checkpoints do not hold it."""
FRONT_END: Mapping[str, Any] = MappingProxyType({"frequency_min": 50, "frequency_max": 14000})
"""Of all published checkpoints, where it differs from the extractor's defaults."""
SPECTROGRAM_SIZE = 256
HEAD_WIDTH = 64

_RENAMED = (
    (r"^text_branch\.", "text_model."),
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"\.bn0\.", ".batch_norm."),
    (r"(blocks\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"(blocks\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"(blocks\.\d+)\.attn\.proj\.", r"\1.attention.output.dense."),
    (r"(blocks\.\d+)\.attn\.", r"\1.attention.self."),
    (r"(blocks\.\d+)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"(blocks\.\d+)\.mlp\.fc2\.", r"\1.output.dense."),
    (r"^(audio|text)_projection\.0\.", r"\1_projection.linear1."),
    (r"^(audio|text)_projection\.2\.", r"\1_projection.linear2."),
)
_COUNTED = re.compile(r"relative_position_index$|embeddings\.(position|token_type)_ids$")
"""Tables that follow from the sizes; the model makes them itself."""
_UNUSED = re.compile(
    r"^(audio|text)_transform\.|\.attn_mask$"
    r"|^audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\."
)
"""Heads of other tasks, masks, the front end's constants."""


@dataclass(frozen=True)
class ClapParts:
    """All that an encoder is made of."""

    model: ClapModel
    tokenizer: Any
    extractor: ClapFeatureExtractor
    """Says how the front end is set."""
    weights: str
    """For the metric card."""


def find_clap(name: str) -> ClapParts:
    """The parts of a checkpoint.

    Args:
        name: A name on the hub such as laion/clap-htsat-unfused, a folder of transformers, a
            checkpoint of LAION (.pt), or a key of `LAION_FILES`.

    Raises:
        MissingWeightsError: The weights or the tokenizer are neither here nor reachable.
        CheckpointError: A file is damaged, would run code, or holds something else.
    """
    path = Path(name).expanduser()
    if name in LAION_FILES:
        path = fetch_file(LAION_REPOSITORY, LAION_FILES[name], what=WHAT)
    if path.is_file():
        return read_laion(path)
    if path.is_dir():
        return _read_folder(path, f"{path.name}, {hash_folder(path)}")
    if name.endswith(SUFFIXES):
        raise missing(WHAT, name, "does not exist")
    folder = fetch_folder(name, PRETRAINED_FILES, what=WHAT)
    return _read_folder(folder, f"{name} at {folder.name}")


def read_laion(path: Path) -> ClapParts:
    """The parts of a checkpoint of LAION's own.

    The tokenizer is taken from the checkpoint's folder, else from the hub.

    Raises:
        MissingWeightsError: The tokenizer is neither beside the file nor reachable.
        CheckpointError: The file is damaged, would run code, or holds something else.
    """
    model = model_of(path)
    told = f"{path.name}, {hash_file(path)[:16]}"
    extractor = _extractor(path.parent, model.config)
    return ClapParts(model, _tokenizer_beside(path), extractor, told)


def model_of(path: Path) -> ClapModel:
    """The network of a checkpoint of LAION's own, in fp32.

    Raises:
        CheckpointError: The file is damaged, would run code, or holds something else.
    """
    state = {
        name.removeprefix("module."): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in read_state(path).items()
    }
    try:
        with quiet_loading():
            loaded: Any = ClapModel.from_pretrained(
                None, config=config_of(state), state_dict=translate(state), output_loading_info=True
            )
    except (KeyError, RuntimeError, ValueError) as error:
        raise _foreign(path, f"it has no {first_line(error)}") from error
    model, report = loaded
    wrong = {name for name in report["missing_keys"] if not _COUNTED.search(name)}
    wrong |= set(report["unexpected_keys"])
    if wrong:
        raise _foreign(path, f"{min(wrong)} is too many or missing")
    return model


def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an original state dictionary by their names in transformers."""
    translated: dict[str, Tensor] = {}
    for original, tensor in state.items():
        if _UNUSED.search(original) or _COUNTED.search(original):
            continue
        name = original
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        if ".self.qkv." in name:
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                translated[name.replace("qkv", part)] = rows
        else:
            translated[name] = tensor
    return translated


def config_of(state: Mapping[str, Tensor]) -> ClapConfig:
    """The sizes of the network that an original state dictionary belongs to.

    Raises:
        KeyError: A tensor is missing that every such network has.
    """
    width = len(state["audio_branch.patch_embed.proj.weight"])
    stages = _count(state, r"audio_branch\.layers\.(\d+)\.")
    tables = [
        state[f"audio_branch.layers.{stage}.blocks.0.attn.relative_position_bias_table"]
        for stage in range(stages)
    ]
    fused = "audio_branch.patch_embed.mel_conv2d.weight" in state
    words, places = (
        state[f"text_branch.embeddings.{kind}_embeddings.weight"] for kind in ("word", "position")
    )
    return ClapConfig(
        projection_dim=len(state["audio_projection.0.weight"]),
        audio_config={
            "patch_embeds_hidden_size": width,
            "hidden_size": width << (stages - 1),
            "depths": [
                _count(state, rf"audio_branch\.layers\.{stage}\.blocks\.(\d+)\.")
                for stage in range(stages)
            ],
            "num_attention_heads": [table.shape[1] for table in tables],
            "window_size": (round(len(tables[0]) ** 0.5) + 1) // 2,
            "num_mel_bins": len(state["audio_branch.bn0.weight"]),
            "spec_size": SPECTROGRAM_SIZE,
            "enable_fusion": fused,
            "fusion_type": "aff_2d" if fused else None,
        },
        text_config={
            "vocab_size": len(words),
            "hidden_size": words.shape[1],
            "max_position_embeddings": len(places),
            "num_hidden_layers": _count(state, r"text_branch\.encoder\.layer\.(\d+)\."),
            "num_attention_heads": words.shape[1] // HEAD_WIDTH,
            "intermediate_size": len(state["text_branch.encoder.layer.0.intermediate.dense.bias"]),
            # RoBERTa's; the configuration class has 1e-12.
            "layer_norm_eps": 1e-5,
        },
    )


def _read_folder(folder: Path, weights: str) -> ClapParts:
    model, tokenizer = from_folder(ClapModel, folder, what=WHAT)
    return ClapParts(model, tokenizer, _extractor(folder, model.config), weights)


def _extractor(folder: Path, config: Any) -> ClapFeatureExtractor:
    """The front end that a folder describes, else that of the published checkpoints."""
    if (folder / "preprocessor_config.json").is_file():
        return ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
    return ClapFeatureExtractor(feature_size=config.audio_config.num_mel_bins, **FRONT_END)


def _tokenizer_beside(path: Path) -> Any:
    folder = path.parent
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        folder = fetch_folder(TOKENIZER, ("*.json", "*.txt"), what="tokenizer")
    with quiet_loading():
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    numbers = {int(found[1]) for found in (re.match(pattern, name) for name in state) if found}
    if not numbers:
        raise KeyError(pattern.replace("\\", ""))
    return max(numbers) + 1


def _foreign(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is no checkpoint of LAION's CLAP: {why}.",
        expected="one with HTSAT and RoBERTa, such as 630k-audioset-best.pt",
    )
