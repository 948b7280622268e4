"""OpenL3's audio weights: where they are published, and the names in their files."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from soundwright.core.downloads import GIT_BLOB
from soundwright.scorers.pretrained import Published, kept_file

Content: TypeAlias = Literal["env", "music"]
"""What it was trained on: environmental sounds or music, both of AudioSet."""
Bands: TypeAlias = Literal[128, 256]

WIDTH = 512
LAYERS = 8
"""Convolutions, each after a normalisation."""
REPOSITORY = (
    "https://github.com/torchopenl3/torchopenl3-models/raw/a5df8fd155993e1601590b19649e882a68f80186"
)
DIGESTS: Mapping[tuple[Content, Bands], str] = MappingProxyType(
    {
        ("env", 128): "0bd0f509b478fd015f5ff44fc260b3248d03307d",
        ("env", 256): "a37a08222ebf9d8a88a84beeae76ad909dac0bc6",
        ("music", 128): "d77ec1cde7dc0098f02277dd70040451eead8e64",
        ("music", 256): "54df87b6bfe9747d001991da436b3d1ac768b2a6",
    }
)
CHECKPOINTS: Mapping[tuple[Content, Bands], Published] = MappingProxyType(
    {
        (content, bands): Published(
            f"{REPOSITORY}/torchopenl3_mel{bands}_{content}_{WIDTH}.pth.tar",
            f"{GIT_BLOB}:{digest}",
            "CC-BY-4.0",
        )
        for (content, bands), digest in DIGESTS.items()
    }
)
"""torchopenl3's copies of the weights of openl3; their authors state no other digest."""
KERAS = MappingProxyType(
    {
        "kernel": "weight",
        "bias": "bias",
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }
)
"""Names of weights in the files of openl3 itself."""


def norm_name(number: int) -> str:
    """Of the normalisation before a convolution, from 1."""
    return f"batch_normalization_{number}"


def convolution_name(number: int) -> str:
    """Of a convolution, from 1."""
    return "audio_embedding_layer" if number == LAYERS else f"conv2d_{number}"


def kept_original(content: Content, bands: Bands) -> str | None:
    """The file of openl3 itself, where that is in the cache and torchopenl3's copy is not."""
    original = kept_file(f"openl3_audio_mel{bands}_{content}.h5")
    has_copy = kept_file(CHECKPOINTS[content, bands].file).is_file()
    return str(original) if original.is_file() and not has_copy else None


def rename_openl3(state: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], Tensor | None]:
    """The network's weights as in torchopenl3, and the mel bands [M, F] where some are kept.

    Args:
        state: Of torchopenl3, or of openl3 itself as `read_keras` gives it.
    """
    named = _rename_keras(state) if any("/" in name for name in state) else state
    learnt = {name: tensor for name, tensor in named.items() if not name.startswith("speclayer.")}
    return learnt, named.get("speclayer.mel_basis")


def _rename_keras(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """By the order of the layers; their numbers depend on what Keras had built before."""
    norms = [name.rpartition("/")[0] for name in state if name.endswith("/gamma")]
    kernels = [name.rpartition("/")[0] for name in state if name.endswith("/kernel")]
    layers = {layer: norm_name(number) for number, layer in enumerate(norms, start=1)}
    named = {f"{norm}.num_batches_tracked": torch.tensor(0) for norm in layers.values()}
    layers |= {layer: convolution_name(number) for number, layer in enumerate(kernels, start=1)}
    for name, tensor in state.items():
        layer, _, weight = name.rpartition("/")
        if layer in layers and weight in KERAS:
            is_kernel = weight == "kernel"
            named[f"{layers[layer]}.{KERAS[weight]}"] = (
                tensor.permute(3, 2, 0, 1) if is_kernel else tensor
            )
    return named
