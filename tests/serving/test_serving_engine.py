"""The engine with workers that do as they are told: every way in which a job can end."""

import sqlite3
import threading

import pytest
from scripted import (
    Bench,
    FullShelf,
    Gate,
    Scripted,
    break_down,
    describe,
    die,
    hang,
    make,
    make_one,
    plan,
    refuse,
    tone,
    wait_for,
)

from soundwright.serving import crew
from soundwright.serving.batches import Made, Progress, Refused
from soundwright.serving.crew import MOST_ATTEMPTS
from soundwright.serving.jobs import Asked, Problem
from soundwright.serving.queueing import ClosedError, FullError
from soundwright.serving.store import Store
from soundwright.serving.workers import LostError


@pytest.fixture
def bench(tmp_path):
    """Makes benches on the test's folder; closes them."""
    made = []

    def make_bench(*workers, **how):
        made.append(Bench(tmp_path, *workers, **how))
        return made[-1]

    yield make_bench
    for one in made:
        one.close()


@pytest.fixture
def held(bench):
    """A bench whose worker waits at a gate, with the gate."""
    gate = Gate()
    return bench(Scripted(gate), gather=0.0), gate


def finished(one, state):
    return one.count(f'soundwright_jobs_total{{state="{state}"}}')


def test_a_job_is_done_with_the_sounds_that_its_worker_made(bench):
    one = bench(Scripted())
    job = one.end(one.ask("rain", "wind", seed=3, format="flac"))
    assert (job.state, job.attempts, job.problem) == ("done", 1, None)
    for number, sound in enumerate(job.sounds):
        content = one.content(job.id, number, "flac")
        assert content == tone(3 + number, suffix=".flac")
        assert (sound.size, sound.described["seed"]) == (len(content), 3 + number)
    assert finished(one, "done") == 1
    assert one.engine.lives.get(job.id) is None


def test_requests_that_wait_together_are_made_together(held):
    one, gate = held
    first = one.ask("first")
    gate.reached.wait()
    jobs = [one.ask(f"sound {number}", format=kind) for number, kind in enumerate(("wav", "flac"))]
    other = one.ask("another length", settings={"duration": 0.25})
    assert [one.engine.queue.position(job) for job in (*jobs, other)] == [0, 1, 2]
    gate.opened.set()
    one.end(first, *jobs, other)
    [worker] = one.workers
    assert worker.prompts == [["first"], ["sound 0", "sound 1"], ["another length"]]
    assert one.content(jobs[1], 0, "flac") == tone(0, suffix=".flac")


def test_a_job_larger_than_a_batch_is_one_attempt_however_many_batches_it_takes(bench):
    one = bench(Scripted(), batch=2)
    job = one.end(one.ask(*"abcdefghi"))
    assert (job.state, len(job.sounds)) == ("done", 9)
    assert job.attempts <= 1
    assert finished(one, "done") == 1


def test_a_long_job_survives_more_restarts_than_a_deadly_one(tmp_path):
    for _ in range(MOST_ATTEMPTS + 1):
        one = Bench(tmp_path, Scripted(make, hang), batch=1, grace=0.05)
        job = one.store.unfinished()[0].id if one.store.unfinished() else one.ask(*"abcdefghi")
        wait_for(lambda one=one: len(one.workers[0].batches) == 2)
        one.close()
    last = Bench(tmp_path, Scripted(), batch=1)
    ended = last.end(job)
    last.close()
    assert ended.state == "done"
    assert [sound.done for sound in ended.sounds] == [True] * 9


def test_a_refused_batch_fails_with_the_reason_and_the_next_one_is_made(bench):
    one = bench(Scripted(refuse, make))
    failed, made = one.end(one.ask("a")), one.end(one.ask("b"))
    assert (failed.state, failed.problem.message) == ("failed", "This cannot be made.")
    assert made.state == "done"
    assert finished(one, "failed") == 1


def test_a_sound_that_cannot_be_written_spares_the_others_of_its_batch(held):
    one, gate = held

    def refuse_first(batch, tell, is_stopped):
        tell(Refused(Problem(type="invalid", message="No such file."), 0))
        tell(Made(1, tone(1), describe(batch, batch.items[1])))

    one.ask("first")
    gate.reached.wait()
    jobs = [one.ask(prompt) for prompt in "ab"]
    one.workers[0].acts = [gate, refuse_first]
    gate.opened.set()
    bad, good = one.end(*jobs)
    assert (bad.state, bad.problem.message) == ("failed", "No such file.")
    assert (good.state, one.content(good.id)) == ("done", tone(1))


def test_a_worker_that_died_is_tried_again_with_each_sound_alone(held):
    one, gate = held
    first = one.ask("first")
    gate.reached.wait()
    [worker] = one.workers
    jobs = [one.ask(prompt, seed=number) for number, prompt in enumerate("abc")]
    worker.acts = [gate, die, make]
    gate.opened.set()
    for number, job in enumerate(one.end(*jobs)):
        assert (job.state, one.content(job.id)) == ("done", tone(number))
    assert worker.prompts == [["first"], ["a", "b", "c"], ["a"], ["b"], ["c"]]
    assert one.state(first) == "done"
    assert one.count("soundwright_lost_workers_total") == 1


def test_the_sound_that_kills_workers_is_given_up_and_its_neighbours_are_made(held):
    one, gate = held

    def poisonous(batch, tell, is_stopped):
        (die if "poison" in [item.prompt for item in batch.items] else make)(
            batch, tell, is_stopped
        )

    one.ask("first")
    gate.reached.wait()
    [worker] = one.workers
    worker.acts = [gate, poisonous]
    jobs = [one.ask(prompt) for prompt in ("good", "poison", "fine")]
    gate.opened.set()
    good, bad, fine = one.end(*jobs)
    assert [job.state for job in (good, bad, fine)] == ["done", "failed", "done"]
    assert bad.problem.type == "worker_lost"
    assert sum("poison" in prompts for prompts in worker.prompts) == MOST_ATTEMPTS
    assert one.engine.queue.position(bad.id) is None
    assert (finished(one, "done"), finished(one, "failed")) == (3, 1)


def test_sounds_that_were_made_before_a_worker_died_are_not_made_again(bench):
    one = bench(Scripted(make_one, make))
    job = one.end(one.ask("a", "b", "c", seed=4))
    assert job.state == "done"
    assert one.workers[0].prompts == [["a", "b", "c"], ["b"], ["c"]]
    assert [one.content(job.id, number) for number in range(3)] == [tone(4), tone(5), tone(6)]


def test_work_that_takes_too_long_is_given_up(bench):
    one = bench(Scripted(hang, make), time_limit=0.1)
    job = one.end(one.ask("a", "b"))
    assert (job.state, job.problem.type) == ("failed", "too_slow")
    assert "--time-limit" in job.problem.change
    assert one.end(one.ask("c")).state == "done"


def test_a_worker_that_must_be_killed_for_its_slowness_is_not_tried_again(bench):
    def die_when_stopped(batch, tell, is_stopped):
        hang(batch, tell, is_stopped)
        raise LostError("the worker ended with signal SIGKILL")

    one = bench(Scripted(die_when_stopped, make), time_limit=0.1)
    job = one.end(one.ask("a"))
    assert (job.state, job.problem.type) == ("failed", "too_slow")
    assert len(one.workers[0].batches) == 1


def test_a_waiting_job_that_is_cancelled_is_never_begun(held):
    one, gate = held
    first = one.ask("first")
    gate.reached.wait()
    job = one.ask("a", "b")
    assert one.engine.cancel(job)
    assert not one.engine.cancel(job)
    assert one.engine.queue.position(job) is None
    gate.opened.set()
    last = one.end(first, one.ask("last"))[1]
    assert last.state == "done"
    assert one.workers[0].prompts == [["first"], ["last"]]
    assert (one.state(job), finished(one, "cancelled")) == ("cancelled", 1)


def test_a_running_job_that_is_cancelled_is_stopped(bench):
    worker = Scripted(hang, make)
    one = bench(worker)
    job = one.ask("a")
    wait_for(lambda: worker.batches)
    assert one.engine.cancel(job)
    assert one.end(one.ask("b")).state == "done"
    assert one.state(job) == "cancelled"
    assert not one.shelf.place(job, 0, "wav").exists()


def test_of_a_batch_only_the_cancelled_job_is_dropped(held):
    one, gate = held
    one.ask("first")
    gate.reached.wait()
    second = Gate()
    [worker] = one.workers
    worker.acts = [gate, second]
    jobs = [one.ask(prompt, seed=number) for number, prompt in enumerate("abc")]
    gate.opened.set()
    second.reached.wait()
    assert one.engine.cancel(jobs[1])
    second.opened.set()
    one.end(*jobs)
    assert [one.state(job) for job in jobs] == ["done", "cancelled", "done"]
    assert [one.shelf.place(job, 0, "wav").exists() for job in jobs] == [True, False, True]
    assert one.content(jobs[2]) == tone(2)
    # What the batch went on to tell of it is remembered nowhere.
    assert [one.engine.lives.get(job) for job in jobs] == [None] * 3
    assert (finished(one, "done"), finished(one, "cancelled")) == (3, 1)


def test_a_job_that_is_removed_while_it_is_made_leaves_nothing(held):
    one, gate = held
    job = one.ask("a")
    gate.reached.wait()
    assert one.engine.forget(job)
    assert not one.engine.forget(job)
    gate.opened.set()
    assert one.end(one.ask("b")).state == "done"
    assert one.store.find(job) is None
    assert not one.shelf.place(job, 0, "wav").parent.exists()


def test_a_full_disk_fails_that_job_only_and_tells_no_path(tmp_path, bench):
    shelf = FullShelf(tmp_path)
    one = bench(Scripted(), shelf=shelf)
    job = one.end(one.ask("a", "b"))
    assert (job.state, job.problem.type) == ("failed", "disk_full")
    assert str(tmp_path) not in job.problem.model_dump_json()
    shelf.full = False
    assert one.end(one.ask("c")).state == "done"
    assert (finished(one, "failed"), finished(one, "done")) == (1, 1)


def test_a_job_that_failed_half_way_is_told_once(tmp_path, bench):
    class FullOnce(FullShelf):
        def put(self, job, number, suffix, content):
            self.full = number == 0
            super().put(job, number, suffix, content)

    one = bench(Scripted(), shelf=FullOnce(tmp_path))
    job = one.end(one.ask("a", "b", "c"))
    assert one.end(one.ask("last", seed=1)).state == "failed"
    assert one.state(job.id) == "failed"
    assert finished(one, "failed") == 2


def test_a_store_that_cannot_be_written_for_a_while_costs_no_job(tmp_path, bench, monkeypatch):
    monkeypatch.setattr(crew, "PAUSE_S", 0.01)
    faults = {"begin": 2, "add_sound": 2}

    class Full(Store):
        def begin(self, identities):
            self._fail("begin")
            return super().begin(identities)

        def add_sound(self, *given):
            self._fail("add_sound")
            return super().add_sound(*given)

        def _fail(self, what):
            if faults[what]:
                faults[what] -= 1
                raise sqlite3.OperationalError("database or disk is full")

    one = bench(Scripted(), store=Full(tmp_path))
    job = one.end(one.ask("a", "b", seed=5))
    assert job.state == "done"
    assert job.attempts <= 1
    assert [one.content(job.id, number) for number in range(2)] == [tone(5), tone(6)]
    assert faults == {"begin": 0, "add_sound": 0}
    assert finished(one, "done") == 1


def test_a_bug_in_a_worker_fails_its_batch_and_stops_nobody(bench):
    one = bench(Scripted(break_down, make))
    job = one.end(one.ask("a"))
    assert (job.state, job.problem.type) == ("failed", "internal")
    assert "bug" not in job.problem.model_dump_json()
    assert one.end(one.ask("b")).state == "done"


def test_a_worker_that_forgets_a_sound_does_not_let_it_wait_for_ever(bench):
    def forget_second(batch, tell, is_stopped):
        tell(Made(0, tone(0), describe(batch, batch.items[0])))

    one = bench(Scripted(forget_second))
    job = one.end(one.ask("a", "b"))
    assert (job.state, job.problem.type) == ("failed", "internal")
    assert [sound.done for sound in job.sounds] == [True, False]


def test_two_workers_share_a_job_and_finish_it_once(bench):
    gates = Gate(), Gate()
    one = bench(*(Scripted(gate, make) for gate in gates), batch=2, gather=0.0)
    job = one.ask(*"abcd", seed=1)
    for gate in gates:
        gate.reached.wait()
    assert one.engine.queue.position(job) is None
    for gate in gates:
        gate.opened.set()
    ended = one.end(job)
    assert (ended.state, finished(one, "done")) == ("done", 1)
    assert [one.content(job, number) for number in range(4)] == [tone(seed) for seed in range(1, 5)]


def test_more_than_the_queue_holds_is_refused_and_leaves_nothing(held):
    one, gate = held
    one.ask("first")
    gate.reached.wait()
    room = one.config.queue
    one.ask(*map(str, range(room)))
    with pytest.raises(FullError):
        one.ask("one more")
    assert len(one.store.list(100)[0]) == 2
    gate.opened.set()
    one.end(*(job.id for job in one.store.list(100)[0]))


def test_work_that_is_done_within_the_grace_is_not_done_twice(tmp_path):
    gate = Gate()
    one = Bench(tmp_path, Scripted(gate), grace=30.0)
    job = one.ask("a")
    gate.reached.wait()
    closing = threading.Thread(target=one.engine.close)
    closing.start()
    wait_for(lambda: is_closed(one.engine.queue))
    with pytest.raises(ClosedError):
        one.ask("too late")
    gate.opened.set()
    closing.join()
    assert one.state(job) == "done"
    assert one.store.unfinished() == []
    one.store.close()


def test_what_was_not_done_at_the_end_is_done_by_the_next_server(tmp_path):
    one = Bench(tmp_path, Scripted(make_one_and_hang), batch=3, grace=0.05)
    running, waiting = one.ask("a", "b", "c", seed=3), one.ask("d")
    wait_for(lambda: one.store.find(running).sounds[0].done)
    one.close()
    store = Store(tmp_path)
    left = {job.id: job for job in store.unfinished()}
    assert [job.state for job in left.values()] == ["waiting"] * 2
    assert [sound.done for sound in left[running].sounds] == [True, False, False]
    worker = Scripted()
    again = Bench(tmp_path, worker, store=store)
    ended = again.end(running, waiting)
    assert [job.state for job in ended] == ["done"] * 2
    assert sorted(worker.all_prompts) == ["b", "c", "d"]
    assert [again.content(running, number) for number in range(3)] == [tone(3), tone(4), tone(5)]
    again.close()


def test_after_a_crash_what_was_running_is_taken_up_where_it_was(tmp_path, bench):
    left = bench(start=False)
    half, whole, lost, stream = (
        left.ask("a", "b", seed=1), left.ask("c"), left.ask("d"), left.ask("e", stream=True),
    )  # fmt: skip
    left.store.begin([half, lost, stream])
    left.store.add_sound(half, 0, 10, {"seed": 1})
    # The next sound's file was there, and the server died before it could say so.
    left.shelf.put(half, 1, "wav", b"half a file")
    for _ in range(MOST_ATTEMPTS - 1):
        left.store.begin([lost])
    worker = Scripted()
    again = bench(worker, store=Store(tmp_path))
    ended = again.end(half, whole, lost, stream)
    assert [job.state for job in ended] == ["done", "done", "failed", "failed"]
    assert [job.problem.type for job in ended[2:]] == ["worker_lost"] * 2
    assert sorted(worker.all_prompts) == ["b", "c"]
    assert again.content(half, 1) == tone(2)
    assert ended[0].sounds[0].size == 10


def test_a_stream_is_told_piece_by_piece_and_kept_whole(bench):
    one = bench(Scripted())
    [(job, live)] = one.engine.submit([Asked({}, *stream_of("rain", 5))])
    ended = one.end(job.id)
    assert ended.state == "done"
    assert live.whole
    assert len(live.pieces) > 1
    assert b"".join(live.pieces) == one.content(job.id) == tone(5)
    assert ended.sounds[0].size == len(tone(5))


def test_a_stream_whose_worker_dies_fails_since_it_was_heard_already(bench):
    def die_late(batch, tell, is_stopped):
        make(batch, lambda message: None if isinstance(message, Made) else tell(message), bool)
        raise LostError("gone")

    worker = Scripted(die_late, make)
    one = bench(worker)
    [(job, live)] = one.engine.submit([Asked({}, *stream_of("rain", 5))])
    ended = one.end(job.id)
    assert (ended.state, ended.problem.type) == ("failed", "worker_lost")
    assert live.whole
    assert len(worker.batches) == 1
    assert not one.shelf.place(job.id, 0, "wav").exists()


def test_a_sound_to_continue_reaches_the_worker_or_the_job_fails(bench):
    worker = Scripted()
    one = bench(worker)
    digest = one.shelf.put_upload("upload-1", b"a sound")
    given = one.end(one.ask("a", beginning="upload-1", beginning_hash=digest))
    assert (given.state, worker.batches[0].beginning) == ("done", b"a sound")
    source = one.end(one.ask("b", format="flac"))
    content = one.content(source.id, 0, "flac")
    digest = one.shelf.put_upload("upload-2", content)
    made = one.end(one.ask("c", beginning=f"{source.id}/0", beginning_hash=digest))
    assert (made.state, worker.batches[-1].beginning) == ("done", content)
    changed = one.end(one.ask("d", beginning="upload-1", beginning_hash="0" * 64))
    assert (changed.state, changed.problem.type) == ("failed", "invalid")
    one.shelf.remove_upload("upload-1")
    gone = one.end(one.ask("e", beginning="upload-1", beginning_hash=digest))
    assert "not kept any more" in gone.problem.message
    assert str(one.config.state) not in gone.problem.model_dump_json()


def test_progress_counts_what_is_done_also_after_a_worker_died(bench):
    told = threading.Event()
    go_on = threading.Event()

    def half_way(batch, tell, is_stopped):
        tell(Progress(0.5))
        told.set()
        go_on.wait()
        make(batch, tell, is_stopped)

    one = bench(Scripted(make_one, half_way))
    job = one.ask("a", "b")
    told.wait()
    done = [sound.done for sound in one.store.find(job).sounds]
    assert done == [True, False]
    assert one.engine.lives.share(job, done) == 0.75
    go_on.set()
    one.end(job)


@pytest.mark.parametrize(
    "fault", [Problem(type="unavailable", message="No weights."), RuntimeError("a bug")]
)
def test_a_model_that_cannot_be_loaded_is_told_and_the_worker_goes_on(bench, fault):
    one = bench(Scripted(fault=fault))
    wait_for(lambda: "bundled" in one.engine.models)
    problem = one.engine.models["bundled"]
    assert problem.type == "unavailable"
    assert "a bug" not in problem.message
    assert one.end(one.ask("rain", model="other")).state == "done"


def test_a_worker_that_dies_while_it_loads_is_begun_again(bench):
    class Frail(Scripted):
        tries = 0

        def load(self, model):
            self.tries += 1
            if self.tries < MOST_ATTEMPTS:
                raise LostError("the worker ended with signal SIGKILL")

    worker = Frail()
    one = bench(worker)
    wait_for(lambda: "bundled" in one.engine.models)
    assert (one.engine.models, worker.tries) == ({"bundled": None}, MOST_ATTEMPTS)
    hopeless = bench(Scripted(fault=LostError("signal SIGKILL")))
    wait_for(lambda: "bundled" in hopeless.engine.models)
    assert "SIGKILL" in hopeless.engine.models["bundled"].message


def test_a_model_that_fails_later_is_unavailable_from_then_on(bench):
    def fail(batch, tell, is_stopped):
        tell(Refused(Problem(type="unavailable", message="No weights.")))

    one = bench(Scripted(fail))
    assert one.end(one.ask("rain", model="other")).problem.message == "No weights."
    assert one.engine.models["other"].message == "No weights."


def test_a_sweep_removes_files_and_keeps_favourites(bench):
    one = bench(Scripted(), keep_bytes=1, keep_days=1.0)
    loved, plain = one.ask("a"), one.ask("b")
    one.end(loved, plain)
    one.store.mark(loved, 0, True)
    one.shelf.put_upload("upload-1", b"abc")
    one.store.add_upload({}, "0", 3, "upload-1")
    assert one.engine.sweep() == 2
    assert one.engine.sweep() == 0
    assert [one.state(job) for job in (loved, plain)] == ["done", "expired"]
    assert one.content(loved) == tone(0)
    assert not one.shelf.place(plain, 0, "wav").parent.exists()
    assert not one.shelf.place_upload("upload-1").exists()


def make_one_and_hang(batch, tell, is_stopped):
    [first, *_] = batch.items
    tell(Made(0, tone(first.seed), describe(batch, first)))
    hang(batch, tell, is_stopped)


def is_closed(queue):
    try:
        with queue.room(0):
            pass
    except ClosedError:
        return True
    return False


def stream_of(prompt, seed):
    return plan(stream=True), [(prompt, seed)]
