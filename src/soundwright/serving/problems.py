"""What clients are told when something cannot be done."""

from __future__ import annotations

from soundwright.core.errors import UserError
from soundwright.serving.jobs import Problem


class ProblemError(Exception):
    """Ends a request with a status and a problem.

    Args:
        status: Of the answer.
        problem: Its body.
        headers: Further ones.
    """

    def __init__(
        self, status: int, problem: Problem, headers: dict[str, str] | None = None
    ) -> None:
        self.status, self.problem, self.headers = status, problem, headers or {}
        super().__init__(problem.message)


def describe_error(error: UserError, kind: str = "invalid", field: str | None = None) -> Problem:
    """A person's mistake, as clients see it."""
    return Problem(
        type=kind,
        message=error.problem,
        expected=error.expected or None,
        change=error.change or None,
        field=field,
    )


def refuse(
    status: int,
    kind: str,
    message: str,
    *,
    expected: str | None = None,
    change: str | None = None,
    field: str | None = None,
    headers: dict[str, str] | None = None,
) -> ProblemError:
    """An answer that is a problem."""
    problem = Problem(type=kind, message=message, expected=expected, change=change, field=field)
    return ProblemError(status, problem, headers)


def full() -> Problem:
    """A sound could not be written."""
    return Problem(
        type="disk_full",
        message="The server could not write the sound.",
        change="Whoever runs the server should look at its disk. Then ask again.",
    )


def too_slow(limit: float) -> Problem:
    """A batch took longer than it may."""
    return Problem(
        type="too_slow",
        message=f"It took more than {limit:g} s and was given up.",
        change="Ask for shorter or fewer sounds, or let the server take longer (--time-limit).",
    )


def ill_fated(attempts: int) -> Problem:
    """Whoever makes it dies."""
    return Problem(
        type="worker_lost",
        message=f"{attempts} times a worker ended while it made this, so it was given up.",
        change="Ask for a shorter sound; if that helps, the machine has too little memory.",
    )


def lost_stream() -> Problem:
    """A stream broke, and cannot begin again."""
    return Problem(
        type="worker_lost",
        message="The server ended while this was streamed, and what was heard cannot be unheard.",
        change="Ask again: with the same seed the sound is the same.",
    )


def unexpected() -> Problem:
    """A fault of ours."""
    return Problem(
        type="internal",
        message="Something unexpected went wrong; the server's log has the details.",
    )
