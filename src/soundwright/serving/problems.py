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
