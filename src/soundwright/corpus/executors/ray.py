"""Actors on a Ray cluster.

Only tasks and receipts travel through Ray; rows and sound stay in the corpus's folder, which all
machines have to see under the same path.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from soundwright.core.errors import UserError
from soundwright.corpus.work import Lost, Outcome, Task, run_task

ANSWER_S = 10.0


class RayExecutor:
    """Actors on a cluster, each of which does one task at a time.

    Args:
        address: Of the cluster, such as "ray://head:10001" or "auto"; "local" starts one on this
            machine for as long as the run lasts.
        workers: Number of actors; None takes one for each CPU of the cluster, or for each
            share of a GPU.
        gpus: What each actor needs of a GPU.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, address: str, workers: int | None = None, *, gpus: float = 0.0) -> None:
        self._ray = _connect(address, workers)
        resources = self._ray.cluster_resources()
        room = resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 1)
        self._count = max(1, int(room if workers is None else workers))
        self._kind = self._ray.remote(num_cpus=0 if gpus else 1, num_gpus=gpus, max_restarts=0)(
            _Actor
        )
        self._idle: list[Any] = []

    @property
    def workers(self) -> int:
        """How many tasks are under way at once."""
        return self._count

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Do the tasks; see `Executor`."""
        waiting = iter(tasks)
        busy: dict[Any, tuple[Any, Task]] = {}
        try:
            while True:
                while len(busy) < self._count and (task := next(waiting, None)) is not None:
                    actor = self._idle.pop() if self._idle else self._kind.remote()
                    busy[actor.run.remote(task)] = actor, task
                if not busy:
                    return
                (ready, *_), _ = self._ray.wait(list(busy), num_returns=1)
                actor, task = busy.pop(ready)
                yield self._collect(ready, actor, task)
        finally:
            for actor, _ in busy.values():
                self._ray.kill(actor)

    def close(self) -> None:
        """End the actors and leave the cluster."""
        for actor in self._idle:
            self._ray.kill(actor)
        self._idle.clear()
        self._ray.shutdown()

    def _collect(self, ready: Any, actor: Any, task: Task) -> Outcome:
        try:
            outcome = self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            return Lost(task, f"the worker was lost: {type(error).__name__}")
        self._idle.append(actor)
        return outcome


class _Actor:
    def run(self, task: Task) -> Outcome:
        return run_task(task)


def _connect(address: str, workers: int | None) -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "The Ray executor needs the package ray.",
            change='Install it with pip install "soundwright[ray]", or use --executor local.',
        ) from error
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        _knock(address)
        if address == "local":
            ray.init("local", num_cpus=workers, include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"The Ray cluster {address!r} cannot be reached: {error}",
            expected="the address of a running cluster, auto, or local",
        ) from error
    return ray


def _knock(address: str) -> None:
    """Make sure that somebody answers: Ray itself waits for minutes, and then ends the process.

    Raises:
        OSError: Nobody does.
        ValueError: It is no address.
    """
    if address not in ("local", "auto"):
        place = urlsplit(address if "://" in address else f"ray://{address}")
        if place.hostname is None or place.port is None:
            raise ValueError("it names no host and port")
        socket.create_connection((place.hostname, place.port), timeout=ANSWER_S).close()
