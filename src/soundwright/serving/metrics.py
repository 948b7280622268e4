"""What Prometheus may ask: how many, how long, how full."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

QUICK = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
LONG = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
BATCHES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The numbers of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "soundwright_requests", "Answered requests.", ("route", "method", "status"),
            registry=self._registry,
        )  # fmt: skip
        self._handling = Histogram(
            "soundwright_accept_seconds", "From the arrival of a request for sounds to its answer.",
            buckets=QUICK, registry=self._registry,
        )  # fmt: skip
        self._accepted = Counter(
            "soundwright_accepted_sounds", "Sounds of accepted jobs.", ("model",),
            registry=self._registry,
        )  # fmt: skip
        self._refused = Counter(
            "soundwright_refused_requests", "Refused requests.", ("reason",),
            registry=self._registry,
        )  # fmt: skip
        self._jobs = Counter(
            "soundwright_jobs", "Jobs that have ended.", ("state",), registry=self._registry
        )
        self._batches = Histogram(
            "soundwright_batch_sounds", "Sounds made at once.", ("model",), buckets=BATCHES,
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "soundwright_batch_seconds", "Time that a batch took.", ("model",), buckets=LONG,
            registry=self._registry,
        )  # fmt: skip
        self._sound = Counter(
            "soundwright_sound_seconds", "Seconds of sound made.", ("model",),
            registry=self._registry,
        )  # fmt: skip
        self._lost = Counter(
            "soundwright_lost_workers", "Workers that died.", registry=self._registry
        )

    def watch(self, waiting: Callable[[], float]) -> None:
        """Name what tells how many sounds wait."""
        gauge = Gauge("soundwright_waiting_sounds", "Sounds in the queue.", registry=self._registry)
        gauge.set_function(waiting)

    def answered(self, route: str, method: str, status: int) -> None:
        """A request was answered; `route` is a pattern, so that there are only so many."""
        self._requests.labels(route, method, str(status)).inc()

    def handled(self, seconds: float) -> None:
        """A request for sounds was accepted or refused."""
        self._handling.observe(seconds)

    def accepted(self, model: str, sounds: int) -> None:
        """A job was accepted."""
        self._accepted.labels(model).inc(sounds)

    def refused(self, reason: str) -> None:
        """A request was refused by rule."""
        self._refused.labels(reason).inc()

    def began(self, model: str, sounds: int) -> None:
        """A worker began a batch."""
        self._batches.labels(model).observe(sounds)

    def ended(self, model: str, seconds: float, sound: float) -> None:
        """A worker has made a batch of so many seconds of sound."""
        self._seconds.labels(model).observe(seconds)
        self._sound.labels(model).inc(sound)

    def finished(self, state: str) -> None:
        """A job has ended."""
        self._jobs.labels(state).inc()

    def lost(self) -> None:
        """A worker died."""
        self._lost.inc()

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)
