"""How every fault becomes an answer: a status, and an object `error`."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from soundwright.core.errors import UserError, nearest
from soundwright.serving.accepting import refuse_error
from soundwright.serving.bodies import GenerationBody
from soundwright.serving.jobs import Problem
from soundwright.serving.problems import ProblemError, describe_error

KINDS = {
    400: "malformed", 404: "not_found", 405: "not_allowed", 413: "too_large",
    415: "unsupported_media_type",
}  # fmt: skip

log = logging.getLogger(__name__)


def handle_faults(app: FastAPI) -> None:
    """Let an application answer every fault with a problem."""

    @app.exception_handler(ProblemError)
    async def tell_problem(_: Request, error: ProblemError) -> Response:
        return answer(error.status, error.problem, error.headers)

    @app.exception_handler(RequestValidationError)
    async def tell_invalid(_: Request, error: RequestValidationError) -> Response:
        return _explain(error.errors()[0])

    @app.exception_handler(UserError)
    async def tell_mistake(_: Request, error: UserError) -> Response:
        # What is wrong with a request is refused before; this is the disk.
        return answer(507, describe_error(error, "disk_full"))

    @app.exception_handler(sqlite3.Error)
    async def tell_store(_: Request, error: sqlite3.Error) -> Response:
        log.error("The store failed: %s", error)
        return answer(
            507,
            Problem(
                type="disk_full",
                message=f"The server cannot write: {error}.",
                change="Nothing was accepted. Whoever runs the server should look at its disk.",
            ),
        )

    @app.exception_handler(HTTPException)
    async def tell_fault(_: Request, error: HTTPException) -> Response:
        kind = KINDS.get(error.status_code, "error")
        return answer(
            error.status_code,
            Problem(type=kind, message=f"{error.detail}."),
            dict(error.headers or {}),
        )

    @app.exception_handler(Exception)
    async def tell_unexpected(_: Request, error: Exception) -> Response:
        log.error("A request has failed.", exc_info=error)
        return answer(
            500, Problem(type="internal", message="Something unexpected went wrong here.")
        )


def answer(status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as an answer."""
    content = {"error": problem.model_dump(mode="json", exclude_none=True)}
    return JSONResponse(content, status, headers)


def _explain(fault: Any) -> Response:
    """The first thing that is wrong with a request."""
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        error = refuse_error(cause)
        return answer(422, error.problem)
    if fault["type"] == "json_invalid":
        reason = fault.get("ctx", {}).get("error", "")
        return answer(
            400,
            Problem(type="malformed", message=f"The body is not JSON: {reason}.", expected="JSON"),
        )
    place = [str(one) for one in fault["loc"][1:]]
    # A choice between types names them too; only what clients wrote tells them anything.
    field = ".".join(one for one in place if one.isidentifier() or one.isdigit()) or None
    if fault["type"] == "extra_forbidden":
        name = place[-1]
        return answer(
            422,
            Problem(
                type="invalid",
                message=f"There is no field {name[:100]!r}:"
                f" {nearest(name[:100], GenerationBody.model_fields)}",
                field=field,
            ),
        )
    where = f"{field}: " if field else "The request: "
    return answer(422, Problem(type="invalid", message=f"{where}{fault['msg']}.", field=field))
