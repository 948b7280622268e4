"""The arithmetic of a training step, and what the device could do in the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from soundwright.core.devices import Precision, uses_bf16, wait_for
from soundwright.core.seeding import torch_stream

SIDE = {"cpu": 768, "cuda": 8192}
TILE = 256
SLOW_S = 0.01
"""A CPU that takes longer than this for a tile has no bf16: large products would take seconds and
be no faster."""
REPEATS = 3


class Workload:
    """Counts, in the first step of a process, what the forward passes of modules multiply.

    The backward pass needs as much for the gradients of activations, and as much again for those
    of weights, of the part that is trained. What is recomputed to save memory is no work.

    Args:
        modules: Those that are trained; what they do outside of `forward` is not seen.
        device: Where they are.
        precision: In which they multiply.
        compiled: Whether `torch.compile` is to compile them. The counted step runs without it: a
            function that is met while operations are counted would never be compiled.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        device: torch.device,
        precision: Precision,
        *,
        compiled: bool = False,
    ) -> None:
        self._modules, self._device = modules, device
        self._precision: Precision = precision
        self.flops = 0.0
        """Floating-point operations a step on this device; 0 until one was counted."""
        self._counted, self._compiled = False, compiled

    @contextmanager
    def counting(self) -> Iterator[None]:
        """A block with one step; the first one is counted, the others are taken to be like it."""
        if self._counted:
            yield
            return
        self._counted = True
        with ExitStack() as stack:
            if self._compiled:
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            for module in self._modules:
                stack.enter_context(self._counted_forward(module))
            yield

    @cached_property
    def peak(self) -> float:
        """Operations a second of large matrix products, measured when first asked for."""
        return measure_peak(self._device, self._precision)

    @contextmanager
    def _counted_forward(self, module: nn.Module) -> Iterator[None]:
        sizes = [(value.numel(), value.requires_grad) for value in module.parameters()]
        trained = sum(size for size, trains in sizes if trains) / sum(size for size, _ in sizes)
        counters: list[FlopCounterMode] = []

        def begin(*_: Any) -> None:
            counters.append(FlopCounterMode(display=False))
            counters[-1].__enter__()

        def end(*_: Any) -> None:
            counters[-1].__exit__(None, None, None)
            if torch.is_grad_enabled():
                self.flops += counters[-1].get_total_flops() * (2 + trained)

        hooks = [
            module.register_forward_pre_hook(begin),
            module.register_forward_hook(end, always_call=True),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def measure_peak(device: torch.device, precision: Precision) -> float:
    """The fastest of a few large matrix products, in floating-point operations a second."""
    dtype = torch.bfloat16 if uses_bf16(device, precision) else torch.float32
    small = _measure_products(device, dtype, TILE)
    if 2 * TILE**3 / small > SLOW_S:
        return small
    return _measure_products(device, dtype, SIDE.get(device.type, 1024))


def _measure_products(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Operations a second of products of square matrices, the fastest of a few."""
    stream = torch_stream(0, "peak")
    # Random numbers: a device that draws less power for zeros would run faster than it can.
    tile = torch.randn(TILE, TILE, generator=stream).to(device, dtype)
    matrix = tile.repeat(side // TILE, side // TILE)
    best = float("inf")
    for _ in range(REPEATS + 1):
        wait_for(device)
        began = time.perf_counter()
        torch.mm(matrix, matrix)
        wait_for(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best
