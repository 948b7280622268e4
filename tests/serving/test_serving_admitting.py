"""Requests that arrive together: accepted together, and each as if it were alone."""

import asyncio
import sqlite3
import threading

import pytest
from scripted import Bench, Scripted, plan

from soundwright.serving.admitting import Admission
from soundwright.serving.jobs import Asked
from soundwright.serving.queueing import FullError
from soundwright.serving.store import Store


def asked(*prompts):
    return Asked({"prompts": list(prompts)}, plan(), [(prompt, 0) for prompt in prompts])


class Slow:
    """`Engine.submit`, which waits for a sign before each writing, and may fail."""

    def __init__(self, engine):
        self.engine = engine
        self.groups, self.faults = [], {}
        self.entered, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, wanted):
        self.groups.append([one.items[0][0] for one in wanted])
        self.entered.release()
        assert self.go.acquire(timeout=20)
        if len(self.groups) in self.faults:
            raise self.faults[len(self.groups)]
        return self.engine.submit(wanted)

    async def reached(self):
        assert await asyncio.to_thread(self.entered.acquire, timeout=20)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path, Scripted(), start=False, queue=4)
    yield made
    made.engine.close()
    made.store.close()


@pytest.fixture
def slow(bench):
    return Slow(bench.engine)


@pytest.fixture
def admission(slow):
    made = Admission(slow)
    yield made
    slow.go.release(10)
    made.close()


async def during_a_writing(admission, slow, *others):
    """The tasks of "a", whose writing waits for a sign, and of others that came meanwhile."""
    first = asyncio.create_task(admission.admit(asked("a")))
    await slow.reached()
    rest = [asyncio.create_task(admission.admit(asked(one))) for one in others]
    await asyncio.sleep(0)
    return [first, *rest]


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, 60))


def test_what_comes_during_a_writing_is_written_together_and_in_order(bench, slow, admission):
    async def scenario():
        waiting = await during_a_writing(admission, slow, *"bcd")
        slow.go.release(2)
        return await asyncio.gather(*waiting)

    accepted = run(scenario())
    assert slow.groups == [["a"], ["b", "c", "d"]]
    assert [one.job.sounds[0].prompt for one in accepted] == list("abcd")
    assert [bench.store.find(one.job.id) for one in accepted] == [one.job for one in accepted]
    assert [bench.engine.queue.position(one.job.id) for one in accepted] == [0, 1, 2, 3]


def test_who_finds_no_room_is_refused_alone(bench, slow, admission):
    async def scenario():
        slow.go.release(4)
        wanted = [asked("a"), asked("b", "c", "d", "e"), asked("f", "g"), asked("h", "i")]
        return await asyncio.gather(*map(admission.admit, wanted), return_exceptions=True)

    found = run(scenario())
    kinds = [isinstance(one, FullError) for one in found]
    assert kinds == [False, True, False, True]
    assert len(bench.engine.queue) == 3
    jobs, _ = bench.store.list(10)
    assert [job.id for job in jobs] == [found[2].job.id, found[0].job.id]


def test_a_disk_that_takes_nothing_is_told_to_all_and_asked_again_by_the_next(
    bench, slow, admission
):
    slow.faults[2] = sqlite3.OperationalError("database or disk is full")

    async def scenario():
        first, *others = await during_a_writing(admission, slow, *"bc")
        slow.go.release(3)
        refused = await asyncio.gather(*others, return_exceptions=True)
        return await first, refused, await admission.admit(asked("d"))

    first, refused, last = run(scenario())
    assert [type(one) for one in refused] == [sqlite3.OperationalError] * 2
    assert [job.id for job in bench.store.list(10)[0]] == [last.job.id, first.job.id]
    assert len(bench.engine.queue) == 2


def test_what_was_asked_by_who_has_gone_is_made_all_the_same(bench, slow, admission):
    async def scenario():
        gone = asyncio.create_task(admission.admit(asked("a")))
        await slow.reached()
        gone.cancel()
        stays = asyncio.create_task(admission.admit(asked("b")))
        slow.go.release(2)
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await stays

    accepted = run(scenario())
    [newest, oldest], _ = bench.store.list(10)
    assert newest.id == accepted.job.id
    assert oldest.sounds[0].prompt == "a"
    assert len(bench.engine.queue) == 2


def test_who_waits_at_the_end_is_answered(bench, slow, admission):
    async def scenario():
        waiting = [asyncio.create_task(admission.admit(asked(one))) for one in "ab"]
        await slow.reached()
        slow.go.release(2)
        await asyncio.to_thread(admission.close)
        return await asyncio.gather(*waiting)

    assert [one.job.sounds[0].prompt for one in run(scenario())] == ["a", "b"]


def test_nothing_is_written_where_nothing_is_accepted(tmp_path):
    store = Store(tmp_path)
    assert store.accept([]) == []
    assert store.list(10) == ([], False)
    store.close()
