"""What clients see of jobs, sounds and models."""

from __future__ import annotations

from typing import Any

from soundwright.core.records import Record
from soundwright.serving.jobs import FINAL, Job, Plan, Problem, SoundEntry, State
from soundwright.serving.naming import file_name
from soundwright.serving.retelling import command_line, python_code


class SoundView(Record):
    """One sound of a job."""

    number: int
    prompt: str
    seed: int
    """That makes it again, alone."""
    state: str
    """waiting, done or expired."""
    favourite: bool
    url: str | None = None
    """Of its file."""
    bytes: int | None = None
    duration: float
    """Seconds."""
    format: str
    filename: str
    settings: dict[str, Any]
    """As they were used, or will be."""
    sample_rate: int | None = None
    ranking: dict[str, Any] | None = None
    """The candidates of `best_of`."""
    command: str
    """The command line that makes it."""
    python: str
    """The Python that makes it."""


class JobView(Record):
    """A request for sounds, and what became of it."""

    id: str
    state: State
    progress: float
    """From 0 to 1."""
    position: int | None = None
    """Sounds before it in the queue, while it waits."""
    created_at: str
    finished_at: str | None = None
    error: Problem | None = None
    model: str
    model_hash: str
    request: dict[str, Any]
    """As it was sent, with the model and the seed filled in."""
    sounds: list[SoundView]


class JobsView(Record):
    """Jobs, the newest first."""

    jobs: list[JobView]
    more: bool
    """Whether older ones follow."""


def show_job(job: Job, share: float, position: int | None) -> JobView:
    """A job as clients see it.

    Args:
        job: What is known of it.
        share: How much of it is done, while it lasts.
        position: Sounds before it in the queue.
    """
    if job.state == "done":
        share = 1.0
    return JobView(
        id=job.id,
        state=job.state,
        progress=round(share, 4),
        position=position if job.state == "waiting" else None,
        created_at=job.created_at,
        finished_at=job.finished_at,
        error=job.problem,
        model=job.plan.model,
        model_hash=job.plan.model_hash,
        request=job.request,
        sounds=[_show_sound(job, sound) for sound in job.sounds],
    )


def _show_sound(job: Job, sound: SoundEntry) -> SoundView:
    plan, described = job.plan, sound.described or {}
    there = sound.done and job.state != "expired"
    seed = int(described.get("seed", sound.seed))
    return SoundView(
        number=sound.number,
        prompt=sound.prompt,
        seed=seed,
        state="done" if there else _state(job),
        favourite=sound.favourite,
        url=f"/v1/jobs/{job.id}/sounds/{sound.number}" if there else None,
        bytes=sound.size if there else None,
        duration=float(described.get("duration", plan.duration)),
        format=plan.format,
        filename=file_name(sound.prompt, seed, plan.format),
        settings=described.get("settings", _planned(plan)),
        sample_rate=described.get("sample_rate"),
        ranking=described.get("ranking"),
        command=command_line(plan, sound.prompt, seed, made=sound.done),
        python=python_code(plan, sound.prompt, seed, made=sound.done),
    )


def _state(job: Job) -> str:
    return job.state if job.state in FINAL else "waiting"


def _planned(plan: Plan) -> dict[str, Any]:
    return {name: value for name, value in plan.settings.items() if value is not None}
