"""What the addresses of one running server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request, Response

from soundwright.serving.accepting import Acceptance
from soundwright.serving.config import ServingConfig
from soundwright.serving.engine import Engine
from soundwright.serving.jobs import Job
from soundwright.serving.metrics import Metrics
from soundwright.serving.problems import refuse
from soundwright.serving.shelf import Shelf
from soundwright.serving.store import Store
from soundwright.serving.uploads import Listener
from soundwright.serving.views import JobView, show_job


@dataclass(frozen=True)
class Context:
    """One running server."""

    config: ServingConfig
    store: Store
    shelf: Shelf
    engine: Engine
    acceptance: Acceptance
    listener: Listener
    metrics: Metrics

    def show(self, job: Job) -> JobView:
        """A job as clients see it."""
        engine = self.engine
        if not job.ended and engine.lives.get(job.id) is None:
            # It has ended since it was read; shown as it was, it would seem to begin again.
            job = self.store.find(job.id) or job
        return show_job(
            job,
            engine.lives.share(job.id, [sound.done for sound in job.sounds]),
            engine.queue.position(job.id),
        )

    def answer(self, job: Job, status: int = 200) -> Response:
        """A job as an answer; as a model, it would be validated once more on its way out."""
        content = self.show(job).model_dump_json()
        return Response(content, status, media_type="application/json")

    def find(self, identity: str) -> Job:
        """A job by its id. Also from the event loop: to hand a row's reading on takes longer.

        Raises:
            ProblemError: 404.
        """
        job = self.store.find(identity)
        if job is None:
            raise refuse(404, "not_found", "There is no such job.")
        return job


async def _find_context(request: Request) -> Context:
    # A plain function would be called in a thread of its own.
    return cast("Context", request.app.state.context)


Running = Annotated[Context, Depends(_find_context)]
