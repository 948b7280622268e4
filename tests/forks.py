"""Processes for tests, forked off one that has imported everything already.

Importing torch and transformers takes longer than what most tests do in a process of its own.
Where nothing can be forked, processes are started anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

_METHODS = multiprocessing.get_all_start_methods()
_CONTEXT = multiprocessing.get_context("forkserver" if "forkserver" in _METHODS else "spawn")
_CONTEXT.set_forkserver_preload(["soundwright.pipelines.training"])


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    """As `subprocess` gives it: minus the number of a signal that killed it."""
    output: str
    errors: str


class Fork:
    """A function in a process of its own, on one thread; what it says is kept.

    Args:
        function: Of a module's top level; `SystemExit` sets the status.
        arguments: Its arguments, which can be pickled.
        environment: Variables to add.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._place = tempfile.TemporaryDirectory()
        self._said = [Path(self._place.name, name) for name in ("output", "errors")]
        self._process = _CONTEXT.Process(
            target=_run,
            args=(function, arguments, dict(environment or {}), self._said),
            daemon=True,
        )
        self._process.start()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self._process.pid, number)

    def wait(self, timeout: float = 120) -> Ended:
        """Wait for the end; a process that does not come to one is killed."""
        self._process.join(timeout)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        texts = [path.read_text() if path.exists() else "" for path in self._said]
        self._place.cleanup()
        return Ended(self._process.exitcode, *texts)


def run_ranks(function: Callable[..., Any], *arguments: Any, count: int = 2) -> list[Ended]:
    """Run a function in `count` processes that find each other as those of `torchrun` do."""
    return [fork.wait() for fork in start_ranks(function, *arguments, count=count)]


def start_ranks(function: Callable[..., Any], *arguments: Any, count: int = 2) -> list[Fork]:
    """Start what `run_ranks` runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    return [
        Fork(
            function,
            *arguments,
            environment={**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]


def run_command(*arguments: Any) -> None:
    """The command `soundwright`, for `Fork` and `run_ranks`."""
    from soundwright.cli.main import app

    app([str(argument) for argument in arguments])


def _run(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    environment: Mapping[str, str],
    said: list[Path],
) -> None:
    os.environ.update(environment)
    for number, path in enumerate(said, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    torch.set_num_threads(1)
    function(*arguments)
