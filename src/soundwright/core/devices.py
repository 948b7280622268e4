"""Where tensors live and in which precision work is done."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from soundwright.core.errors import UserError

Precision = Literal["auto", "fp32", "bf16"]


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        UserError: The device is not on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"The device {name!r} cannot be used here: {str(error).splitlines()[0]}",
            expected="auto, cpu, cuda, cuda:N or mps",
        ) from error
    return device


def supports_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic is a gain on `device`, not an emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """A context for mixed precision: bf16 where asked for, or where "auto" finds it a gain."""
    if precision == "bf16" or (precision == "auto" and supports_bf16(device)):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
