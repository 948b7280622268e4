import itertools
import os
import threading
import time
from contextlib import closing

import pytest
import torch

from soundwright.core.protocols import AudioBatch
from soundwright.data.prefetch import PrefetchedBatches, compute_in_order, prefetch


class Numbered:
    """Batches that hold their own index; one of them may be bad."""

    def __init__(self, bad=None, deadly=None):
        self.bad, self.deadly = bad, deadly

    def __getitem__(self, index):
        if index == self.bad:
            raise ValueError(f"batch {index} is bad")
        if index == self.deadly:
            os._exit(9)
        time.sleep(0.002 * (3 - index % 3))
        return AudioBatch(torch.full((1, 1, 4), float(index)), torch.ones(1, 4, dtype=torch.bool))


def indices(batches, count):
    return [int(batch.waveform[0, 0, 0]) for batch in itertools.islice(batches, count)]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_threads_keep_the_order(workers):
    with closing(prefetch(Numbered(), 5, workers)) as batches:
        assert indices(batches, 20) == list(range(5, 25))


@pytest.mark.parametrize("workers", [0, 3])
def test_an_exception_comes_at_its_place(workers):
    batches = prefetch(Numbered(bad=4), 0, workers)
    assert indices(batches, 4) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="batch 4 is bad"):
        next(batches)
    assert list(batches) == []


def test_processes_give_the_same_and_die_loudly():
    with closing(prefetch(Numbered(bad=6), 1, 1, mode="processes")) as batches:
        assert indices(batches, 5) == [1, 2, 3, 4, 5]
        with pytest.raises(ValueError, match="batch 6 is bad"):
            next(batches)
    with (
        closing(prefetch(Numbered(deadly=0), 0, 1, mode="processes")) as batches,
        pytest.raises(RuntimeError, match="died"),
    ):
        next(batches)


def working_threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("ahead")}


def test_closing_stops_the_threads():
    before = working_threads()
    batches = prefetch(Numbered(), 0, 3)
    assert indices(batches, 2) == [0, 1]
    started = working_threads() - before
    assert len(started) == 3
    batches.close()
    for thread in started:
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in started)


def test_an_interrupt_of_the_reader_stops_the_work():
    batches = prefetch(Numbered(), 0, 2)

    def train():
        with closing(batches):
            for batch in batches:
                if int(batch.waveform[0, 0, 0]) == 3:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert list(batches) == []


def test_items_are_read_only_as_far_as_needed():
    read = []

    def items():
        for number in itertools.count():
            read.append(number)
            yield number

    with closing(compute_in_order(lambda number: number * 2, items(), workers=2)) as results:
        assert [next(results) for _ in range(3)] == [0, 2, 4]
    assert len(read) < 10


def test_prefetched_batches_answer_any_index():
    batches = PrefetchedBatches(Numbered(bad=50), workers=2)
    got = [int(batches[index].waveform[0, 0, 0]) for index in (3, 4, 5, 0, 1, 9, 9)]
    assert got == [3, 4, 5, 0, 1, 9, 9]
    with pytest.raises(ValueError):
        batches[50]
    assert int(batches[51].waveform[0, 0, 0]) == 51
    batches.close()
    assert int(batches[2].waveform[0, 0, 0]) == 2
    batches.close()
