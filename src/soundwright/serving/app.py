"""The application: addresses, what guards them, and how every fault becomes an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.concurrency import run_in_threadpool

import soundwright
from soundwright.serving.accepting import Acceptance
from soundwright.serving.access import Access, Gate
from soundwright.serving.config import ServingConfig
from soundwright.serving.context import Context
from soundwright.serving.engine import Engine
from soundwright.serving.faults import answer, handle_faults
from soundwright.serving.jobs import Problem
from soundwright.serving.metrics import Metrics
from soundwright.serving.routes import generations, jobs, models, operations, studio, uploads
from soundwright.serving.shelf import Shelf
from soundwright.serving.store import Store
from soundwright.serving.uploads import Listener
from soundwright.serving.workers import Worker
from soundwright.web.guards import Guard

UPLOADS = "/v1/audio/uploads"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {}}}
    for status, text in {
        401: "The token is missing or wrong.",
        404: "There is no such thing.",
        409: "It has ended already.",
        410: "It is not kept any more.",
        413: "The body is too large.",
        422: "What is asked for cannot be; the answer says why.",
        429: "Too many wait, or too many came; Retry-After says when to come again.",
        503: "The model or the server is not there.",
        507: "The disk is full.",
    }.items()
}
ABOUT = """Sounds from words. `POST /v1/audio/generations` gives a job; follow it at
`/v1/jobs/ID/events`, or wait for it with `?wait=30`; its sounds have addresses of their own. Words
and limits are those of the command line, `soundwright generate`. Every fault is an object `error`
with a `type`, a `message` and often what was `expected` and what to `change`."""


def create_app(config: ServingConfig, workers: Sequence[Worker]) -> FastAPI:
    """The application of one server; its engine starts and ends with it.

    Args:
        config: What is offered, and what is refused.
        workers: Who makes the sounds.

    Raises:
        UserError: The folder of its state cannot be used.
    """
    metrics = Metrics()
    config.state.mkdir(parents=True, exist_ok=True)
    store, shelf = Store(config.state), Shelf(config.state)
    engine = Engine(config, store, shelf, workers, metrics)
    metrics.watch(lambda: float(len(engine.queue)))
    context = Context(
        config=config,
        store=store,
        shelf=shelf,
        engine=engine,
        acceptance=Acceptance(config, engine, store, shelf),
        listener=Listener(config.longest),
        metrics=metrics,
    )

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(engine.start)
        try:
            yield
        finally:
            await run_in_threadpool(engine.close)
            await run_in_threadpool(context.acceptance.close)
            await run_in_threadpool(context.listener.close)
            store.close()

    app = FastAPI(
        title="Soundwright",
        version=soundwright.__version__,
        description=ABOUT,
        lifespan=live,
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
    )
    app.state.context = context
    for routes in (generations, uploads, jobs, models, operations, studio):
        app.include_router(routes.router)
    handle_faults(app)
    _guard(app, config, metrics)
    return app


def _guard(app: FastAPI, config: ServingConfig, metrics: Metrics) -> None:
    access = Access(config.token, config.hosts, config.rate)
    app.add_middleware(Gate, access=access, metrics=metrics)
    app.add_middleware(
        Guard,
        largest=lambda method, path: (
            config.largest_upload if (method, path) == ("POST", UPLOADS) else config.largest_body
        ),
        refuse=answer(
            413,
            Problem(
                type="too_large",
                message="The body is too large.",
                expected=f"at most {config.largest_body} bytes, of an upload at most"
                f" {config.largest_upload}",
            ),
        ),
    )
    if config.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(config.origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["authorization", "content-type"],
            expose_headers=["retry-after", "location", generations.JOB_HEADER],
        )
