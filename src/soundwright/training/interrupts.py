"""Stopping between two steps when a person or the machine asks for it."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
IMPATIENT_S = 1.0
"""After this long, a second Ctrl-C is a person's, who will not wait."""


class TrainingInterrupted(KeyboardInterrupt):
    """A run that stopped on a signal with everything saved; its text is for the person.

    Attributes:
        signal: The signal's number; a command exits with 128 plus it, as shells expect.
    """

    def __init__(self, folder: Path, step: int, number: int) -> None:
        self.folder, self.step, self.signal = folder, step, number
        super().__init__(
            f"Stopped after step {step}. Everything is saved in {folder}; "
            "run the same command with --resume to go on."
        )


class Interrupts:
    """Notes SIGINT and SIGTERM within a block; a second Ctrl-C interrupts at once.

    Machines send a signal twice without meaning it: a scheduler signals the processes of a job and
    its `torchrun`, which passes the signal on. So a second SIGTERM changes nothing.

    Outside the main thread, where Python lets nobody handle signals, it notes nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._since = 0.0
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received is None:
            self.received, self._since = number, now
        elif number == signal.SIGINT and now - self._since >= IMPATIENT_S:
            raise KeyboardInterrupt
