"""Weights on the disk: safetensors in fp32, in fp16, or with matrices as int8.

int8 is symmetric and per row: a row w of a matrix is stored as q = round(w / s) with
s = max|w| / 127 in fp16, and read back as q * s. Norms, biases and codebooks stay in fp16, for
they are small and every element of them counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from soundwright.core.errors import CheckpointError
from soundwright.core.files import write_bytes

Storage = Literal["fp32", "fp16", "int8"]

SCALE_SUFFIX = "::scale"
"""Follows the name of a quantised tensor in the name of its scales."""
SMALLEST_MATRIX = 4096
"""Elements below which a matrix is not worth quantising."""


def write_weights(path: Path, weights: Mapping[str, Tensor], storage: Storage) -> None:
    """Write a state dictionary atomically.

    Raises:
        CheckpointError: A weight is not finite, or too large for fp16.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        packed.update(_pack(name, tensor.detach().cpu(), storage))
    write_bytes(path, save(packed, metadata={"storage": storage}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read what `write_weights` wrote: floating tensors come back as fp32.

    Raises:
        CheckpointError: The file is missing or is not safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    weights: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if name.endswith(SCALE_SUFFIX):
            continue
        scale = stored.get(name + SCALE_SUFFIX)
        if scale is not None:
            weights[name] = unpack_rows(tensor, scale)
        else:
            weights[name] = tensor.float() if tensor.is_floating_point() else tensor
    return weights


def pack_rows(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise [R, ...] float to int8 [R, ...] and fp16 scales [R]."""
    rows = matrix.float().flatten(1)
    exact = (rows.abs().amax(1) / 127).clamp_min(1e-6)
    scale = exact.half()
    # Rounded up to the next number of fp16, so that 127 steps reach the largest element; the
    # codes, which are counted in rounded steps, make up for the rest.
    scale = (scale.view(torch.int16) + (scale.float() < exact)).view(torch.float16)
    codes = (rows / scale.float()[:, None]).round().clamp(-127, 127)
    return codes.to(torch.int8).reshape(matrix.shape), scale


def unpack_rows(codes: Tensor, scale: Tensor) -> Tensor:
    """Back from `pack_rows` to fp32 of the same shape."""
    return codes.float() * scale.float().reshape(-1, *[1] * (codes.dim() - 1))


def _pack(name: str, tensor: Tensor, storage: Storage) -> dict[str, Tensor]:
    tensor = tensor.contiguous()
    if not tensor.is_floating_point():
        return {name: tensor}
    if not torch.isfinite(tensor).all():
        raise CheckpointError(
            f"The weight {name!r} holds values that are not finite.",
            change="Take an earlier checkpoint of the run; its training has diverged.",
        )
    if storage == "fp32":
        return {name: tensor.float()}
    is_matrix = tensor.dim() >= 2 and tensor.numel() >= SMALLEST_MATRIX
    if storage == "int8" and is_matrix and "codebook" not in name:
        codes, scale = pack_rows(tensor)
        return {name: codes, name + SCALE_SUFFIX: scale}
    half = tensor.half()
    if not torch.isfinite(half).all():
        raise CheckpointError(
            f"The weight {name!r} is too large for fp16.", change="Save with storage fp32."
        )
    return {name: half}
