"""A twin of a model whose matrices are laid out for products with few rows on a CPU.

Decoding multiplies every matrix with a handful of rows. BLAS is slow at that shape; oneDNN, given
the matrix in its own layout beforehand, is bound by memory: on two AVX-512 cores a 4096 x 1024
matrix times two rows takes 0.1 ms instead of 0.7 to 2.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)

EXPECTED_ROWS = 16
"""The number of rows for which the layout is chosen; others only cost some speed."""


class PackedLinear(nn.Module):
    """A linear layer of fixed weights in oneDNN's layout, for inference in fp32 on a CPU."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight
        self._bias = linear.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(
            linear.weight.detach(), EXPECTED_ROWS
        )

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")


def pack(model: Module) -> Module:
    """A twin of `model` with packed linear layers, for inference; the same model where none helps.

    The twin shares all that is not a matrix with the model and holds copies of the matrices: it
    takes as much memory again, and does not follow later training.
    """
    weight = next(model.parameters())
    usable = weight.device.type == "cpu" and weight.dtype == torch.float32 and _has_onednn()
    return _twin(model) if usable else model


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _twin(module: Module) -> Module:
    twin = copy.copy(module)
    twin._modules = {
        name: PackedLinear(child) if isinstance(child, nn.Linear) else _twin(child)
        for name, child in module._modules.items()
        if child is not None
    }
    return twin
