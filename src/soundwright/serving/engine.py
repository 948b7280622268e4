"""The engine: takes accepted jobs through the workers, whatever happens to these.

A job ends in one of four ways, each noted in the store before anybody is told: done, failed with a
reason, cancelled, or (long after) expired. What had not ended when the server did is taken up again
by the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from soundwright.serving.batches import Item
from soundwright.serving.config import ServingConfig
from soundwright.serving.crew import MOST_ATTEMPTS, Crew
from soundwright.serving.jobs import Asked, Job, Problem
from soundwright.serving.live import Live, Lives
from soundwright.serving.metrics import Metrics
from soundwright.serving.problems import ill_fated, lost_stream
from soundwright.serving.queueing import ClosedError, FullError, Queue
from soundwright.serving.shelf import Shelf
from soundwright.serving.store import Store
from soundwright.serving.workers import Worker

SWEEP_EVERY_S = 600.0

log = logging.getLogger(__name__)


class Accepted(NamedTuple):
    """A job that is on the disk."""

    job: Job
    live: Live


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
        self._threads: list[threading.Thread] = []
        self._crew = Crew(self.queue, store, shelf, metrics, self.lives, config.time_limit)

    @property
    def models(self) -> Mapping[str, Problem | None]:
        """Models that a worker has tried to load: what was wrong, or None."""
        return self._crew.models

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

    def submit(self, asked: Sequence[Asked]) -> list[Accepted | FullError | ClosedError]:
        """Accept jobs, as far as there is room: they are on the disk when this returns.

        Returns:
            For each the job, and what will be known of it while it lasts; or that the queue is
            full or the server is ending.

        Raises:
            sqlite3.Error, OSError: The disk takes none of them.
        """
        with ExitStack() as rooms:
            found = [self._reserve(one, rooms) for one in asked]
            jobs = iter(self._store.accept([one for one in found if isinstance(one, Asked)]))
            return [self._enter(next(jobs)) if isinstance(one, Asked) else one for one in found]

    def _reserve(self, asked: Asked, rooms: ExitStack) -> Asked | FullError | ClosedError:
        try:
            rooms.enter_context(self.queue.room(len(asked.items)))
        except (FullError, ClosedError) as error:
            return error
        return asked

    def _enter(self, job: Job) -> Accepted:
        live = self.lives.open(job.id)
        # Room was kept for it; what was accepted is not refused.
        self.queue.put(job.plan, _items(job), known=True)
        self._metrics.accepted(job.plan.model, len(job.sounds))
        return Accepted(job, live)

    def cancel(self, identity: str) -> bool:
        """End a job that has not ended; whether this call has done so."""
        ended = self._store.end(identity, "cancelled")
        if ended:
            self.queue.drop(identity)
            self._crew.abandon(identity)
            self._crew.finish(identity, "cancelled")
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
        self._crew.ending.set()
        for worker in self._workers:
            worker.close()
        for thread in self._threads:
            thread.join()

    def _resume(self, job: Job) -> None:
        if job.plan.stream:
            self._store.end(job.id, "failed", lost_stream())
            return
        if job.attempts >= MOST_ATTEMPTS:
            self._store.end(job.id, "failed", ill_fated(MOST_ATTEMPTS))
            return
        self._store.put_back([job.id])
        self.lives.open(job.id)
        self.queue.put(job.plan, _items(job), known=True)

    def _work(self, worker: Worker) -> None:
        self._crew.load(worker, self._config.models[0])
        self._crew.work(worker)

    def _sweep(self) -> None:
        """Remove what is kept no longer, now and then."""
        while True:
            try:
                self.sweep()
            except Exception:
                log.exception("Old results could not be removed.")
            if self._crew.ending.wait(SWEEP_EVERY_S):
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
