"""Jobs: what has become of requests, and their sounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from soundwright.serving.bodies import MOST_PROMPTS, JobId
from soundwright.serving.context import Context, Running
from soundwright.serving.jobs import Job
from soundwright.serving.naming import file_name
from soundwright.serving.problems import refuse
from soundwright.serving.views import JobsView, JobView

MOST_JOBS = 100
LONGEST_WAIT_S = 60.0
QUICKEST_S = 0.25
"""Between two events of a job."""
MEDIA_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg", "ogg": "audio/ogg"}

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


def _find_job(running: Running, job: JobId) -> Job:
    return running.find(job)


Found = Annotated[Job, Depends(_find_job)]
Number = Annotated[int, InPath(ge=0, le=MOST_PROMPTS)]
Wait = Annotated[
    float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for the end of the job.")
]


@router.get("")
def list_jobs(
    running: Running,
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = 20,
    before: Annotated[JobId | None, Query(description="Only those accepted before it.")] = None,
    favourites: Annotated[bool, Query(description="Only those with a favourite sound.")] = False,
) -> JobsView:
    """Jobs, the newest first."""
    jobs, more = running.store.list(limit, before, favourites)
    return JobsView(jobs=[running.show(job) for job in jobs], more=more)


@router.get("/{job}", response_model=JobView)
async def read_job(running: Running, job: JobId, wait: Wait = 0.0) -> Response:
    """One job."""
    return running.answer(await wait_for_job(running, job, wait))


@router.get("/{job}/events", response_class=EventSourceResponse)
async def follow_job(running: Running, found: Found) -> AsyncIterator[ServerSentEvent]:
    """The job at each change, a few times a second at most, until it has ended."""
    with running.engine.lives.watch(found.id) as changed:
        # Only now, since it may have ended before anybody watched.
        job = await run_in_threadpool(running.store.find, found.id)
        while job is not None:
            yield ServerSentEvent(event="job", data=running.show(job))
            if job.ended or running.engine.lives.over:
                return
            await changed.wait()
            changed.clear()
            job = await run_in_threadpool(running.store.find, found.id)
            if job is not None and not job.ended:
                await asyncio.sleep(QUICKEST_S)


@router.post("/{job}/cancel")
def cancel_job(running: Running, found: Found) -> JobView:
    """End a job that waits or is under way."""
    if not running.engine.cancel(found.id):
        ended = running.find(found.id)
        raise refuse(409, "conflict", f"The job has ended already: it is {ended.state}.")
    return running.show(running.find(found.id))


@router.delete("/{job}", status_code=204)
def remove_job(running: Running, found: Found) -> None:
    """Remove a job and its sounds, for good."""
    running.engine.forget(found.id)


@router.get("/{job}/sounds/{number}", response_class=FileResponse)
async def read_sound(running: Running, job: JobId, number: Number) -> FileResponse:
    """A sound, with how it was made inside."""
    found = running.find(job)
    _check_sound(found, number)
    sound, suffix = found.sounds[number], found.plan.format
    path = running.shelf.place(found.id, number, suffix)
    there = running.shelf.measure(found.id, number, suffix)
    whole = there is not None and there.st_size == sound.size
    if found.state == "expired" or (sound.done and not whole):
        raise refuse(
            410,
            "expired",
            "This sound is not kept any more.",
            change="Make it again: the same seed and settings give the same sound.",
        )
    if not sound.done:
        raise refuse(404, "not_found", "This sound is not there yet.")
    seed = int((sound.described or {}).get("seed", sound.seed))
    name = file_name(sound.prompt, seed, suffix)
    return FileResponse(path, media_type=MEDIA_TYPES[suffix], filename=name, stat_result=there)


@router.put("/{job}/sounds/{number}/favourite")
def add_favourite(running: Running, found: Found, number: Number) -> JobView:
    """Keep a sound for good."""
    return _mark(running, found, number, favourite=True)


@router.delete("/{job}/sounds/{number}/favourite")
def remove_favourite(running: Running, found: Found, number: Number) -> JobView:
    """Keep a sound as long as any other."""
    return _mark(running, found, number, favourite=False)


async def wait_for_job(running: Context, job: str, seconds: float) -> Job:
    """The job when it has ended, or after so many seconds.

    Raises:
        ProblemError: 404.
    """
    deadline = time.monotonic() + seconds
    with running.engine.lives.watch(job, small=False) as changed:
        # Only now, since it may have ended before anybody watched.
        found = running.find(job)
        lives = running.engine.lives
        while not (found.ended or lives.over) and (left := deadline - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                break
            changed.clear()
            now = running.store.find(job)
            if now is None:
                break  # It was removed.
            found = now
    return found


def _mark(running: Context, found: Job, number: int, *, favourite: bool) -> JobView:
    _check_sound(found, number)
    running.store.mark(found.id, number, favourite)
    return running.show(running.find(found.id))


def _check_sound(found: Job, number: int) -> None:
    if number >= len(found.sounds):
        raise refuse(
            404, "not_found", "There is no such sound.", expected=f"0 to {len(found.sounds) - 1}"
        )
