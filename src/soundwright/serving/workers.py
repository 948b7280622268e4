"""Those who make batches: what the engine needs of them, and processes of this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import NamedTuple, Protocol

from soundwright.core.errors import UserError
from soundwright.core.processes import Child
from soundwright.serving.batches import Batch, Message, Refused
from soundwright.serving.jobs import Problem
from soundwright.serving.problems import describe_error

POLL_S = 0.05
WORKER_NICENESS = 10
STOP_GRACE_S = 5.0
"""Seconds after which a worker that was told to stop is ended."""

IsStopped = Callable[[], bool]
Tell = Callable[[Message], None]


class LostError(Exception):
    """The worker died, and what it was making with it."""


class Worker(Protocol):
    """Makes one batch at a time."""

    def load(self, model: str) -> Problem | None:
        """Make a model ready; why that is not possible.

        Raises:
            LostError: The worker died of it.
        """
        ...

    def run(self, batch: Batch, tell: Tell, is_stopped: IsStopped) -> None:
        """Make a batch. Returns when it is made, refused, or stopped.

        Args:
            batch: What is wanted.
            tell: Takes messages.
            is_stopped: Asked often whether to go on.

        Raises:
            LostError: The worker died; the next call begins with a new one.
        """
        ...

    def close(self) -> None:
        """End it, whatever it does."""
        ...


class LocalWorker:
    """A process of this machine.

    Args:
        device: As in `generation.load`.
        dtype: As in `generation.load`.
    """

    def __init__(self, device: str, dtype: str) -> None:
        self._device, self._dtype = device, dtype
        self._child: Child | None = None
        self._closed = False

    def load(self, model: str) -> Problem | None:
        """As `Worker.load`."""
        found: list[Problem] = []

        def tell(message: Message) -> None:
            if isinstance(message, Refused):
                found.append(message.problem)

        self._ask(_Load(model), tell, lambda: False)
        return found[0] if found else None

    def run(self, batch: Batch, tell: Tell, is_stopped: IsStopped) -> None:
        """As `Worker.run`."""
        self._ask(_Make(batch), tell, is_stopped)

    def close(self) -> None:
        """As `Worker.close`."""
        self._closed = True
        if self._child is not None:
            self._child.process.kill()

    def _ask(self, what: _Load | _Make, tell: Tell, is_stopped: IsStopped) -> None:
        if self._closed:
            raise LostError("the server is ending")
        if self._child is None or not self._child.alive:
            self._child = Child(_work, self._device, self._dtype, name="soundwright worker")
        child = self._child
        try:
            child.pipe.send(what)
            self._listen(child, tell, is_stopped)
        except (EOFError, OSError) as error:
            raise self._lost(child) from error
        except BaseException:
            # Else the next batch would hear what this one still has to say.
            child.process.kill()
            self._lost(child)
            raise

    def _listen(self, child: Child, tell: Tell, is_stopped: IsStopped) -> None:
        stopped_at: float | None = None
        while True:
            if wait([child.pipe, child.process.sentinel], POLL_S):
                # What a worker has said before it died still counts.
                message = child.pipe.recv()
                if isinstance(message, _Done):
                    return
                tell(message)
            if stopped_at is None and is_stopped():
                stopped_at = time.monotonic()
                child.pipe.send(_Stop())
            elif stopped_at is not None and time.monotonic() > stopped_at + STOP_GRACE_S:
                child.process.kill()

    def _lost(self, child: Child) -> LostError:
        self._child = None
        return LostError(f"the worker ended with {child.mourn()}")


class _Load(NamedTuple):
    model: str


class _Make(NamedTuple):
    batch: Batch


class _Stop(NamedTuple):
    """The batch under way is not wanted any more."""


class _Done(NamedTuple):
    """Nothing more comes of what was asked for."""


def _work(pipe: Connection, device: str, dtype: str) -> None:
    """The process: commands come in, messages go out, until the pipe is closed."""
    from soundwright.serving.worker import Maker, StoppedError

    if hasattr(os, "nice"):
        # Where both want a core, who answers goes first: that takes little, and is waited for.
        os.nice(WORKER_NICENESS)
    maker = Maker(device, dtype)

    def is_stopped() -> bool:
        return pipe.poll() and isinstance(pipe.recv(), _Stop)

    while True:
        try:
            what = pipe.recv()
            if isinstance(what, _Stop):
                continue  # It came too late, and was for the batch before.
            if isinstance(what, _Make):
                with suppress(StoppedError):
                    maker.make(what.batch, pipe.send, is_stopped)
            elif isinstance(what, _Load):
                try:
                    maker.open(what.model)
                except UserError as error:
                    pipe.send(Refused(describe_error(error, "unavailable")))
            pipe.send(_Done())
        except (EOFError, OSError):
            return
