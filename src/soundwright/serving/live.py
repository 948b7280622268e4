"""What is known of jobs while they last: progress, a stream's bytes, and who waits for news."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass
class Live:
    """One job under way."""

    progress: dict[int, float] = field(default_factory=dict[int, float])
    """By sound, from 0 to 1."""
    pieces: list[bytes] = field(default_factory=list[bytes])
    """Of a stream's file, in order."""
    whole: bool = False
    """Whether no further piece comes."""


class _Watcher(NamedTuple):
    loop: asyncio.AbstractEventLoop
    event: asyncio.Event
    small: bool


class Lives:
    """All jobs under way. Told from the engine's threads, watched from the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Live] = {}
        self._watchers: dict[str, list[_Watcher]] = {}
        self.over = False
        """Whether the server ends, so that nobody should wait for news any longer."""

    def progress(self, job: str, number: int, done: float) -> None:
        """Note how much of a sound is done."""
        with self._lock:
            live = self._jobs.get(job)
            if live is not None:  # Else it has ended, and others of its batch go on.
                live.progress[number] = done
        self.tell(job, small=True)

    def add_piece(self, job: str, content: bytes) -> None:
        """Note further bytes of a stream."""
        with self._lock:
            live = self._jobs.get(job)
            if live is not None:
                live.pieces.append(content)
        self.tell(job, small=True)

    def restart(self, job: str) -> None:
        """Forget what a worker that died has made of a job."""
        with self._lock:
            live = self._jobs.get(job)
            if live is not None:
                live.progress.clear()
                live.pieces.clear()

    def finish(self, job: str) -> None:
        """Note that no more comes of a job; whoever watches it still sees what was there."""
        with self._lock:
            live = self._jobs.pop(job, None)
            if live is not None:
                live.whole = True
        self.tell(job)

    def get(self, job: str) -> Live | None:
        """A job under way; None where it is not. It changes while it is looked at."""
        with self._lock:
            return self._jobs.get(job)

    def open(self, job: str) -> Live:
        """A job that is about to begin."""
        with self._lock:
            return self._jobs.setdefault(job, Live())

    def share(self, job: str, done: Sequence[bool]) -> float:
        """How much of a job is done, from 0 to 1, where `done` says which of its sounds are."""
        with self._lock:
            live = self._jobs.get(job)
            progress = {} if live is None else dict(live.progress)
        parts = [1.0 if there else progress.get(number, 0.0) for number, there in enumerate(done)]
        return sum(parts) / len(parts)

    @contextmanager
    def watch(self, job: str, *, small: bool = True) -> Iterator[asyncio.Event]:
        """An event of the running loop that is set at each change of a job.

        Args:
            job: Its id.
            small: Whether anything before its end is news.
        """
        watcher = _Watcher(asyncio.get_running_loop(), asyncio.Event(), small)
        with self._lock:
            self._watchers.setdefault(job, []).append(watcher)
        try:
            yield watcher.event
        finally:
            with self._lock:
                self._watchers[job].remove(watcher)
                if not self._watchers[job]:
                    del self._watchers[job]

    def end(self) -> None:
        """Send home who waits for news: open answers would hold the server up."""
        self.over = True
        with self._lock:
            jobs = list(self._watchers)
        for job in jobs:
            self.tell(job)

    def tell(self, job: str, *, small: bool = False) -> None:
        """Wake who watches a job; with `small`, only who wants to know everything."""
        with self._lock:
            watchers = [one for one in self._watchers.get(job, ()) if one.small or not small]
        for watcher in watchers:
            if not watcher.loop.is_closed():
                watcher.loop.call_soon_threadsafe(watcher.event.set)
