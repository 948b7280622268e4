"""Child processes that talk over a pipe of their own, and end with their parent.

The pools of the standard library give up all their work when one process dies, and do not say
which task killed it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

GRACE_S = 2.0


class Child:
    """A running process, started anew and not forked.

    Args:
        life: What it does, called with its end of the pipe and `arguments`; a function of a module.
        arguments: Further ones, which can be pickled.
        name: Of the process.
    """

    def __init__(self, life: Callable[..., None], *arguments: Any, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_live, args=(life, theirs, arguments), daemon=True, name=name
        )
        self.process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.is_alive()

    def stop(self, grace: float = GRACE_S) -> None:
        """End it: politely, and after `grace` seconds by force."""
        self.pipe.close()
        self.process.terminate()
        self.process.join(grace)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def mourn(self) -> str:
        """Wait for a process that is ending by itself, and say how it ended."""
        self.process.join()
        self.pipe.close()
        code = self.process.exitcode or 0
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"


def _live(life: Callable[..., None], pipe: Connection, arguments: tuple[Any, ...]) -> None:
    # The parent alone answers Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    life(pipe, *arguments)


def _die_with_parent() -> None:
    # Else a child would go on writing what the next parent has begun to write.
    parent = multiprocessing.parent_process()
    assert parent is not None, "a child has a parent"
    parent.join()
    os._exit(1)
