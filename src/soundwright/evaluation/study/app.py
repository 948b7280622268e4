"""The study as a web application: one page, and the few requests that it makes.

A rater is known by a token that only the rater's browser has. Sounds are asked for by trial and
side, so that no address tells which system is heard. No file is ever named by a request.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response

from soundwright.evaluation.study.records import Check, Side, Submission
from soundwright.evaluation.study.sessions import RefusedError, Sessions
from soundwright.evaluation.study.storage import FullError, TakenError
from soundwright.web.guards import Guard

PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/study.css": ("study.css", "text/css; charset=utf-8"),
    "/study.js": ("study.js", "text/javascript; charset=utf-8"),
    "/sound.js": ("sound.js", "text/javascript; charset=utf-8"),
}
LONGEST_TOKEN = 200
LARGEST_BODY = 1 << 17

router = APIRouter(prefix="/api")


def create_app(sessions: Sessions) -> FastAPI:
    """The application of one study.

    Args:
        sessions: The running study.
    """
    app = FastAPI(title="Soundwright study", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sessions = sessions
    app.add_middleware(
        Guard,
        largest=lambda *_: LARGEST_BODY,
        refuse=Response("Too large.", 413, media_type="text/plain"),
    )
    for address, (name, media_type) in PAGE.items():
        content = files("soundwright.evaluation.study").joinpath("page", name).read_bytes()
        app.add_api_route(address, _give(content, media_type), methods=["GET"])
    app.include_router(router)
    return app


def _find_sessions(request: Request) -> Sessions:
    return request.app.state.sessions


Running = Annotated[Sessions, Depends(_find_sessions)]


def _read_token(
    authorization: Annotated[str, Header(max_length=LONGEST_TOKEN)] = "",
) -> str:
    return authorization.removeprefix("Bearer ")


Token = Annotated[str, Depends(_read_token)]


def _find_rater(sessions: Running, token: Token) -> int:
    number = sessions.answers.find(token)
    if number is None:
        raise HTTPException(401, "This study does not know you.")
    return number


Rater = Annotated[int, Depends(_find_rater)]


@router.get("/study")
def introduce(sessions: Running) -> dict[str, Any]:
    """What everybody may know."""
    return sessions.introduce()


@router.post("/raters", status_code=201)
def join(sessions: Running) -> dict[str, str]:
    """Take in a new rater."""
    try:
        return {"token": sessions.answers.join()}
    except FullError as error:
        raise HTTPException(503, "This study takes no further listeners.") from error


@router.get("/session")
def describe(sessions: Running, number: Rater) -> dict[str, Any]:
    """Where the rater stands, and the next trial."""
    return sessions.describe(number)


@router.get("/trials/{trial}/{side}")
def play(
    sessions: Running, number: Rater, trial: Annotated[int, InPath(ge=0, le=100_000)], side: Side
) -> FileResponse:
    """The sound on one side of a trial; neither its name nor its times reach the browser."""
    copy = sessions.find_copy(number, trial, side)
    if copy is None:
        raise HTTPException(404, "There is no such sound.")
    path = sessions.folder / copy.file
    response = FileResponse(path, media_type="audio/wav", stat_result=path.stat())
    for name in ("last-modified", "etag"):
        del response.headers[name]
    return response


@router.post("/checks")
def check(sessions: Running, number: Rater, given: Check) -> dict[str, Any]:
    """Keep a headphone check."""
    sessions.answers.add_check(number, given)
    return sessions.describe(number)


@router.post("/answers")
def answer(sessions: Running, number: Rater, token: Token, given: Submission) -> dict[str, Any]:
    """Keep an answer and show the next trial."""
    try:
        sessions.submit(token, number, given)
    except RefusedError as error:
        raise HTTPException(422, str(error)) from error
    except TakenError as error:
        raise HTTPException(409, "This trial has another answer already.") from error
    return sessions.describe(number)


def _give(content: bytes, media_type: str) -> Any:
    def give() -> Response:
        return Response(content, media_type=media_type)

    return give
