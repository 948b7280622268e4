"""Where sounds are asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from soundwright.serving.bodies import GenerationBody
from soundwright.serving.context import Context, Running
from soundwright.serving.jobs import Job
from soundwright.serving.live import Live
from soundwright.serving.problems import ProblemError, refuse
from soundwright.serving.queueing import ClosedError, FullError
from soundwright.serving.routes.jobs import Wait, wait_for_job
from soundwright.serving.views import JobView

JOB_HEADER = "x-soundwright-job"
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The job, done within `wait` seconds; or, streamed, the sound.",
        "content": {"audio/wav": {}},
    },
    202: {"description": "The job waits; follow it at `/v1/jobs/ID`.", "model": JobView},
}

router = APIRouter(prefix="/v1/audio", tags=["sounds"])


@router.post(
    "/generations", status_code=202, response_model=JobView, responses=ANSWERS,
    response_model_exclude_none=False,
)  # fmt: skip
async def generate(
    body: GenerationBody,
    running: Running,
    wait: Wait = 0.0,
) -> Any:
    """Ask for sounds.

    The answer is a job, which may still wait; with `stream` it is the sound itself, a WAV whose
    bytes come as they are made, and the job's id is in the header X-Soundwright-Job. Each sound
    has a seed: alone, later, on the command line, the same seed and settings make the same bytes.
    """
    began = time.perf_counter()
    try:
        job, live = await running.acceptance.accept(body)
    except FullError as error:
        running.metrics.refused("queue")
        raise refuse(
            429,
            "too_many",
            "Too many sounds are waiting.",
            change=f"Come again in {error.retry_after} s.",
            headers={"Retry-After": str(error.retry_after)},
        ) from error
    except ClosedError as error:
        raise refuse(503, "unavailable", "The server is ending.", headers=_soon()) from error
    finally:
        seconds = time.perf_counter() - began
        running.metrics.handled(seconds)
    if body.stream:
        return await _stream(running, job, live)
    if wait:
        job = await wait_for_job(running, job.id, wait)
    response = running.answer(job, 200 if job.state == "done" else 202)
    response.headers["location"] = f"/v1/jobs/{job.id}"
    response.headers["server-timing"] = f"accept;dur={1000 * seconds:.2f}"
    return response


async def _stream(running: Context, job: Job, live: Live) -> Response:
    """The sound as it is made; when nobody listens any more, it is not made any further."""
    pieces = _pieces(running, job, live)
    try:
        first = await anext(pieces)
    except StopAsyncIteration:
        found = await run_in_threadpool(running.store.find, job.id) or job
        if found.problem is not None:
            raise ProblemError(
                422 if found.problem.type == "invalid" else 503, found.problem
            ) from None
        raise refuse(409, "conflict", f"The job was {found.state}.") from None

    async def all_of() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    headers = {JOB_HEADER: job.id, "location": f"/v1/jobs/{job.id}"}
    return StreamingResponse(all_of(), media_type="audio/wav", headers=headers)


async def _pieces(running: Context, job: Job, live: Live) -> AsyncIterator[bytes]:
    given = 0
    try:
        with running.engine.lives.watch(job.id) as changed:
            while True:
                whole = live.whole
                while given < len(live.pieces):
                    given += 1
                    yield live.pieces[given - 1]
                if whole:
                    return
                await changed.wait()
                changed.clear()
    finally:
        if not live.whole:
            # The client is gone. Its connection's task is cancelled, so another must do this.
            asyncio.get_running_loop().run_in_executor(None, running.engine.cancel, job.id)


def _soon() -> dict[str, str]:
    return {"Retry-After": "30"}
