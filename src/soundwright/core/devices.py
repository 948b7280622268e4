"""Where tensors live and in which precision work is done."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from soundwright.core.errors import UserError
from soundwright.core.ranks import Ranks

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


def claim_device(name: str, ranks: Ranks) -> torch.device:
    """The device of this rank, which "cuda" without a number then means everywhere.

    Raises:
        UserError: The device is not on this machine, or cannot be shared out over the ranks.
    """
    device = choose_device(name)
    if not ranks.are_many or device.type == "cpu":
        return device
    if device.type != "cuda" or device.index is not None:
        raise UserError(
            f"{ranks.count} ranks cannot work on the one device {name!r}.",
            expected="auto, cuda or cpu",
            change="Set training.device=auto.",
        )
    gpus = torch.cuda.device_count()
    if ranks.local >= gpus:
        raise UserError(
            f"This machine has {gpus} GPUs, too few for rank {ranks.local} of those on it.",
            change=f"Start torchrun with --nproc-per-node {gpus}.",
        )
    torch.cuda.set_device(ranks.local)
    return torch.device("cuda", ranks.local)


def measure_memory(device: torch.device) -> int | None:
    """Bytes of memory that a device has, whoever uses them; None where it does not say."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def wait_for(device: torch.device) -> None:
    """Return when everything that a device was asked to do is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the machine, has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def supports_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic is a gain on `device`, not an emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def uses_bf16(device: torch.device, precision: Precision) -> bool:
    """Whether `precision` means bf16 on `device`."""
    return precision == "bf16" or (precision == "auto" and supports_bf16(device))


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """A context for mixed precision: bf16 where asked for, or where "auto" finds it a gain."""
    if uses_bf16(device, precision):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
