"""The queue: who waits, who comes first, who goes together."""

import threading

import pytest
from scripted import plan, wait_for

from soundwright.serving.batches import Item
from soundwright.serving.queueing import LONGEST_WAIT_S, ClosedError, FullError, Queue


def queue(capacity=64, batch=8, batch_seconds=240.0, gather=0.0):
    return Queue(capacity, batch, batch_seconds, gather)


def items(job, count=1, format="wav"):  # noqa: A002 - as the field is called
    return [Item(job, number, f"{job} {number}", number, format) for number in range(count)]


def names(taken):
    return [f"{item.job}{item.number}" for item in taken[1]]


def test_a_full_queue_refuses_and_says_when_to_come_again():
    waiting = queue(capacity=3)
    waiting.put(plan(settings={"duration": 60.0}), items("a", 2))
    with pytest.raises(FullError) as caught:
        waiting.put(plan(), items("b", 2))
    # 120 s of sound wait, two seconds a second are made; when half is done there is room.
    assert caught.value.retry_after == 30
    assert len(waiting) == 2
    waiting.put(plan(), items("c"))
    with pytest.raises(FullError), waiting.room(1):
        pass


def test_the_time_to_wait_follows_what_was_measured_and_how_many_work():
    waiting = queue(capacity=1)
    waiting.put(plan(settings={"duration": 60.0}, best_of=4), items("a"))

    def told():
        with pytest.raises(FullError) as caught, waiting.room(1):
            pass
        return caught.value.retry_after

    assert told() == 60
    waiting.serve(4)
    assert told() == 15
    for _ in range(100):
        waiting.learn(1000.0, 1.0)
    assert told() == 1
    for _ in range(100):
        waiting.learn(0.0, 1.0)
    assert told() == LONGEST_WAIT_S
    waiting.learn(1.0, 0.0)
    assert told() == LONGEST_WAIT_S


def test_what_was_accepted_before_is_never_refused():
    waiting = queue(capacity=1)
    waiting.put(plan(), items("a", 5), known=True)
    assert len(waiting) == 5
    waiting.put_back(plan(), items("b", 2), alone=False)
    assert names(waiting.take()) == ["b0", "b1", "a0", "a1", "a2", "a3", "a4"]


def test_sounds_go_in_the_order_in_which_they_came():
    waiting = queue(batch=2)
    for job in "abc":
        waiting.put(plan(), items(job, 2 if job == "a" else 1))
    assert [names(waiting.take()) for _ in range(2)] == [["a0", "a1"], ["b0", "c0"]]
    assert len(waiting) == 0


OTHERS = {
    "model": {"model": "other"},
    "hash": {"model_hash": "1" * 16},
    "duration": {"settings": {"duration": 0.6}},
    "guidance": {"settings": {"cfg_scale": 4.0}},
    "negative": {"negative": "wind"},
    "loop": {"loop": True},
    "best of": {"best_of": 2},
    "beginning": {"beginning": "upload-1", "beginning_hash": "2"},
}


def test_what_is_made_alike_goes_together_whatever_its_prompt_seed_and_format():
    waiting = queue()
    for job, kind in (("a", "wav"), ("b", "flac"), ("c", "mp3")):
        waiting.put(plan(format=kind), items(job, format=kind))
    _, taken = waiting.take()
    assert [(item.job, item.format) for item in taken] == [
        ("a", "wav"),
        ("b", "flac"),
        ("c", "mp3"),
    ]


def test_the_same_beginning_under_two_names_goes_together():
    waiting = queue()
    for job in "ab":
        waiting.put(plan(beginning=f"upload-{job}", beginning_hash="1"), items(job))
    assert names(waiting.take()) == ["a0", "b0"]


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_what_is_made_otherwise_goes_alone_and_is_not_overtaken_for_ever(change):
    waiting = queue()
    waiting.put(plan(), items("a"))
    waiting.put(plan(**change), items("b"))
    waiting.put(plan(), items("c"))
    assert names(waiting.take()) == ["a0", "c0"]
    waiting.put(plan(), items("d"))
    given, taken = waiting.take()
    assert ([item.job for item in taken], given) == (["b"], plan(**change))
    assert names(waiting.take()) == ["d0"]


def test_streams_come_before_the_rest_and_alone():
    waiting = queue()
    waiting.put(plan(), items("a"))
    for job in "st":
        waiting.put(plan(stream=True), items(job))
    assert [names(waiting.take()) for _ in range(3)] == [["s0"], ["t0"], ["a0"]]


@pytest.mark.parametrize(
    ("seconds", "best_of", "size"),
    [(10.0, 1, 3), (15.0, 1, 2), (5.0, 3, 2), (31.0, 1, 1), (1.0, 1, 4)],
)
def test_a_batch_holds_only_so_many_sounds_and_so_many_seconds(seconds, best_of, size):
    waiting = queue(batch=4, batch_seconds=30.0)
    waiting.put(plan(settings={"duration": seconds}, best_of=best_of), items("a", 6))
    assert len(waiting.take()[1]) == size


def test_sounds_that_cost_a_worker_are_tried_one_by_one_before_all_others():
    waiting = queue()
    waiting.put(plan(), items("later"))
    waiting.put_back(plan(), items("a", 2), alone=True)
    assert [names(waiting.take()) for _ in range(3)] == [["a0"], ["a1"], ["later0"]]


def test_a_lone_sound_waits_for_company():
    waiting = queue(batch=2, gather=60.0)
    taken = []
    thread = threading.Thread(target=lambda: taken.append(names(waiting.take())))
    thread.start()
    waiting.put(plan(), items("a"))
    waiting.put(plan(settings={"duration": 2.0}), items("other"))
    assert taken == []
    waiting.put(plan(), items("b"))
    thread.join()
    assert taken == [["a0", "b0"]]


@pytest.mark.parametrize("lone", ["stream", "alone"])
def test_what_goes_alone_does_not_wait_for_company(lone):
    waiting = queue(gather=600.0)
    if lone == "stream":
        waiting.put(plan(stream=True), items("a"))
    else:
        waiting.put_back(plan(), items("a"), alone=True)
    assert names(waiting.take()) == ["a0"]


def test_a_lone_sound_goes_when_nobody_comes():
    waiting = queue(gather=0.01)
    waiting.put(plan(), items("a"))
    assert names(waiting.take()) == ["a0"]


def test_positions_count_the_sounds_before_and_dropped_jobs_are_gone():
    waiting = queue(batch=1)
    waiting.put(plan(), items("a", 2))
    waiting.put(plan(), items("b", 3))
    waiting.put(plan(), items("c"))
    assert [waiting.position(job) for job in "abcd"] == [0, 2, 5, None]
    waiting.take()
    assert [waiting.position(job) for job in "abc"] == [0, 1, 4]
    assert (waiting.drop("b"), waiting.drop("b")) == (3, 0)
    assert [waiting.position(job) for job in "abc"] == [0, None, 1]


def test_a_closed_queue_takes_nothing_and_gives_nothing():
    waiting = queue()
    taken = []
    threads = [threading.Thread(target=lambda: taken.append(waiting.take())) for _ in range(3)]
    for thread in threads:
        thread.start()
    waiting.close()
    for thread in threads:
        thread.join()
    assert taken == [None] * 3
    for call in (lambda: waiting.put(plan(), items("a")), lambda: waiting.room(1).__enter__()):
        with pytest.raises(ClosedError):
            call()
    waiting.put_back(plan(), items("a"), alone=False)
    assert waiting.take() is None


def test_every_sound_is_given_out_once_however_many_ask():
    waiting = queue(capacity=1000, batch=3)
    found, lock = [], threading.Lock()

    def work():
        while (taken := waiting.take()) is not None:
            with lock:
                found.extend(names(taken))

    workers = [threading.Thread(target=work) for _ in range(4)]
    clients = [
        threading.Thread(target=waiting.put, args=(plan(), items(f"job{number}-", 5)))
        for number in range(40)
    ]
    for thread in (*workers, *clients):
        thread.start()
    for thread in clients:
        thread.join()
    wait_for(lambda: len(found) == 200)
    waiting.close()
    for thread in workers:
        thread.join()
    assert len(set(found)) == 200


def test_room_that_is_kept_for_a_request_is_given_to_no_other():
    waiting = Queue(3, batch=8, batch_seconds=100.0, gather=0.0)
    with waiting.room(2):
        with pytest.raises(FullError), waiting.room(2):
            pass
        waiting.put(plan(), items("a", 2), known=True)
    with waiting.room(1):
        pass
    with pytest.raises(FullError), waiting.room(2):
        pass
