"""The queue: bounded, first come first served, streams before the rest, like with like."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from soundwright.serving.batches import Item
from soundwright.serving.jobs import Plan

FIRST_RATE = 2.0
"""Seconds of sound a second, until there is something to measure."""
STEADINESS = 0.8
"""How much of the measured rate stays with each further batch."""
LONGEST_WAIT_S = 600


class FullError(Exception):
    """No more sounds may wait.

    Args:
        retry_after: Seconds after which there should be room.
    """

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__()


class ClosedError(Exception):
    """The server is ending."""


@dataclass(frozen=True)
class _Waiting:
    item: Item
    plan: Plan
    since: float
    alone: bool
    """Whether it may have no company: its last batch took a worker's life."""


class Queue:
    """Sounds that wait for a worker. All calls may come from any thread.

    Args:
        capacity: How many may wait.
        batch: How many are made at once.
        batch_seconds: Of how many seconds together.
        gather: Seconds for which a lone sound waits for company.
    """

    def __init__(self, capacity: int, batch: int, batch_seconds: float, gather: float) -> None:
        self._capacity, self._batch = capacity, batch
        self._batch_seconds, self._gather = batch_seconds, gather
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._promised = 0
        self._rate = FIRST_RATE
        self._workers = 1

    def __len__(self) -> int:
        return len(self._waiting)

    def serve(self, workers: int) -> None:
        """Say how many workers take from it."""
        self._workers = workers

    @contextmanager
    def room(self, sounds: int) -> Iterator[None]:
        """Room for sounds that are put within the block, which nobody else gets meanwhile.

        Raises:
            FullError: There is none now.
            ClosedError: Nothing is taken in any more.
        """
        with self._changed:
            self._check(sounds)
            self._promised += sounds
        try:
            yield
        finally:
            with self._changed:
                self._promised -= sounds

    def put(self, plan: Plan, items: Sequence[Item], *, known: bool = False) -> None:
        """Let sounds of one job wait.

        Args:
            plan: Of all of them.
            items: The sounds.
            known: Whether they were accepted before and are not to be refused, only put back.

        Raises:
            FullError: There is no room.
            ClosedError: Nothing is taken in any more.
        """
        with self._changed:
            if not known:
                self._check(len(items))
            now = time.monotonic()
            self._waiting.extend(_Waiting(item, plan, now, alone=False) for item in items)
            self._changed.notify_all()

    def put_back(self, plan: Plan, items: Sequence[Item], *, alone: bool) -> None:
        """Let sounds wait again, before all others.

        Args:
            plan: Of all of them.
            items: The sounds.
            alone: Whether each is to be made without company.
        """
        with self._changed:
            now = time.monotonic()
            self._waiting.extendleft(
                _Waiting(item, plan, now, alone=alone) for item in reversed(items)
            )
            self._changed.notify_all()

    def take(self) -> tuple[Plan, tuple[Item, ...]] | None:
        """Wait for sounds that are made together; None when the queue is closed."""
        with self._changed:
            while True:
                if self._closed:
                    return None
                if not self._waiting:
                    self._changed.wait()
                    continue
                head, chosen = self._choose()
                patience = head.since + self._gather - time.monotonic()
                lone = head.alone or head.plan.stream or len(chosen) >= self._batch
                if lone or patience <= 0:
                    gone = {id(one) for one in chosen}
                    self._waiting = deque(one for one in self._waiting if id(one) not in gone)
                    return head.plan, tuple(one.item for one in chosen)
                self._changed.wait(patience)

    def drop(self, job: str) -> int:
        """Take the sounds of a job out; how many there were."""
        with self._changed:
            before = len(self._waiting)
            self._waiting = deque(one for one in self._waiting if one.item.job != job)
            return before - len(self._waiting)

    def position(self, job: str) -> int | None:
        """How many sounds are before the first one of a job; None where none of it waits."""
        with self._changed:
            for place, one in enumerate(self._waiting):
                if one.item.job == job:
                    return place
        return None

    def learn(self, seconds_of_sound: float, seconds: float) -> None:
        """Note how long a batch took, to tell waiting clients when to come again."""
        if seconds > 0:
            with self._changed:
                rate = seconds_of_sound / seconds
                self._rate = STEADINESS * self._rate + (1 - STEADINESS) * rate

    def close(self) -> None:
        """Take nothing in, give nothing out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _check(self, sounds: int) -> None:
        if self._closed:
            raise ClosedError
        if len(self._waiting) + self._promised + sounds > self._capacity:
            raise FullError(self._retry_after())

    def _retry_after(self) -> int:
        ahead = sum(one.plan.duration * one.plan.best_of for one in self._waiting)
        # When half of what waits is done, there is room.
        wait = 0.5 * ahead / max(self._rate * self._workers, 1e-6)
        return int(min(max(1.0, wait), LONGEST_WAIT_S))

    def _choose(self) -> tuple[_Waiting, list[_Waiting]]:
        head = next((one for one in self._waiting if one.plan.stream), self._waiting[0])
        if head.alone or head.plan.stream:
            return head, [head]
        cost = head.plan.duration * head.plan.best_of
        most = max(1, min(self._batch, int(self._batch_seconds / cost)))
        alike = (
            one
            for one in self._waiting
            if not one.alone and _together(one.plan) == _together(head.plan)
        )
        return head, [one for one, _ in zip(alike, range(most), strict=False)]


def _together(plan: Plan) -> Plan:
    """What two sounds must share to be made in one batch: all but the format of their files."""
    return plan.model_copy(update={"format": "", "beginning": None})
