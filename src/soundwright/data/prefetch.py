"""Work computed ahead in threads or processes, and handed out in order."""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from typing import Any, Generic, Literal, TypeVar

import torch

from soundwright.core.protocols import Batches, BatchOut

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD_PER_WORKER = 2
_worker_batches: Batches[Any] | None = None
"""The batches of this process, where it is a worker of `prefetch`."""


def compute_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Generator[Result]:
    """Yield `function(item)` for every item, in order, computed ahead by threads.

    An exception is raised where its item's turn comes; nothing after it is yielded. Closing the
    generator, or leaving it through an exception, cancels what has not begun.

    Args:
        function: Safe to be called from several threads at once.
        items: May be endless; it is read only as far as the threads work ahead.
        workers: Number of threads; 0 computes in the caller's.
    """
    if workers == 0:
        yield from map(function, items)
        return
    yield from _drain(ThreadPoolExecutor(workers, "ahead"), function, items, workers)


def prefetch(
    batches: Batches[BatchOut],
    start: int = 0,
    workers: int = 2,
    *,
    mode: Literal["threads", "processes"] = "threads",
) -> Generator[BatchOut]:
    """Yield batches `start`, `start + 1`, ... without end, computed ahead.

    The batches are those of `batches[index]`, whatever the number of workers. Close the
    generator when done (it closes itself when an exception or Ctrl-C passes through it).

    Args:
        batches: A pure function of the index. Processes need it to be picklable, since they are
            spawned on every platform; a script then needs its `if __name__ == "__main__"`.
        start: Number of the first batch.
        workers: Number of threads or processes; 0 computes in the caller's thread.
        mode: Threads suit decoding, which releases the lock; processes suit transforms written
            in Python.

    Raises:
        RuntimeError: A worker process died.
    """
    numbers = itertools.count(start)
    if workers == 0 or mode == "threads":
        yield from compute_in_order(batches.__getitem__, numbers, workers=workers)
        return
    executor = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(pickle.dumps(batches),),
    )
    try:
        with closing(_drain(executor, _compute_batch, numbers, workers)) as packed:
            for content in packed:
                yield pickle.loads(content)
    except BrokenProcessPool as error:
        raise RuntimeError(
            "A process that prepares batches died; the system may have run out of memory. "
            "Use fewer workers, or threads."
        ) from error


class PrefetchedBatches(Generic[BatchOut]):
    """`Batches` that are asked for one after another, computed ahead.

    Asking for another index than the next one is right too, only slower.

    Args:
        batches: Where they come from.
        workers: As in `prefetch`.
        mode: As in `prefetch`.
    """

    def __init__(
        self,
        batches: Batches[BatchOut],
        workers: int = 2,
        *,
        mode: Literal["threads", "processes"] = "threads",
    ) -> None:
        self._batches, self._workers = batches, workers
        self._mode: Literal["threads", "processes"] = mode
        self._next: int | None = None
        self._ahead: Generator[BatchOut] | None = None

    def __getitem__(self, index: int) -> BatchOut:
        """Batch `index`."""
        if self._ahead is None or index != self._next:
            self.close()
            self._ahead = prefetch(self._batches, index, self._workers, mode=self._mode)
        self._next = index + 1
        try:
            return next(self._ahead)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop working ahead; a later index starts again."""
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = self._next = None


def _drain(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result]:
    source: Iterator[Item] = iter(items)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in itertools.islice(source, workers * AHEAD_PER_WORKER):
            waiting.append(executor.submit(function, item))
        while waiting:
            result = waiting.popleft().result()
            for item in itertools.islice(source, 1):
                waiting.append(executor.submit(function, item))
            yield result
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _start_worker(pickled: bytes) -> None:
    """Prepare a worker process: the parent alone answers Ctrl-C, and each uses one core."""
    global _worker_batches
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _worker_batches = pickle.loads(pickled)


def _compute_batch(index: int) -> bytes:
    # Plain pickling copies the tensors; torch's own sharing would tie them to the worker's life.
    assert _worker_batches is not None
    return pickle.dumps(_worker_batches[index], protocol=pickle.HIGHEST_PROTOCOL)
