"""A worker that is a process, with the bundled model."""

import pytest
from scripted import plan

from soundwright.pipelines.models import find_model, read_record
from soundwright.serving.batches import Batch, Item, Made, Piece, Progress
from soundwright.serving.workers import LocalWorker, LostError


@pytest.fixture(scope="module")
def worker():
    worker = LocalWorker("cpu", "auto")
    yield worker
    worker.close()


def batch(*prompts, seed=0, **changes):
    settings = {
        "duration": 0.25, "cfg_scale": 3.0, "temperature": 1.0, "top_k": 250, "top_p": 0.0,
        **changes.pop("settings", {}),
    }  # fmt: skip
    items = [
        Item("job-1", number, prompt, seed + number, "wav") for number, prompt in enumerate(prompts)
    ]
    return Batch(plan(settings=settings, **changes), tuple(items))


def run(worker, wanted, is_stopped=lambda: False):
    """What a worker tells of a batch, by kind."""
    told = []
    worker.run(wanted, told.append, is_stopped)
    return {
        kind: [message for message in told if isinstance(message, kind)]
        for kind in (Progress, Piece, Made)
    }


def test_a_model_is_loaded_or_it_is_said_why_not(worker):
    problem = worker.load("no such model")
    assert (problem.type, "no such model" in problem.message) == ("unavailable", True)
    assert worker.load("bundled") is None


def test_a_batch_is_made_sound_by_sound(worker):
    told = run(worker, batch("rain", "a dog barks", seed=5))
    assert [made.place for made in told[Made]] == [0, 1]
    assert [made.described["seed"] for made in told[Made]] == [5, 6]
    assert told[Made][0].described["model_hash"] == read_record(find_model("bundled")).hash
    assert told[Progress][-1].done == 1.0


def test_work_that_is_not_wanted_any_more_ends_and_the_next_is_not_disturbed(worker):
    assert worker.load("bundled") is None  # What it takes to start is no part of the grace.
    long = batch("rain", settings={"duration": 60.0})
    assert run(worker, long, is_stopped=lambda: True)[Made] == []
    told = run(worker, batch("wind", seed=3))
    assert [made.described["prompt"] for made in told[Made]] == ["wind"]


def test_what_a_failed_listener_has_missed_is_not_told_of_the_next_batch(worker):
    def fail(message):
        raise RuntimeError("a full disk, or a bug")

    with pytest.raises(RuntimeError, match="full disk"):
        worker.run(batch("rain", "wind"), fail, lambda: False)
    told = run(worker, batch("a bell", seed=3))
    assert [made.described["prompt"] for made in told[Made]] == ["a bell"]


def test_a_closed_worker_makes_nothing():
    closed = LocalWorker("cpu", "auto")
    closed.close()
    with pytest.raises(LostError, match="ending"):
        closed.load("bundled")
