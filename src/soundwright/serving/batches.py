"""Which sounds are made together, and what a worker says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from soundwright.serving.jobs import Plan, Problem


class Item(NamedTuple):
    """One sound that waits."""

    job: str
    number: int
    prompt: str
    seed: int
    format: str
    """Of its file."""


@dataclass(frozen=True)
class Batch:
    """Sounds that differ in nothing but their prompts and seeds."""

    plan: Plan
    items: tuple[Item, ...]
    beginning: bytes | None = None
    """The file of the sound to continue."""


@dataclass(frozen=True)
class Progress:
    """How much of a batch is done, from 0 to 1."""

    done: float


@dataclass(frozen=True)
class Piece:
    """Bytes of a stream's WAV, in order."""

    content: bytes


@dataclass(frozen=True)
class Made:
    """One sound of a batch is there."""

    place: int
    """Which item."""
    content: bytes
    """The file."""
    described: dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """The batch, or one sound of it, cannot be made; nothing is wrong with the worker."""

    problem: Problem
    place: int | None = None
    """Which item; None is all that are not made yet."""


Message = Progress | Piece | Made | Refused
