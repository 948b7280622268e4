"""How every fault becomes an answer: a status, and an object `error`."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from soundwright.core.errors import UserError, nearest
from soundwright.serving.bodies import GenerationBody, SoundOfJob
from soundwright.serving.jobs import Problem
from soundwright.serving.problems import ProblemError, refuse

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
    async def tell_invalid(request: Request, error: RequestValidationError) -> Response:
        return _explain(_choose(error.errors()), kind_of(request))

    @app.exception_handler(UserError)
    async def tell_mistake(_: Request, error: UserError) -> Response:
        # What is wrong with a request is refused before; this is the disk.
        return _tell_full(error)

    @app.exception_handler(sqlite3.Error)
    async def tell_store(_: Request, error: sqlite3.Error) -> Response:
        return _tell_full(error)

    @app.exception_handler(HTTPException)
    async def tell_fault(_: Request, error: HTTPException) -> Response:
        kind = KINDS.get(error.status_code, "error")
        return answer(
            error.status_code,
            Problem(type=kind, message=f"{error.detail}."),
            dict(error.headers or {}),
        )


def tell_unexpected(error: Exception) -> Response:
    """The answer to a fault that nobody has thought of."""
    log.error("A request has failed.", exc_info=error)
    return answer(500, Problem(type="internal", message="Something unexpected went wrong here."))


def kind_of(request: Request) -> str:
    """What a request says that its body is, such as application/json."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_kind(kind: str, expected: str) -> ProblemError:
    """The answer to a body of another kind."""
    return refuse(
        415,
        "unsupported_media_type",
        f"The body is said to be {kind[:100] or 'nothing in particular'}.",
        expected=expected,
    )


def answer(status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as an answer."""
    content = {"error": problem.model_dump(mode="json", exclude_none=True)}
    return JSONResponse(content, status, headers)


def _tell_full(error: Exception) -> Response:
    # Where the files lie is nobody's business.
    log.error("The server cannot write: %s", error)
    return answer(
        507,
        Problem(
            type="disk_full",
            message="The server cannot write.",
            change="Nothing was accepted. Whoever runs the server should look at its disk.",
        ),
    )


def _choose(faults: Sequence[Any]) -> Any:
    """The fault to tell: the first, or of a choice between types the one that came farthest."""
    field = faults[0]["loc"][:2]
    return max(
        (fault for fault in faults if fault["loc"][:2] == field),
        key=lambda fault: len(fault["loc"]),
    )


def _explain(fault: Any, kind: str) -> Response:
    """The first thing that is wrong with a request whose body is of a kind."""
    if fault["type"] == "model_attributes_type" and kind != "application/json":
        error = refuse_kind(kind, "JSON, with Content-Type: application/json")
        return answer(error.status, error.problem)
    if fault["type"] == "json_invalid":
        reason = fault.get("ctx", {}).get("error", "")
        return answer(
            400,
            Problem(type="malformed", message=f"The body is not JSON: {reason}.", expected="JSON"),
        )
    place = [str(one) for one in fault["loc"][1:]]
    # A choice between types names them too; only what clients wrote tells them anything.
    written = [one for one in place if one.isidentifier() or one.isdigit()]
    field = ".".join(one for one in written if one != SoundOfJob.__name__) or None
    if fault["type"] == "extra_forbidden":
        name = place[-1]
        fields = SoundOfJob.model_fields if len(place) > 1 else GenerationBody.model_fields
        return answer(
            422,
            Problem(
                type="invalid",
                message=f"There is no field {name[:100]!r}: {nearest(name[:100], fields)}",
                field=field,
            ),
        )
    where = f"{field}: " if field else "The request: "
    return answer(422, Problem(type="invalid", message=f"{where}{fault['msg']}.", field=field))
