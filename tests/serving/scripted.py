"""Workers without a model: they make tones at once, and whatever else workers may do."""

import threading
import time

import torch

from soundwright.audio.encoding import encode
from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError
from soundwright.serving.batches import Made, Piece, Progress, Refused
from soundwright.serving.config import ServingConfig
from soundwright.serving.engine import Engine
from soundwright.serving.jobs import Asked, Plan, Problem
from soundwright.serving.metrics import Metrics
from soundwright.serving.shelf import Shelf
from soundwright.serving.store import Store
from soundwright.serving.workers import LostError

RATE = 8000
PIECES = 5
"""Of a stream."""
LONGEST_TEST_S = 60.0


def tone(seed, seconds=0.5, suffix=".wav"):
    """The file of a tone whose pitch tells its seed."""
    time = torch.arange(round(seconds * RATE)) / RATE
    return encode(Sound(0.1 * torch.sin(6.2832 * (200 + 7 * seed) * time)[None], RATE), suffix)


def describe(batch, item):
    return {
        "prompt": item.prompt,
        "seed": item.seed,
        "settings": dict(batch.plan.settings),
        "model": "scripted",
        "model_hash": batch.plan.model_hash,
        "sample_rate": RATE,
        "duration": batch.plan.duration,
    }


def make(batch, tell, is_stopped):
    """Makes a tone for each sound."""
    tell(Progress(0.5))
    for place, item in enumerate(batch.items):
        if is_stopped():
            return
        content = tone(item.seed, batch.plan.duration, f".{item.format}")
        if batch.plan.stream:
            step = -(-len(content) // PIECES)
            for begin in range(0, len(content), step):
                tell(Piece(content[begin : begin + step]))
            content = b""
        tell(Made(place, content, describe(batch, item)))


def make_one(batch, tell, is_stopped):
    """Makes the first sound and dies."""
    [first, *_] = batch.items
    tell(Made(0, tone(first.seed, batch.plan.duration), describe(batch, first)))
    die(batch, tell, is_stopped)


def die(batch, tell, is_stopped):
    tell(Progress(0.1))
    raise LostError("the worker ended with signal SIGKILL")


def hang(batch, tell, is_stopped):
    """Works for ever, and stops when it is told to."""
    while not is_stopped():
        tell(Progress(0.1))
        time.sleep(0.005)


def refuse(batch, tell, is_stopped):
    tell(Refused(Problem(type="invalid", message="This cannot be made.")))


def break_down(batch, tell, is_stopped):
    raise RuntimeError("a bug in a worker")


class Gate:
    """Makes tones once it is open."""

    def __init__(self):
        self.opened = threading.Event()
        self.reached = threading.Event()

    def __call__(self, batch, tell, is_stopped):
        self.reached.set()
        while not self.opened.wait(0.005):
            if is_stopped():
                return
        make(batch, tell, is_stopped)


class Scripted:
    """A worker that does with its first batch the first thing, and with further ones the last.

    Args:
        acts: Each a function such as `make`.
        fault: What `load` finds: a problem, or an error to raise.
    """

    def __init__(self, *acts, fault=None):
        self.acts = list(acts) or [make]
        self.fault = fault
        self.batches = []
        self.closed = threading.Event()

    def load(self, model):
        if isinstance(self.fault, Exception):
            raise self.fault
        return self.fault

    def run(self, batch, tell, is_stopped):
        act = self.acts[min(len(self.batches), len(self.acts) - 1)]
        self.batches.append(batch)
        act(batch, tell, lambda: is_stopped() or self.closed.is_set())
        if self.closed.is_set():
            raise LostError("the server is ending")

    def close(self):
        self.closed.set()

    @property
    def prompts(self):
        """What each batch was of."""
        return [[item.prompt for item in batch.items] for batch in self.batches]

    @property
    def all_prompts(self):
        """... all batches together."""
        return [item.prompt for batch in self.batches for item in batch.items]


def plan(**changes):
    settings = {"duration": 0.5, "cfg_scale": 3.0, **changes.pop("settings", {})}
    return Plan(**{"model": "bundled", "model_hash": "0" * 16, "settings": settings, **changes})


class Bench:
    """A store, a shelf and an engine on a folder, with these workers."""

    def __init__(self, folder, *workers, shelf=None, store=None, start=True, **config):
        self.config = ServingConfig(state=folder, **{"grace": 5.0, **config})
        self.store = store or Store(folder)
        self.shelf = shelf or Shelf(folder)
        self.workers, self.metrics = workers, Metrics()
        self.engine = Engine(self.config, self.store, self.shelf, workers, self.metrics)
        if start:
            self.engine.start()

    def ask(self, *prompts, seed=0, **changes):
        """Submit a job; its id."""
        items = [(prompt, seed + number) for number, prompt in enumerate(prompts)]
        [accepted] = self.engine.submit([Asked({}, plan(**changes), items)])
        if isinstance(accepted, Exception):
            raise accepted
        return accepted.job.id

    def state(self, job):
        return self.store.find(job).state

    def end(self, *jobs):
        """Wait until jobs have ended, and all is told of them; they, as the store knows them."""
        lives = self.engine.lives
        wait_for(lambda: all(self.store.find(job).ended and lives.get(job) is None for job in jobs))
        found = [self.store.find(job) for job in jobs]
        return found if len(found) > 1 else found[0]

    def content(self, job, number=0, suffix="wav"):
        return self.shelf.place(job, number, suffix).read_bytes()

    def count(self, name):
        """A number that the metrics tell, such as soundwright_jobs_total{state="done"}."""
        for line in self.metrics.render().decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def close(self):
        self.engine.close()
        self.store.close()


def wait_for(condition):
    """Wait until something is so; it is a failure when it never is."""
    deadline = time.monotonic() + LONGEST_TEST_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


class FullShelf(Shelf):
    """A disk that is full for some jobs."""

    full = True

    def put(self, job, number, suffix, content):
        if self.full:
            raise UserError(f"{self.place(job, number, suffix)} cannot be written: No space left.")
        super().put(job, number, suffix, content)
