"""Processes of this machine.

The pools of the standard library give up all their work when one process dies, and do not say
which task killed it. Here each worker has a pipe of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from soundwright.corpus.work import Lost, Outcome, Task, run_task

GRACE_S = 2.0


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
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
                _stop(worker)
            self._busy.clear()

    def close(self) -> None:
        """End the workers."""
        for worker in (*self._idle, *self._busy):
            _stop(worker)
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
                worker.pipe.send(task)

    def _collect(self) -> Iterator[Outcome]:
        """Outcomes of the workers that have one now; at least one has."""
        wait([source for one in self._busy for source in (one.pipe, one.process.sentinel)])
        for worker in list(self._busy):
            task = worker.task
            assert task is not None, "a busy worker has a task"
            if worker.pipe.poll():
                outcome = self._receive(worker, task)
            elif not worker.process.is_alive():
                outcome = _mourn(worker, task)
            else:
                continue
            self._busy.remove(worker)
            if worker.process.is_alive():
                worker.task = None
                self._idle.append(worker)
            yield outcome

    def _receive(self, worker: _Worker, task: Task) -> Outcome:
        try:
            return worker.pipe.recv()
        except (EOFError, OSError):
            return _mourn(worker, task)


def _start() -> _Worker:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True, name="corpus worker")
    process.start()
    theirs.close()
    return _Worker(process, mine)


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.terminate()
    worker.process.join(GRACE_S)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _mourn(worker: _Worker, task: Task) -> Lost:
    worker.process.join()
    worker.pipe.close()
    code = worker.process.exitcode or 0
    why = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
    return Lost(task, f"the worker ended with {why}")


def _serve(pipe: Connection) -> None:
    """A worker's life: tasks come in, outcomes go out, until the pipe is closed."""
    # The driver alone answers Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
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


def _die_with_parent() -> None:
    # Else a worker would write into a corpus that the next run has begun to work on.
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    parent.join()
    os._exit(1)
