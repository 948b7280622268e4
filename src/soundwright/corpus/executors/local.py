"""Processes of this machine, each with a pipe of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from soundwright.core.processes import Child
from soundwright.corpus.work import Lost, Outcome, Task, run_task


@dataclass
class _Worker:
    child: Child
    task: Task | None = None


class LocalExecutor:
    """A number of processes.

    Args:
        workers: How many; 0 does the work in this process, where a crash is a crash.
    """

    def __init__(self, workers: int) -> None:
        self._count = workers
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []

    @property
    def workers(self) -> int:
        """How many tasks are under way at once."""
        return max(self._count, 1)

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Do the tasks; see `Executor`."""
        if self._count == 0:
            yield from map(run_task, tasks)
            return
        waiting = iter(tasks)
        try:
            while True:
                self._assign(waiting)
                if not self._busy:
                    return
                yield from self._collect()
        finally:
            for worker in self._busy:
                worker.child.stop()
            self._busy.clear()

    def close(self) -> None:
        """End the workers."""
        for worker in (*self._idle, *self._busy):
            worker.child.stop()
        self._idle.clear()
        self._busy.clear()

    def _assign(self, waiting: Iterator[Task]) -> None:
        while len(self._busy) < self._count:
            task = next(waiting, None)
            if task is None:
                return
            worker = self._idle.pop() if self._idle else _start()
            worker.task = task
            self._busy.append(worker)
            with suppress(OSError):  # It died while idle; `_collect` sees it.
                worker.child.pipe.send(task)

    def _collect(self) -> Iterator[Outcome]:
        """Outcomes of the workers that have one now; at least one has."""
        wait(
            [
                source
                for one in self._busy
                for source in (one.child.pipe, one.child.process.sentinel)
            ]
        )
        for worker in list(self._busy):
            task = worker.task
            assert task is not None, "a busy worker has a task"
            if worker.child.pipe.poll():
                outcome = self._receive(worker, task)
            elif not worker.child.alive:
                outcome = _mourn(worker, task)
            else:
                continue
            self._busy.remove(worker)
            if worker.child.alive:
                worker.task = None
                self._idle.append(worker)
            yield outcome

    def _receive(self, worker: _Worker, task: Task) -> Outcome:
        try:
            return worker.child.pipe.recv()
        except (EOFError, OSError):
            return _mourn(worker, task)


def _start() -> _Worker:
    return _Worker(Child(_serve, name="corpus worker"))


def _mourn(worker: _Worker, task: Task) -> Lost:
    return Lost(task, f"the worker ended with {worker.child.mourn()}")


def _serve(pipe: Connection) -> None:
    """A worker's life: tasks come in, outcomes go out, until the pipe is closed."""
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        outcome = run_task(task)
        try:
            pipe.send(outcome)
        except OSError:
            return
