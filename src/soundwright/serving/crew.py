"""What workers do with batches, and what becomes of jobs when they die.

Each worker has a thread, which takes sounds from the queue, hands them over, listens, and puts what
comes on the shelf and into the store.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from soundwright.core.errors import UserError
from soundwright.serving.batches import Batch, Item, Made, Message, Piece, Progress, Refused
from soundwright.serving.beginnings import read_beginning
from soundwright.serving.jobs import Plan, Problem
from soundwright.serving.live import Lives
from soundwright.serving.metrics import Metrics
from soundwright.serving.problems import (
    describe_error,
    full,
    ill_fated,
    lost_stream,
    too_slow,
    unexpected,
)
from soundwright.serving.queueing import Queue
from soundwright.serving.shelf import Shelf
from soundwright.serving.store import Store
from soundwright.serving.workers import LostError, Worker

MOST_ATTEMPTS = 3
"""Times that a worker, or the server, may end in the middle of a job before that is given up."""
PAUSE_S = 2.0
"""After which a disk that could not be written is tried again."""

log = logging.getLogger(__name__)


@dataclass
class _Run:
    """A batch under way."""

    plan: Plan
    items: tuple[Item, ...]
    began: float
    made: set[int] = field(default_factory=set[int])
    """Places of items that are done with."""
    done: set[str] = field(default_factory=set[str])
    """Jobs that ended with one of these sounds."""
    begun: bool = False
    """Whether the store counts it as an attempt."""
    problem: Problem | None = None
    late: bool = False

    @property
    def jobs(self) -> list[str]:
        """Whose sounds it makes."""
        return _jobs(self.items)

    @property
    def left(self) -> list[Item]:
        """Sounds that were not made."""
        return [item for place, item in enumerate(self.items) if place not in self.made]


class Crew:
    """All workers of a server.

    Args:
        queue: Of sounds that wait.
        store: Of jobs.
        shelf: Of files.
        metrics: Told what happens.
        lives: Told what comes.
        time_limit: Seconds of a batch.
    """

    def __init__(
        self,
        queue: Queue,
        store: Store,
        shelf: Shelf,
        metrics: Metrics,
        lives: Lives,
        time_limit: float,
    ) -> None:
        self._queue, self._store, self._shelf = queue, store, shelf
        self._metrics, self._lives, self._time_limit = metrics, lives, time_limit
        self.models: dict[str, Problem | None] = {}
        """Models that a worker has tried to load: what was wrong, or None."""
        self.ending = threading.Event()
        """Whether what is under way is to be left for the next server."""
        self._under_way: dict[str, int] = {}
        """How many workers have sounds of a job."""
        self._unwanted: set[str] = set()
        """Jobs that were cancelled while a worker had them."""
        self._lock = threading.Lock()

    def work(self, worker: Worker) -> None:
        """Give a worker batch after batch, until the queue is closed."""
        while (taken := self._queue.take()) is not None:
            run = _Run(*taken, time.monotonic())
            jobs = run.jobs
            self._hold(jobs)
            try:
                # Those that were cancelled on the way are left out.
                begun = self._store.begin(jobs)
                run.begun = True
                run.items = tuple(item for item in run.items if item.job in begun)
                if run.items:
                    self._make(worker, run)
            except sqlite3.Error as error:
                self._wait_for_disk(run, error)
            except Exception:
                # Whatever it was, the other jobs must not wait for ever.
                log.exception("A batch has failed.")
                with suppress(sqlite3.Error):
                    for job in jobs:
                        self.fail(job, unexpected())
            finally:
                self._release(jobs)

    def abandon(self, job: str) -> None:
        """Make no more of a job that was cancelled."""
        with self._lock:
            if job in self._under_way:
                self._unwanted.add(job)

    def _hold(self, jobs: Sequence[str]) -> None:
        with self._lock:
            for job in jobs:
                self._under_way[job] = self._under_way.get(job, 0) + 1

    def _release(self, jobs: Sequence[str]) -> None:
        with self._lock:
            for job in jobs:
                self._under_way[job] -= 1
                if not self._under_way[job]:
                    del self._under_way[job]
                    self._unwanted.discard(job)

    def load(self, worker: Worker, model: str) -> None:
        """Let a worker load a model, and note what was wrong."""
        problem: Problem | None = None
        for _ in range(MOST_ATTEMPTS):
            try:
                problem = worker.load(model)
                break
            except LostError as error:
                why = f": {error}"
            except Exception:
                log.exception("A model has failed to load.")
                why = ""
            problem = Problem(type="unavailable", message=f"{model} cannot be loaded{why}.")
            if self.ending.is_set():
                break
        self.models[model] = problem
        if problem is not None and not self.ending.is_set():
            log.error("%s cannot be loaded: %s", model, problem.message)

    def _make(self, worker: Worker, run: _Run) -> None:
        for job in run.jobs:
            self._lives.tell(job, small=True)
        self._metrics.began(run.plan.model, len(run.items))
        deadline = run.began + self._time_limit

        def is_stopped() -> bool:
            run.late = run.late or time.monotonic() > deadline
            unwanted = all(job in self._unwanted for job in run.jobs)
            return run.late or unwanted or self.ending.is_set()

        try:
            batch = Batch(run.plan, run.items, read_beginning(self._store, self._shelf, run.plan))
            worker.run(batch, lambda message: self._hear(run, message), is_stopped)
        except UserError as error:
            run.problem = describe_error(error)
        except LostError as error:
            self._lose(run, error)
            return
        seconds = time.monotonic() - run.began
        if len(run.made) == len(run.items):
            sound = len(run.items) * run.plan.duration * run.plan.best_of
            self._queue.learn(sound, seconds)
            self._metrics.ended(run.plan.model, seconds, sound)
            if run.problem is None:
                self.models.setdefault(run.plan.model, None)
        self._settle(run)

    def _hear(self, run: _Run, message: Message) -> None:
        match message:
            case Progress(done):
                for item in run.items:
                    self._lives.progress(item.job, item.number, done)
            case Piece(content):
                self._lives.add_piece(run.items[0].job, content)
            case Made(place, content, described):
                self._keep(run, place, content, described)
                run.made.add(place)
            case Refused(problem, place) if place is not None:
                self.fail(run.items[place].job, problem)
                run.made.add(place)
            case Refused(problem):
                run.problem = problem
                if problem.type == "unavailable":
                    self.models[run.plan.model] = problem

    def _keep(self, run: _Run, place: int, content: bytes, described: dict[str, Any]) -> None:
        """Put a sound on the shelf, then into the store: what the store knows is there."""
        item = run.items[place]
        if item.job in self._unwanted:
            return
        if run.plan.stream:
            live = self._lives.get(item.job)
            if live is None:
                return  # It was cancelled this moment.
            content = b"".join(live.pieces)
        try:
            self._shelf.put(item.job, item.number, item.format, content)
        except UserError as error:
            log.error("A sound could not be kept: %s", error)
            self.fail(item.job, full())
            return
        state = self._store.add_sound(item.job, item.number, len(content), described)
        if state is None:
            self._shelf.remove(item.job)
        elif state == "done":
            run.done.add(item.job)
            self.finish(item.job, state)
        else:
            self._lives.progress(item.job, item.number, 1.0)

    def _settle(self, run: _Run) -> None:
        """Say of what was not made why, or let it wait for the next server."""
        self._store.forgive([job for job in run.jobs if job not in run.done])
        jobs = _jobs(run.left)
        if run.problem is not None:
            for job in jobs:
                self.fail(job, run.problem)
        elif run.late:
            for job in jobs:
                self.fail(job, too_slow(self._time_limit))
        elif self.ending.is_set():
            self._store.put_back(jobs)
        else:
            # Its clients have stopped it, which is noted already; else it is a worker's fault.
            for job in jobs:
                self.fail(job, unexpected())

    def _lose(self, run: _Run, error: LostError) -> None:
        """A worker died: of the batch, of its limit, or because the server ends."""
        if self.ending.is_set() or run.late:
            self._settle(run)
            return
        self._metrics.lost()
        log.error("A worker was lost: %s.", error)
        again: list[Item] = []
        for job in _jobs(run.left):
            found = self._store.find(job)
            if found is None or found.ended:
                continue
            if found.attempts >= MOST_ATTEMPTS or found.plan.stream:
                self.fail(job, ill_fated(MOST_ATTEMPTS) if not found.plan.stream else lost_stream())
                continue
            self._lives.restart(job)
            again += [item for item in run.left if item.job == job]
        self._store.put_back(_jobs(again))
        self._queue.put_back(run.plan, again, alone=True)

    def _wait_for_disk(self, run: _Run, error: sqlite3.Error) -> None:
        """The store could not be written: what was not noted is made again when it can be."""
        log.error("The store cannot be written, and is tried again: %s.", error)
        if run.plan.stream:
            with suppress(sqlite3.Error):
                self.fail(run.items[0].job, full())
            return
        left = _jobs(run.left)
        if run.begun:
            with suppress(sqlite3.Error):
                self._store.forgive(left)
        for job in left:
            self._lives.restart(job)
        self._queue.put_back(run.plan, run.left, alone=False)
        self.ending.wait(PAUSE_S)

    def fail(self, job: str, problem: Problem) -> None:
        """End a job that cannot be made."""
        if self._store.end(job, "failed", problem):
            self._queue.drop(job)
            self.finish(job, "failed")

    def finish(self, job: str, state: str) -> None:
        """Tell everybody that a job has ended, which the store knows."""
        self._metrics.finished(state)
        self._lives.finish(job)


def _jobs(items: Iterable[Item]) -> list[str]:
    """Whose sounds they are."""
    return list(dict.fromkeys(item.job for item in items))
