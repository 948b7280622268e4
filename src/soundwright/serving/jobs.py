"""What is known of a job, and what clients see of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field

from soundwright.core.records import Record

State = Literal["waiting", "running", "done", "failed", "cancelled", "expired"]
FINAL: tuple[State, ...] = ("done", "failed", "cancelled", "expired")


class Problem(Record):
    """Why something is refused or has failed: a stable word, and a text for people."""

    type: str
    message: str
    expected: str | None = None
    change: str | None = None
    field: str | None = None
    """Where in the request, such as prompts.3."""


class Plan(Record):
    """How all sounds of a job are made, settled when the job was accepted."""

    model: str
    """The name by which it was asked for."""
    model_hash: str
    settings: dict[str, Any]
    """Arguments of `generate`, defaults filled in."""
    negative: str | None = None
    loop: bool = False
    best_of: int = 1
    beginning: str | None = None
    """Which sound is continued: an upload's id, or JOB/NUMBER."""
    beginning_hash: str | None = None
    """SHA-256 of that file."""
    stream: bool = False
    format: str = "wav"

    @property
    def duration(self) -> float:
        """Seconds of each sound."""
        return float(self.settings["duration"])


class Asked(NamedTuple):
    """A checked request that is not accepted yet."""

    request: Mapping[str, Any]
    """As it was sent, with the model and the seed filled in."""
    plan: Plan
    items: Sequence[tuple[str, int]]
    """Prompts and seeds of its sounds."""


class SoundEntry(Record):
    """One sound of a job."""

    number: int
    prompt: str
    seed: int
    done: bool = False
    size: int | None = None
    """Bytes of its file."""
    described: dict[str, Any] | None = None
    """How it was made: `GeneratedSound.describe`."""
    favourite: bool = False


class Job(Record):
    """One request for sounds, and what became of it."""

    id: str
    order: int
    """Counts the jobs."""
    created_at: str
    finished_at: str | None = None
    state: State
    request: dict[str, Any]
    """As it was sent, with the model and the seed filled in."""
    plan: Plan
    problem: Problem | None = None
    attempts: int = 0
    """How many times a worker has begun it and has not let go of it in order."""
    sounds: tuple[SoundEntry, ...] = Field(default=())

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in FINAL
