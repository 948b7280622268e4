"""Matrices laid out beforehand for products with few rows on a CPU.

Decoding multiplies every matrix with a handful of rows. BLAS is slow at that shape; oneDNN, given
the matrix in its own layout beforehand, is bound by memory, and the fewer bytes a weight has, the
less of that there is to read. `benchmarks/decoding.py` measures it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.core.errors import UserError
from soundwright.nn.quantisation import Int8Linear

WeightType = Literal["fp32", "bf16", "int8"]
"""How the weights of linear layers are kept; what goes in and comes out is fp32 in any case."""
Activation = Literal["none", "gelu"]

EXPECTED_ROWS = 16
"""The number of rows for which the layout is chosen; others only cost some speed."""


class PackedLinear(nn.Module):
    """A linear layer of fixed weights in oneDNN's layout, for inference on a CPU; fp32 in and out.

    Args:
        linear: The layer; it is not kept.
        dtype: Of the packed weights; the input is rounded to it.
        activation: Applied to the result.
    """

    def __init__(
        self,
        linear: nn.Linear,
        dtype: torch.dtype = torch.float32,
        activation: Activation = "none",
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._dtype, self._activation = dtype, activation
        self._bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        self._packed = torch.ops.mkldnn._reorder_linear_weight(
            linear.weight.detach().to(dtype), EXPECTED_ROWS
        )

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        y = torch.ops.mkldnn._linear_pointwise(
            x.to(self._dtype), self._packed, self._bias, self._activation, [], "none"
        )
        return y.to(x.dtype)


class OpenLinear(nn.Module):
    """A linear layer as it is, with its activation: where a build has nothing to pack it with."""

    def __init__(self, linear: nn.Linear, activation: Activation = "none") -> None:
        super().__init__()
        self._linear, self._gelu = linear, activation == "gelu"

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        y = self._linear(x)
        return F.gelu(y) if self._gelu else y


def pack_linear(
    linear: nn.Linear,
    weights: WeightType = "fp32",
    activation: Activation = "none",
    *,
    fine: bool = False,
) -> nn.Module:
    """A linear layer of fixed weights for inference on a CPU; fp32 in and out.

    Args:
        linear: In fp32, on the CPU. Its matrix is copied; later training is not followed.
        weights: How the matrix is kept.
        activation: Applied to the result.
        fine: Where weights are int8, whether the input is to be taken nearly exactly.

    Raises:
        UserError: This CPU cannot work with such weights.
    """
    check_weights(weights)
    if weights == "int8":
        return Int8Linear(linear, activation, fine=fine)
    if weights == "bf16":
        return PackedLinear(linear, torch.bfloat16, activation)
    return (
        PackedLinear(linear, activation=activation)
        if _has_onednn()
        else OpenLinear(linear, activation)
    )


def check_weights(weights: WeightType) -> None:
    """Refuse weights that this CPU, or this build of PyTorch, cannot work with.

    Raises:
        UserError: It cannot.
    """
    if weights == "bf16" and not (_has_onednn() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        raise UserError(
            "This CPU cannot work in bf16.",
            expected="one with AVX-512, or fp32 or int8",
        )


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
