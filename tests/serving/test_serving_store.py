"""The store: what was accepted is there, whatever happens, until its time has come."""

import sqlite3
import threading

import numpy as np
import pytest
from scripted import plan

from soundwright.core.errors import UserError
from soundwright.serving.jobs import FINAL, Asked, Problem
from soundwright.serving.store import STORE_NAME, VERSION, Store

GONE = "job-00000000000000000000"


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    yield store
    store.close()


def accept(store, *prompts, **changes):
    items = [(prompt, 7 + number) for number, prompt in enumerate(prompts or ("rain",))]
    [job] = store.accept([Asked({"prompt": "rain"}, plan(**changes), items)])
    return job.id


def finish(store, job, size=100):
    store.begin([job])
    for sound in store.find(job).sounds:
        store.add_sound(job, sound.number, size, {"seed": sound.seed})


def age(store, job, days, column="finished_at"):
    """Let a job, or an upload, have ended so many days ago."""
    table = "jobs" if column == "finished_at" else "uploads"
    with sqlite3.connect(store.path) as database:
        database.execute(
            f"UPDATE {table} SET {column} = strftime('%Y-%m-%dT%H:%M:%S.000+00:00', 'now', ?)"
            " WHERE id = ?",
            (f"-{days} days", job),
        )
    database.close()


def test_a_job_is_found_as_it_was_accepted_also_after_reopening(tmp_path):
    first = Store(tmp_path)
    wanted = plan(negative="wind", loop=True, best_of=3, format="flac", settings={"top_k": 5})
    request = {"prompt": "rain", "seed": 7, "Ü": "ü"}
    items = [("rain", 7), ('"; DROP TABLE jobs; --\n', 2**53 - 1)]
    [before, job] = first.accept([Asked({}, plan(), [("sea", 1)]), Asked(request, wanted, items)])
    first.close()
    again = Store(tmp_path)
    found = again.find(job.id)
    assert again.find(before.id) == before
    again.close()
    assert found == job
    assert (found.request, found.plan, found.state, found.attempts) == (
        request, wanted, "waiting", 0,
    )  # fmt: skip
    assert [(sound.prompt, sound.seed) for sound in found.sounds] == [
        ("rain", 7),
        ('"; DROP TABLE jobs; --\n', 2**53 - 1),
    ]
    assert not any(sound.done for sound in found.sounds)


def test_there_is_nothing_where_nothing_was_accepted(store):
    assert store.find(GONE) is None
    assert store.find_upload("upload-x") is None
    assert store.list(10) == ([], False)
    assert store.begin([GONE]) == set()
    assert store.add_sound(GONE, 0, 1, {}) is None
    assert not store.end(GONE, "failed")
    assert not store.remove(GONE)
    assert not store.mark(GONE, 0, True)


def test_lists_go_from_new_to_old_page_by_page(store):
    jobs = [accept(store) for _ in range(5)][::-1]
    seen, before, more = [], None, True
    while more:
        page, more = store.list(2, before)
        seen += [job.id for job in page]
        before = seen[-1]
    assert seen == jobs
    whole, more = store.list(5)
    assert ([job.id for job in whole], more) == (jobs, False)
    store.remove(jobs[2])
    assert [job.id for job in store.list(9)[0]] == [*jobs[:2], *jobs[3:]]


def test_favourites_are_listed_alone_until_they_are_none(store):
    plain, loved, other = accept(store), accept(store, "a", "b"), accept(store)
    assert store.mark(loved, 1, True)
    assert store.mark(other, 0, True)
    assert not store.mark(plain, 5, True)
    page, more = store.list(1, None, True)
    assert ([job.id for job in page], more) == ([other], True)
    page, more = store.list(5, other, True)
    assert ([job.id for job in page], more) == ([loved], False)
    assert [sound.favourite for sound in page[0].sounds] == [False, True]
    store.mark(loved, 1, False)
    store.mark(other, 0, False)
    assert store.list(5, None, True) == ([], False)


def test_a_job_is_done_with_its_last_sound(store):
    job = accept(store, "a", "b")
    assert store.begin([job]) == {job}
    assert store.add_sound(job, 1, 10, {"seed": 8, "duration": 0.5}) == "running"
    assert store.find(job).finished_at is None
    assert store.add_sound(job, 0, 20, {"seed": 7}) == "done"
    whole = store.find(job)
    assert (whole.state, [sound.size for sound in whole.sounds]) == ("done", [20, 10])
    assert whole.sounds[1].described == {"seed": 8, "duration": 0.5}
    assert whole.finished_at >= whole.created_at


@pytest.mark.parametrize("state", FINAL)
def test_what_has_ended_stays_as_it_is(store, state):
    job = accept(store)
    if state == "done":
        finish(store, job)
    else:
        assert store.end(job, state, Problem(type="x", message="why"))
    before = store.find(job)
    assert before.state == state
    assert store.begin([job]) == set()
    store.put_back([job])
    store.forgive([job])
    for other in FINAL:
        assert not store.end(job, other)
    assert store.find(job) == before
    assert store.unfinished() == []


def test_attempts_are_counted_until_they_are_forgiven(store):
    jobs = [accept(store) for _ in range(2)]
    assert store.begin([*jobs, GONE]) == set(jobs)
    store.begin(jobs)
    store.put_back(jobs)
    assert [(job.state, job.attempts) for job in store.unfinished()] == [("waiting", 2)] * 2
    store.forgive(jobs[:1])
    assert [job.attempts for job in store.unfinished()] == [1, 2]
    store.forgive([])
    assert [job.id for job in store.unfinished()] == jobs


def test_old_results_expire_and_favourites_do_not(store):
    old, loved, new, failed, waiting = [accept(store) for _ in range(5)]
    for job in (old, loved, new):
        finish(store, job)
    store.end(failed, "failed")
    store.mark(loved, 0, True)
    for job in (old, loved, failed):
        age(store, job, 3)
    assert set(store.expire(2.0, 10**9)) == {old, failed}
    assert [store.find(job).state for job in (old, loved, new, failed, waiting)] == [
        "expired", "done", "done", "expired", "waiting",
    ]  # fmt: skip
    assert store.expire(2.0, 10**9) == []


def test_the_oldest_results_expire_when_all_are_too_large(store):
    loved, first, second, third = [accept(store, "a", "b") for _ in range(4)]
    for job in (loved, first, second, third):
        finish(store, job, size=50)
    store.mark(loved, 1, True)
    empty = accept(store)
    store.end(empty, "cancelled")
    assert store.expire(1.0, 400) == []
    # Of 400 bytes the favourite's 100 stay in any case.
    assert store.expire(1.0, 250) == [first, second]
    assert store.expire(1.0, 1) == [third]
    assert store.find(loved).state == "done"
    assert store.find(empty).state == "cancelled"


def test_a_sound_that_a_waiting_job_begins_with_does_not_expire(store):
    source = accept(store)
    finish(store, source)
    age(store, source, 3)
    job = accept(store, beginning=f"{source}/0", beginning_hash="1")
    assert store.expire(2.0, 1) == []
    store.end(job, "cancelled")
    assert store.expire(2.0, 10**9) == [source]


def test_uploads_expire_unless_a_job_still_needs_them(store):
    for name in ("old", "needed", "first", "second"):
        store.add_upload({"duration": 1.0}, "0" * 64, 100, f"upload-{name}")
    found = store.find_upload("upload-old")
    assert (found.facts, found.hash, found.size) == ({"duration": 1.0}, "0" * 64, 100)
    job = accept(store, beginning="upload-needed", beginning_hash="1")
    accept(store)
    for name, days in (("old", 9), ("needed", 8), ("first", 0.2), ("second", 0.1)):
        age(store, f"upload-{name}", days, "created_at")
    assert store.expire_uploads(7.0, 10**9) == ["upload-old"]
    assert store.expire_uploads(7.0, 250) == ["upload-first"]
    assert store.find_upload("upload-needed") is not None
    finish(store, job)
    assert store.expire_uploads(7.0, 10**9) == ["upload-needed"]
    assert store.find_upload("upload-second") is not None
    assert store.find_upload("upload-old") is None


def test_a_job_that_was_removed_is_gone_with_its_sounds(store):
    job = accept(store, "a", "b")
    assert store.remove(job)
    assert store.find(job) is None
    assert store.add_sound(job, 0, 10, {}) is None
    with sqlite3.connect(store.path) as database:
        assert database.execute("SELECT COUNT(*) FROM sounds").fetchone() == (0,)
    database.close()


def test_many_threads_lose_nothing(store):
    def work():
        for _ in range(5):
            finish(store, accept(store, "a", "b"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs, _ = store.list(100)
    assert [job.state for job in jobs] == ["done"] * 20
    assert sorted((job.order for job in jobs), reverse=True) == [job.order for job in jobs]


def test_a_damaged_database_is_refused(tmp_path):
    store = Store(tmp_path)
    for _ in range(200):
        accept(store)
    store.close()
    path = tmp_path / STORE_NAME
    content = path.read_bytes()
    assert len(content) > 40_000
    for damaged in (
        b"not a database at all" * 400,
        b"x" * 100 + content[100:],
        content[:4096] + np.random.default_rng(0).bytes(len(content) - 4096),
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="cannot be used") as caught:
            Store(tmp_path)
        assert "--state" in caught.value.change
        assert path.read_bytes()[:4096] == damaged[:4096]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path):
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / STORE_NAME) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(UserError, match=f"of format {VERSION + 1}"):
        Store(tmp_path)
    with sqlite3.connect(tmp_path / STORE_NAME) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
    database.close()


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / STORE_NAME).mkdir()
    with pytest.raises(UserError, match="cannot be used"):
        Store(tmp_path)


def test_a_job_that_is_removed_while_it_is_read_is_whole_or_gone(store):
    kept = accept(store, "a", "b")
    ended = threading.Event()
    seen = []

    def read():
        while not ended.is_set():
            jobs, _ = store.list(3)
            again = [store.find(job.id) for job in jobs]
            seen.append({len(job.sounds) for job in (*jobs, *again) if job is not None})

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(100):
        assert store.remove(accept(store, "a", "b"))
    ended.set()
    for reader in readers:
        reader.join()
    assert len(seen) > 2
    assert set().union(*seen) == {2}
    assert store.find(kept) is not None
