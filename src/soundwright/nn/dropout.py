"""Dropout within a network: a draw for every activation, from a named stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from soundwright.core.seeding import derive_seed, initialising


@contextmanager
def activation_dropout(seed: int, *names: str | int, device: torch.device) -> Iterator[None]:
    """A block in which `nn.Dropout` draws from a named stream, on the CPU and on `device`.

    The stream begins anew with each block: named by the step, it makes dropout a pure function of
    the step, and a resumed run needs no state. Behind the block all generators stand as before.
    """
    with ExitStack() as stack:
        stack.enter_context(initialising(seed, *names))
        if device.type == "cuda":
            stack.enter_context(torch.random.fork_rng([device]))
            torch.cuda.default_generators[
                device.index if device.index is not None else torch.cuda.current_device()
            ].manual_seed(derive_seed(seed, *names))
        yield


def disable_dropout(module: nn.Module) -> None:
    """Take all dropout out of a module for good, in training too."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
