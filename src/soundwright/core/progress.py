"""Progress of long work: a bar on a terminal, plain lines elsewhere, always on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_INTERVAL_S = 10.0


class Meter:
    """Counts the steps of one piece of work and shows rate and remaining time.

    Args:
        title: What is being done, such as "tokenize".
        total: The number of steps; None where it is not known.
        done: Steps that an earlier run has already done.
        unit: What a step is called in the rate, such as "clip".
    """

    def __init__(self, title: str, total: int | None, *, done: int = 0, unit: str = "step") -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self._start_done = done
        self._note = ""
        self._console = Console(stderr=True)
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        self._started = self._printed = time.monotonic()
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task(
                self.title, total=self.total, completed=self.done, rate="", note=""
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self.done > self._start_done:
            self._print_line()

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        """Count `steps` more; `note` stands behind the bar until the next one."""
        self.done += steps
        if note is not None:
            self._note = note
        if self._bar is not None:
            self._bar.update(
                self._task, advance=steps, rate=f"{self.rate:.3g} {self.unit}/s", note=self._note
            )
        elif time.monotonic() - self._printed >= PLAIN_INTERVAL_S:
            self._print_line()

    @property
    def rate(self) -> float:
        """Steps per second since the work began in this process."""
        return (self.done - self._start_done) / max(time.monotonic() - self._started, 1e-9)

    def _print_line(self) -> None:
        self._printed = time.monotonic()
        of = f"/{self.total}" if self.total is not None else ""
        parts = [f"{self.title} {self.done}{of}", f"{self.rate:.3g} {self.unit}/s"]
        if self.total is not None and self.rate > 0:
            parts.append(f"{(self.total - self.done) / self.rate:.0f} s left")
        if self._note:
            parts.append(self._note)
        print("  ".join(parts), file=sys.stderr, flush=True)  # noqa: T201
