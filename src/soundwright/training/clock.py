"""How fast a run goes, and how much of the device it uses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from soundwright.core.protocols import TokenBatch
from soundwright.training.workload import Workload


class Clock:
    """Measures a run since it was last read.

    Args:
        workload: Knows the arithmetic of a step; None leaves the utilisation out.
        ranks: Number of processes that do as much as this one.
    """

    def __init__(self, workload: Workload | None = None, ranks: int = 1) -> None:
        self._workload, self._ranks = workload, ranks
        self._reset()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A block in which the loop waits for data."""
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    @contextmanager
    def working(self, batches: Sequence[Any]) -> Iterator[None]:
        """A block with one step of `batches`."""
        began = time.monotonic()
        if self._workload is None:
            yield
        else:
            with self._workload.counting():
                yield
            self._flops += self._workload.flops
        self._worked += time.monotonic() - began
        self._steps += 1
        self._items += sum(_size(batch) for batch in batches)
        self._tokens += sum(_tokens(batch) for batch in batches)

    def read(self) -> dict[str, float]:
        """What was measured; starts anew.

        Returns:
            step_s: Seconds a step.
            data_s: Seconds of it in which the loop waited for data.
            data_share: The same as a part.
            items_per_s: Over all ranks.
            tokens_per_s: Over all ranks, where batches have tokens; padding is none.
            utilisation: Arithmetic that the model needs in the time that steps took, as a part of
                what the device can do: the speed of its large matrix products. Left out where a
                player's `forward` does no work.
        """
        seconds = max(time.monotonic() - self._began, 1e-9)
        reading = {
            "step_s": seconds / self._steps,
            "data_s": self._waited / self._steps,
            "data_share": self._waited / seconds,
            "items_per_s": self._items * self._ranks / seconds,
        }
        if self._tokens:
            reading["tokens_per_s"] = self._tokens * self._ranks / seconds
        if self._workload is not None and self._flops:
            reading["utilisation"] = self._flops / self._worked / self._workload.peak
        self._reset()
        return reading

    def _reset(self) -> None:
        self._began = time.monotonic()
        self._waited, self._worked, self._flops = 0.0, 0.0, 0.0
        self._steps, self._items, self._tokens = 0, 0, 0


def describe_speed(reading: Mapping[str, float]) -> str:
    """A reading of the clock as the progress bar shows it."""
    unit = "tokens" if "tokens_per_s" in reading else "items"
    parts = [f"{reading[f'{unit}_per_s']:,.0f} {unit}/s", f"data {reading['data_share']:.0%}"]
    if "utilisation" in reading:
        parts.append(f"peak {reading['utilisation']:.0%}")
    return "  ".join(parts)


def _size(batch: Any) -> int:
    """Items in a batch: the first axis of its first tensor."""
    if isinstance(batch, Tensor):
        return len(batch)
    parts = batch.values() if isinstance(batch, Mapping) else batch
    if not isinstance(parts, Iterable):
        parts = vars(batch).values()
    return next((len(part) for part in parts if isinstance(part, Tensor)), 1)


def _tokens(batch: Any) -> int:
    """Tokens in a batch: those of all codebooks in valid frames."""
    if not isinstance(batch, TokenBatch):
        return 0
    return int(batch.mask.sum()) * batch.tokens.shape[1]
