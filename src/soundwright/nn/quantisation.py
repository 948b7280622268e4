"""Linear layers in int8: weights quantised once, inputs as they come, row by row.

A weight matrix W [out, in] becomes integers with one scale for each output, W = diag(s) Q, and a
row x of the input becomes integers with a scale of its own, so that a row's result does not depend
on the rows beside it. Their product is exact in int32. Reading Q takes a quarter of the time that
reading W takes, which is what decoding a few rows on a CPU consists of.
"""

from __future__ import annotations

import warnings
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 127
"""Integers reach from -LEVELS to LEVELS: no -128, so that rounding has no preferred sign."""
_LEAST = 1e-30
"""Stands for the greatest magnitude of a row of zeros, which must not divide by zero."""


class _Kernel(Protocol):
    def __call__(self, x: Tensor) -> Tensor: ...

    def round(self, x: Tensor) -> Tensor:
        """What the kernel makes of its input before it multiplies."""
        ...


class Int8Linear(nn.Module):
    """A linear layer of fixed int8 weights, for inference on a CPU; fp32 in and out.

    Args:
        linear: The layer, in any floating dtype; it is not kept.
        activation: "gelu" applies it to the result.
        fine: Take the input in two parts, the rounded one and what rounding left of it, for twice
            the arithmetic and the same reading. By fbgemm the input is then nearly exact.
    """

    def __init__(self, linear: nn.Linear, activation: str = "none", *, fine: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight, scales = quantise_rows(linear.weight.detach().float())
        self._multiply: _Kernel = (
            _Fbgemm(weight, scales) if _has_fbgemm() else _WeightOnly(weight, scales)
        )
        self._bias = None if linear.bias is None else linear.bias.detach().float()
        self._gelu, self._fine = activation == "gelu", fine

    def forward(self, x: Tensor) -> Tensor:
        """[..., rows, in] to [..., rows, out]."""
        if self._fine:
            rounded = self._multiply.round(x)
            y = self._multiply(torch.stack((rounded, x - rounded))).sum(0)
        else:
            y = self._multiply(x)
        if self._bias is not None:
            y = y.add_(self._bias)
        return F.gelu(y) if self._gelu else y


def quantise_rows(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest integers of each row, symmetric about zero.

    Args:
        matrix: [rows, columns] fp32.

    Returns:
        int8 [rows, columns] and fp32 scales [rows]; scales times integers give back the matrix
        up to half a scale.
    """
    scales = matrix.abs().amax(dim=1).clamp_min_(_LEAST) / LEVELS
    return (matrix / scales[:, None]).round_().to(torch.int8), scales


class _Fbgemm:
    """Integer products by fbgemm, which x86 builds of PyTorch have.

    Every row is divided by its greatest magnitude first, so that the kernel's one scale for all
    rows is right for each.
    """

    def __init__(self, weight: Tensor, scales: Tensor) -> None:
        # Without VNNI the kernel adds pairs of products in int16, which seven bits cannot overrun.
        levels = LEVELS if torch.cpu._is_vnni_supported() else LEVELS // 2
        with warnings.catch_warnings():
            # Quantised tensors are deprecated; this one lives just long enough to be packed.
            warnings.simplefilter("ignore")
            quantised = torch._make_per_channel_quantized_tensor(  # pyright: ignore[reportPrivateImportUsage]
                weight, scales.double(), torch.zeros(len(scales), dtype=torch.int64), 0
            )
            self._packed = torch.ops.quantized.linear_prepack(quantised, None)
        self._scale, self._zero = 1 / levels, levels + 1

    def round(self, x: Tensor) -> Tensor:
        step = self._greatest(x) * self._scale
        return (x / step).round_().mul_(step)

    def __call__(self, x: Tensor) -> Tensor:
        greatest = self._greatest(x)
        y = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x / greatest, self._scale, self._zero, self._packed
        )
        return y.mul_(greatest)

    @staticmethod
    def _greatest(x: Tensor) -> Tensor:
        """Greatest magnitude of each row; faster in two operations than as a norm."""
        return x.abs().amax(-1, True).clamp_min_(_LEAST)


class _WeightOnly:
    """The input in bf16, the weights in int8: what every CPU build has, at half the speed."""

    def __init__(self, weight: Tensor, scales: Tensor) -> None:
        self._weight, self._scales = weight, scales.bfloat16()

    def round(self, x: Tensor) -> Tensor:
        return x.bfloat16().float()

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).bfloat16()
        y = torch.ops.aten._weight_int8pack_mm(rows, self._weight, self._scales).float()
        return y.view(*x.shape[:-1], len(self._scales))


def _has_fbgemm() -> bool:
    return (
        torch.backends.quantized.engine in ("fbgemm", "x86")
        and hasattr(torch, "_make_per_channel_quantized_tensor")
        and hasattr(torch.ops.quantized, "linear_with_input_q_dq_qweight_dq_output_fp32")
    )
