"""What goes wrong with one item of a corpus: for good, for now, or with the process that tried."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from soundwright.core.errors import AudioError, UserError
from soundwright.core.records import Record

FailureKind = Literal["permanent", "transient", "poison"]


class Failure(Record):
    """Why a stage could not do its work on an item."""

    item: str
    """Id of the medium or the clip."""
    stage: str
    kind: FailureKind
    """Permanent: trying again gives the same. Transient: it may work later. Poison: the process
    that tried was lost."""
    reason: str
    """A stable word for counting."""
    detail: str = ""
    """For people: what was given and what was found."""
    attempts: int = Field(default=1, ge=1)


class ItemError(UserError):
    """An item that cannot be worked on, while others can.

    Args:
        problem: As in `UserError`.
        reason: A stable word for counting.
        attempts: How often it was tried.
        change: As in `UserError`.
    """

    kind: FailureKind

    def __init__(self, problem: str, *, reason: str, attempts: int = 1, change: str = "") -> None:
        self.reason = reason
        self.attempts = attempts
        super().__init__(problem, change=change)


class PermanentError(ItemError):
    """An item for which trying again gives the same."""

    kind = "permanent"


class TransientError(ItemError):
    """An item that may be worked on later.

    Args:
        problem: As in `UserError`.
        reason: A stable word for counting.
        retry_after: Seconds after which the other side asks to be tried again, None where it
            does not say.
        change: As in `UserError`.
    """

    kind = "transient"

    def __init__(
        self, problem: str, *, reason: str, retry_after: float | None = None, change: str = ""
    ) -> None:
        self.retry_after = retry_after
        super().__init__(problem, reason=reason, change=change)


def failure_of(error: Exception, item: str, stage: str) -> Failure:
    """What is to be noted of an error that concerns one item alone.

    Args:
        error: A `PermanentError`, a `TransientError`, or an `AudioError`, which is permanent.
        item: Id of the medium or the clip.
        stage: Name of the stage.

    Raises:
        Exception: `error` itself, where it is of another kind: it concerns more than the item.
    """
    if isinstance(error, ItemError):
        kind, attempts = error.kind, error.attempts
    elif isinstance(error, AudioError):
        kind, attempts = "permanent", 1
    else:
        raise error
    return Failure(
        item=item,
        stage=stage,
        kind=kind,
        reason=error.reason,
        detail=str(error),
        attempts=attempts,
    )
