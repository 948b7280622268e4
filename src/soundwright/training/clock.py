"""How fast a run goes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor


class Clock:
    """Time a step, time waited for data and items a second, since it was last read."""

    def __init__(self) -> None:
        self._reset()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A block in which the loop waits for data."""
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    def count(self, batches: Iterable[Any]) -> None:
        """Count a step of `batches`."""
        self._steps += 1
        self._items += sum(_size(batch) for batch in batches)

    def read(self) -> dict[str, float]:
        """Seconds a step, seconds of it waited for data, items a second; starts anew."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        reading = {
            "step_s": seconds / self._steps,
            "data_s": self._waited / self._steps,
            "items_per_s": self._items / seconds,
        }
        self._reset()
        return reading

    def _reset(self) -> None:
        self._began = time.monotonic()
        self._waited, self._steps, self._items = 0.0, 0, 0


def _size(batch: Any) -> int:
    """Items in a batch: the first axis of its first tensor."""
    if isinstance(batch, Tensor):
        return len(batch)
    parts = batch.values() if isinstance(batch, Mapping) else batch
    if not isinstance(parts, Iterable):
        parts = vars(batch).values()
    return next((len(part) for part in parts if isinstance(part, Tensor)), 1)
