"""The engine: takes accepted jobs through the workers, whatever happens to these.

A job ends in one of four ways, each noted in the store before anybody is told: done, failed with a
reason, cancelled, or (long after) expired. What had not ended when the server did is taken up again
by the next one.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.serving.batches import Batch, Item, Made, Message, Piece, Progress, Refused
from soundwright.serving.config import ServingConfig
from soundwright.serving.jobs import Job, Plan, Problem
from soundwright.serving.live import Live, Lives
from soundwright.serving.metrics import Metrics
from soundwright.serving.problems import describe_error
from soundwright.serving.queueing import Queue
from soundwright.serving.shelf import Shelf
from soundwright.serving.store import Store
from soundwright.serving.workers import LostError, Worker

MOST_ATTEMPTS = 3
"""Times that a worker, or the server, may end in the middle of a job before that is given up."""
SWEEP_EVERY_S = 600.0
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


class Engine:
    """Workers, the queue before them, and where results go.

    Args:
        config: Of the server.
        store: Of jobs.
        shelf: Of files.
        workers: Each makes one batch at a time.
        metrics: Told what happens.
    """

    def __init__(
        self,
        config: ServingConfig,
        store: Store,
        shelf: Shelf,
        workers: Sequence[Worker],
        metrics: Metrics,
    ) -> None:
        self._config, self._store, self._shelf = config, store, shelf
        self._workers, self._metrics = tuple(workers), metrics
        self.lives = Lives()
        self.queue = Queue(config.queue, config.batch, config.batch_seconds, config.gather)
        self.queue.serve(len(self._workers))
        self.models: dict[str, Problem | None] = {}
        """Models that a worker has tried to load: what was wrong, or None."""
        self._threads: list[threading.Thread] = []
        self._under_way: dict[str, int] = {}
        """How many workers have sounds of a job."""
        self._unwanted: set[str] = set()
        """Jobs that were cancelled while a worker had them."""
        self._lock = threading.Lock()
        self._ending = threading.Event()

    def start(self) -> None:
        """Take up what an earlier server has left, and begin to work."""
        for job in self._store.unfinished():
            self._resume(job)
        for number, worker in enumerate(self._workers):
            thread = threading.Thread(
                target=self._work, args=(worker,), name=f"worker {number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        threading.Thread(target=self._sweep, name="sweeper", daemon=True).start()

    def submit(
        self, request: Mapping[str, Any], plan: Plan, items: Sequence[tuple[str, int]]
    ) -> tuple[Job, Live]:
        """Accept a job: it is on the disk when this returns.

        Returns:
            The job, and what will be known of it while it lasts.

        Raises:
            FullError: The queue is.
            ClosedError: The server is ending.
            sqlite3.Error: The disk does not take it.
        """
        self.queue.check(len(items))
        job = self._store.accept(request, plan, items)
        live = self.lives.open(job.id)
        # Between the check and here others may have come; what was accepted is not refused.
        self.queue.put(plan, _items(job), known=True)
        self._metrics.accepted(plan.model, len(items))
        return job, live

    def cancel(self, identity: str) -> bool:
        """End a job that has not ended; whether this call has done so."""
        ended = self._store.end(identity, "cancelled")
        if ended:
            self.queue.drop(identity)
            with self._lock:
                if identity in self._under_way:
                    self._unwanted.add(identity)
            self._finish(identity, "cancelled")
        return ended

    def forget(self, identity: str) -> bool:
        """Remove a job, its sounds, and all that is known of it; whether there was one."""
        self.cancel(identity)
        gone = self._store.remove(identity)
        self._shelf.remove(identity)
        return gone

    def close(self) -> None:
        """Take nothing in, give work under way its grace, then end. Nothing accepted is lost."""
        self.queue.close()
        deadline = time.monotonic() + self._config.grace
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._ending.set()
        for worker in self._workers:
            worker.close()
        for thread in self._threads:
            thread.join()

    def _resume(self, job: Job) -> None:
        if job.plan.stream:
            self._store.end(job.id, "failed", _lost_stream())
            return
        if job.attempts >= MOST_ATTEMPTS:
            self._store.end(job.id, "failed", _ill_fated())
            return
        self._store.put_back([job.id])
        self.lives.open(job.id)
        self.queue.put(job.plan, _items(job), known=True)

    def _work(self, worker: Worker) -> None:
        self._load(worker, self._config.models[0])
        while (taken := self.queue.take()) is not None:
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
                        self._fail(job, _unexpected())
            finally:
                self._release(jobs)

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

    def _load(self, worker: Worker, model: str) -> None:
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
            if self._ending.is_set():
                break
        self.models[model] = problem
        if problem is not None and not self._ending.is_set():
            log.error("%s cannot be loaded: %s", model, problem.message)

    def _make(self, worker: Worker, run: _Run) -> None:
        for job in run.jobs:
            self.lives.tell(job)
        self._metrics.began(run.plan.model, len(run.items))
        deadline = run.began + self._config.time_limit

        def is_stopped() -> bool:
            run.late = run.late or time.monotonic() > deadline
            unwanted = all(job in self._unwanted for job in run.jobs)
            return run.late or unwanted or self._ending.is_set()

        try:
            batch = Batch(run.plan, run.items, self._beginning(run.plan))
            worker.run(batch, lambda message: self._hear(run, message), is_stopped)
        except UserError as error:
            run.problem = describe_error(error)
        except LostError as error:
            self._lose(run, error)
            return
        seconds = time.monotonic() - run.began
        if len(run.made) == len(run.items):
            sound = len(run.items) * run.plan.duration * run.plan.best_of
            self.queue.learn(sound, seconds)
            self._metrics.ended(run.plan.model, seconds, sound)
            if run.problem is None:
                self.models.setdefault(run.plan.model, None)
        self._settle(run)

    def _hear(self, run: _Run, message: Message) -> None:
        match message:
            case Progress(done):
                for item in run.items:
                    self.lives.progress(item.job, item.number, done)
            case Piece(content):
                self.lives.add_piece(run.items[0].job, content)
            case Made(place, content, described):
                self._keep(run, place, content, described)
                run.made.add(place)
            case Refused(problem, place) if place is not None:
                self._fail(run.items[place].job, problem)
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
            live = self.lives.get(item.job)
            if live is None:
                return  # It was cancelled this moment.
            content = b"".join(live.pieces)
        try:
            self._shelf.put(item.job, item.number, item.format, content)
        except UserError as error:
            log.error("A sound could not be kept: %s", error)
            self._fail(item.job, _full())
            return
        job = self._store.add_sound(item.job, item.number, len(content), described)
        if job is None:
            self._shelf.remove(item.job)
        elif job.state == "done":
            run.done.add(job.id)
            self._finish(job.id, job.state)
        else:
            self.lives.progress(item.job, item.number, 1.0)

    def _settle(self, run: _Run) -> None:
        """Say of what was not made why, or let it wait for the next server."""
        self._store.forgive([job for job in run.jobs if job not in run.done])
        jobs = _jobs(run.left)
        if run.problem is not None:
            for job in jobs:
                self._fail(job, run.problem)
        elif run.late:
            for job in jobs:
                self._fail(job, _too_slow(self._config.time_limit))
        elif self._ending.is_set():
            self._store.put_back(jobs)
        else:
            # Its clients have stopped it, which is noted already; else it is a worker's fault.
            for job in jobs:
                self._fail(job, _unexpected())

    def _lose(self, run: _Run, error: LostError) -> None:
        """A worker died: of the batch, of its limit, or because the server ends."""
        if self._ending.is_set() or run.late:
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
                self._fail(job, _ill_fated() if not found.plan.stream else _lost_stream())
                continue
            self.lives.restart(job)
            again += [item for item in run.left if item.job == job]
        self._store.put_back(_jobs(again))
        self.queue.put_back(run.plan, again, alone=True)

    def _wait_for_disk(self, run: _Run, error: sqlite3.Error) -> None:
        """The store could not be written: what was not noted is made again when it can be."""
        log.error("The store cannot be written, and is tried again: %s.", error)
        if run.plan.stream:
            with suppress(sqlite3.Error):
                self._fail(run.items[0].job, _full())
            return
        left = _jobs(run.left)
        if run.begun:
            with suppress(sqlite3.Error):
                self._store.forgive(left)
        for job in left:
            self.lives.restart(job)
        self.queue.put_back(run.plan, run.left, alone=False)
        self._ending.wait(PAUSE_S)

    def _fail(self, job: str, problem: Problem) -> None:
        if self._store.end(job, "failed", problem):
            self.queue.drop(job)
            self._finish(job, "failed")

    def _finish(self, job: str, state: str) -> None:
        self._metrics.finished(state)
        self.lives.finish(job)

    def _beginning(self, plan: Plan) -> bytes | None:
        """The sound to continue; that it is the one that was asked for is checked.

        Raises:
            UserError: It is gone, or another.
        """
        if plan.beginning is None:
            return None
        job, _, number = plan.beginning.partition("/")
        if number:
            found = self._store.find(job)
            suffix = found.plan.format if found is not None else "wav"
            path = self._shelf.place(job, int(number), suffix)
        else:
            path = self._shelf.place_upload(job)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"The sound to continue, {plan.beginning}, is not kept any more.",
                change="Send it again.",
            ) from error
        if hash_bytes(content) != plan.beginning_hash:
            raise UserError(f"The sound to continue, {plan.beginning}, has changed.")
        return content

    def _sweep(self) -> None:
        """Remove what is kept no longer, now and then."""
        while True:
            try:
                self.sweep()
            except Exception:
                log.exception("Old results could not be removed.")
            if self._ending.wait(SWEEP_EVERY_S):
                return

    def sweep(self) -> int:
        """Remove what is kept no longer; how many jobs and uploads that was."""
        gone = self._store.expire(self._config.keep_days, self._config.keep_bytes)
        for job in gone:
            self._shelf.remove(job)
        uploads = self._store.expire_uploads(self._config.keep_days, self._config.keep_bytes)
        for upload in uploads:
            self._shelf.remove_upload(upload)
        return len(gone) + len(uploads)


def _items(job: Job) -> list[Item]:
    """The sounds of a job that are not there yet."""
    return [
        Item(job.id, sound.number, sound.prompt, sound.seed, job.plan.format)
        for sound in job.sounds
        if not sound.done
    ]


def _jobs(items: Iterable[Item]) -> list[str]:
    """Whose sounds they are."""
    return list(dict.fromkeys(item.job for item in items))


def _full() -> Problem:
    return Problem(
        type="disk_full",
        message="The server could not write the sound.",
        change="Whoever runs the server should look at its disk. Then ask again.",
    )


def _too_slow(limit: float) -> Problem:
    return Problem(
        type="too_slow",
        message=f"It took more than {limit:g} s and was given up.",
        change="Ask for shorter or fewer sounds, or let the server take longer (--time-limit).",
    )


def _ill_fated() -> Problem:
    return Problem(
        type="worker_lost",
        message=f"{MOST_ATTEMPTS} times a worker ended while it made this, so it was given up.",
        change="Ask for a shorter sound; if that helps, the machine has too little memory.",
    )


def _lost_stream() -> Problem:
    return Problem(
        type="worker_lost",
        message="The server ended while this was streamed, and what was heard cannot be unheard.",
        change="Ask again: with the same seed the sound is the same.",
    )


def _unexpected() -> Problem:
    return Problem(
        type="internal",
        message="Something unexpected went wrong; the server's log has the details.",
    )
