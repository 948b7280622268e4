"""The processes of one run: who speaks, who waits for whom, and how all of them end together.

`torchrun` starts one process a GPU and numbers them: ranks. What they tell each other outside of
the numbers of training goes through the store at which they met, so that waiting for an hour of
preparation needs no collective with a timeout, and a rank that fails can say so to the others.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, distributed

from soundwright.core.errors import UserError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

Result = TypeVar("Result")

MISTAKE, SIGNALLED = 2, 128
FAILURE = "failure"
GRACE_S = 5.0
"""How long a rank waits for another one's explanation before it gives its own."""
PARTING_S = 60.0
"""How long rank 0 stays for the others at a good end."""
WATCH_S = 1.0
LONGEST_PAUSE_S = 0.5
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class RankError(UserError):
    """Another rank failed, or cannot be reached any more."""


class Ranks:
    """This process among those of the run; without arguments, the only one.

    Methods that involve all ranks must be called by all of them in the same order.

    Args:
        rank: Number of this process, from 0.
        count: Number of processes.
        local: Number of this process on its machine, and of its GPU.
        store: Where they have met.
    """

    def __init__(
        self,
        rank: int = 0,
        count: int = 1,
        local: int = 0,
        store: Store | None = None,
    ) -> None:
        assert 0 <= rank < count, f"rank {rank} of {count}"
        self.rank, self.count, self.local = rank, count, local
        self._store = store
        self._calls = 0
        self._groups = 0

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0: it alone prints, logs and writes models."""
        return self.rank == 0

    @property
    def are_many(self) -> bool:
        """Whether there are others."""
        return self.count > 1

    def lead(self, work: Callable[[], Result]) -> Result:
        """Call `work` on rank 0 and, when it is done there, on all others.

        For work that makes what is missing and finds what is there. The others wait as long as
        it takes.

        Raises:
            RankError: Rank 0 failed.
        """
        if not self.are_many:
            return work()
        key = self._next_key()
        if not self.is_first:
            self._await(key)
            return work()
        result = work()
        self._put(key, None)
        return result

    def decide(self, work: Callable[[], Result]) -> Result:
        """Call `work` on rank 0 alone and give what it returned, a JSON value, on all ranks.

        Raises:
            RankError: Rank 0 failed.
        """
        if not self.are_many:
            return work()
        key = self._next_key()
        if not self.is_first:
            return self._await(key)
        result = work()
        self._put(key, result)
        return result

    def highest(self, *values: int) -> tuple[int, ...]:
        """The highest of all ranks' values, each; needs `connected`."""
        if not self.are_many:
            return values
        highest = torch.tensor(values)
        distributed.all_reduce(highest, distributed.ReduceOp.MAX)
        return tuple(highest.tolist())

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """The means over all ranks of numbers with the same names; needs `connected`."""
        if not self.are_many or not values:
            return dict(values)
        sums = torch.tensor(list(values.values()), dtype=torch.float64)
        distributed.all_reduce(sums)
        return dict(zip(values, (sums / self.count).tolist(), strict=True))

    def mean_of(self, tensor: Tensor) -> Tensor:
        """The mean of all ranks' tensors, on their device; needs `connected`."""
        if self.are_many:
            distributed.all_reduce(tensor)
            tensor = tensor / self.count
        return tensor

    def gather(self, value: Result) -> list[Result]:
        """All ranks' values, which can be pickled, in the order of ranks; needs `connected`."""
        if not self.are_many:
            return [value]
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, value)
        return found

    @contextmanager
    def connected(self, device: torch.device, minutes: float) -> Iterator[None]:
        """A block in which all ranks work together: `torch.distributed` is initialised.

        Args:
            device: This rank's.
            minutes: How long a rank waits for another one within a collective.
        """
        if not self.are_many:
            yield
            return
        from torch.distributed.distributed_c10d import PrefixStore

        assert self._store is not None
        self._groups += 1
        distributed.init_process_group(
            # Messages about the run are small and on the CPU: they do not wait for the GPU.
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=PrefixStore(f"group {self._groups}", self._store),
            rank=self.rank,
            world_size=self.count,
            timeout=timedelta(minutes=minutes),
        )
        try:
            with self._watched():
                yield
        except KeyboardInterrupt:
            distributed.destroy_process_group()
            raise
        # Not after an error: a rank that is gone would be waited for.
        distributed.destroy_process_group()

    def end(self, error: BaseException) -> BaseException:
        """How this process ends after `error`: the others learn of it, and one rank speaks.

        Returns:
            What to raise: an error to be printed, or a silent exit where another rank speaks.
        """
        if isinstance(error, KeyboardInterrupt):
            number = int(getattr(error, "signal", 2))
            return error if self.is_first else SystemExit(SIGNALLED + number)
        if isinstance(error, SystemExit):
            return error
        if isinstance(error, RankError):
            return error if self.is_first else SystemExit(MISTAKE)
        if _is_lost_connection(error):
            return self._end_after_loss(error)
        text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self._announce(text)
        if self.is_first:
            return error
        if self._first_says(text):
            return SystemExit(MISTAKE)
        if isinstance(error, UserError):
            return UserError(f"On rank {self.rank} ({socket.gethostname()}): {error}")
        return error

    def leave(self, seconds: float) -> None:
        """Part from the others. Rank 0 goes last: the store may live in its process.

        Args:
            seconds: How long it waits for them at most.
        """
        assert self._store is not None
        deadline = time.monotonic() + seconds
        try:
            gone = self._store.add("gone", 1)
            while self.is_first and gone < self.count and time.monotonic() < deadline:
                time.sleep(0.02)
                gone = self._store.add("gone", 0)
        except RuntimeError:
            return

    def _end_after_loss(self, error: BaseException) -> BaseException:
        """End because a rank is gone: it has said why, or was killed, and then one rank speaks."""
        failure = self._wait_for_failure(GRACE_S)
        if failure is not None:
            return RankError(failure) if self.is_first else SystemExit(MISTAKE)
        return (
            RankError(_describe_loss(error)) if self._comes_first("said") else SystemExit(MISTAKE)
        )

    def _next_key(self) -> str:
        self._calls += 1
        return f"call {self._calls}"

    def _put(self, key: str, value: Any) -> None:
        assert self._store is not None
        self._store.set(key, json.dumps(value))

    def _get(self, key: str) -> Any:
        """The value at `key` as a list of one, or None where there is none yet."""
        assert self._store is not None
        return [json.loads(self._store.get(key))] if self._store.check([key]) else None

    def _await(self, key: str) -> Any:
        pause = 0.005
        while True:
            found = self._get(key)
            if found is not None:
                return found[0]
            failure = self._failure()
            if failure is not None:
                raise RankError(failure)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _announce(self, text: str) -> None:
        try:
            if self.is_first:
                self._put(f"{FAILURE} of 0", text)
            if self._comes_first("announced"):
                self._put(FAILURE, {"rank": self.rank, "text": text})
        except RuntimeError:
            return

    def _failure(self) -> str | None:
        """What the first rank that failed said, if one did."""
        found = self._get(FAILURE)
        if found is None or found[0]["rank"] == self.rank:
            return None
        return f"Rank {found[0]['rank']} failed, so the run has ended: {found[0]['text']}"

    def _wait_for_failure(self, seconds: float) -> str | None:
        deadline = time.monotonic() + seconds
        try:
            while (failure := self._failure()) is None and time.monotonic() < deadline:
                time.sleep(0.05)
        except RuntimeError:
            return None
        return failure

    def _first_says(self, text: str) -> bool:
        """Whether rank 0 ends with the same words, which then need no second voice."""
        deadline = time.monotonic() + GRACE_S
        try:
            while (said := self._get(f"{FAILURE} of 0")) is None and time.monotonic() < deadline:
                time.sleep(0.05)
        except RuntimeError:
            return False
        return said is not None and said[0] == text

    def _comes_first(self, what: str) -> bool:
        assert self._store is not None
        try:
            return self._store.add(what, 1) == 1
        except RuntimeError:
            return True

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """A block in which a failure elsewhere ends this process, even inside a collective.

        A collective of NCCL cannot be interrupted from Python: the process that waits in it
        has to end.
        """
        done = threading.Event()

        def watch() -> None:
            while not done.wait(WATCH_S):
                try:
                    failure = self._failure()
                except RuntimeError:
                    return
                if failure is None:
                    continue
                # The collective may find out by itself, and then ends in good order.
                if not done.wait(2 * GRACE_S):
                    if self.is_first:
                        sys.stderr.write(f"Error: {failure}\n")
                        sys.stderr.flush()
                    os._exit(MISTAKE)

        thread = threading.Thread(target=watch, name="ranks", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@contextmanager
def open_ranks() -> Iterator[Ranks]:
    """A block of one process of a run, as `torchrun` started it; without it, the only one.

    Raises:
        UserError: The environment names ranks that cannot meet.
        RankError: Another rank failed or is gone.
    """
    ranks = _meet()
    if not ranks.are_many:
        yield ranks
        return
    try:
        with _quiet_unless_first(ranks):
            yield ranks
    except BaseException as error:
        end = ranks.end(error)
        if not isinstance(end, RankError):
            ranks.leave(GRACE_S)
        raise end from error
    ranks.leave(PARTING_S)


@contextmanager
def _quiet_unless_first(ranks: Ranks) -> Iterator[None]:
    """A block in which warnings are those of rank 0."""
    logger = logging.getLogger("soundwright")
    before = logger.level
    if not ranks.is_first:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _meet() -> Ranks:
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Ranks()
    missing = [name for name in VARIABLES if name not in os.environ]
    if missing:
        raise UserError(
            f"WORLD_SIZE says that this is one of several processes, but {', '.join(missing)} "
            "is not set.",
            change="Start them with torchrun, or unset WORLD_SIZE.",
        )
    if not distributed.is_available():
        raise UserError("This build of torch has no torch.distributed.", expected="one process")
    from torch.distributed.rendezvous import rendezvous

    try:
        store, rank, count = next(iter(rendezvous("env://")))
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"The ranks cannot meet at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: "
            f"{str(error).splitlines()[0]}",
            change="Check that all machines reach that address, and that all ranks were started.",
        ) from error
    return Ranks(rank, count, int(os.environ["LOCAL_RANK"]), store)


def _is_lost_connection(error: BaseException) -> bool:
    """Whether a collective failed because a rank is gone; gloo has no error class of its own."""
    if not isinstance(error, RuntimeError):
        return False
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def _describe_loss(error: BaseException) -> str:
    reason = str(error).strip().splitlines()
    said = f" ({reason[0][:200]})" if reason else ""
    return (
        f"Another rank has ended or does not answer any more{said}.\n"
        "  to mend:  Look at the end of its output; the system may have killed it for memory. "
        "Resume with --resume."
    )
