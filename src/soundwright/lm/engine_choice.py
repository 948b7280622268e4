"""Which engine decodes a model, and in which precision."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from soundwright.core.devices import supports_bf16
from soundwright.core.errors import UserError
from soundwright.lm.cpu_engine import CpuEngine
from soundwright.lm.engine import Engine, PlainEngine
from soundwright.lm.graph_engine import GraphEngine
from soundwright.lm.model import AudioLm

DecodingType = Literal["auto", "fp32", "bf16", "int8"]

LARGE_PARAMETERS = 50_000_000
"""From this many on, a step mostly reads weights, and "auto" prefers narrower ones. Below it fp32
costs next to nothing."""


def choose_engine(lm: AudioLm, dtype: str = "auto") -> Engine:
    """The fastest engine for a model where it is.

    Args:
        lm: In fp32, in evaluation mode, on the device where it shall decode; it may be changed,
            and should not be used for anything else afterwards.
        dtype: How weights are kept. "auto" is bf16 for large models where the device is faster
            with it, else fp32. int8 is for CPUs: the fastest, with weights and activations rounded
            to eight bits.

    Raises:
        UserError: There is no such precision, or the device cannot work in it.
    """
    device = lm.out_norm.weight.device
    if dtype not in get_args(DecodingType):
        raise UserError(f"There is no dtype {dtype!r}.", expected=", ".join(get_args(DecodingType)))
    if dtype == "auto":
        large = sum(parameter.numel() for parameter in lm.parameters()) >= LARGE_PARAMETERS
        usable = device.type in ("cpu", "cuda") and supports_bf16(device)
        dtype = "bf16" if large and usable else "fp32"
    if device.type == "cpu":
        return CpuEngine(lm, dtype)  # pyright: ignore[reportArgumentType]
    if dtype == "int8":
        raise UserError(
            f"int8 is for CPUs; the model would decode on {device}.",
            change="Take --device cpu, or --dtype bf16.",
        )
    if device.type == "cuda":
        if dtype == "bf16" and not supports_bf16(device):
            raise UserError("This GPU cannot work in bf16.", change="Take --dtype fp32.")
        return GraphEngine(lm.to(torch.bfloat16) if dtype == "bf16" else lm)
    if dtype == "bf16":
        raise UserError(f"bf16 is not supported on {device}.", change="Take --dtype fp32.")
    return PlainEngine(lm)
