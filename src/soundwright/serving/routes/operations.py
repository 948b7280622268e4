"""For those who run the server: is it alive, is it ready, how is it doing."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response

from soundwright.core.records import Record
from soundwright.serving.context import Running
from soundwright.serving.routes.models import ModelState, show_model

Status = Literal["ready", "loading", "failed"]

router = APIRouter(tags=["operations"])


class Health(Record):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Record):
    """Whether a request for sounds would be worked on."""

    status: Status
    waiting: int
    """Sounds in the queue."""
    models: dict[str, ModelState]


@router.get("/health")
def tell_health() -> Health:
    """Whether the process answers at all."""
    return Health()


@router.get("/ready", responses={503: {"model": Readiness}})
def tell_readiness(running: Running, response: Response) -> Readiness:
    """Whether the default model is there; 503 while it is not."""
    models: dict[str, ModelState] = {
        name: show_model(running, name).state for name in running.config.models
    }
    default = models[running.config.models[0]]
    status: Status = "loading" if default == "waiting" else default
    if status != "ready":
        response.status_code = 503
    return Readiness(status=status, waiting=len(running.engine.queue), models=models)


@router.get("/metrics")
def tell_metrics(running: Running) -> Response:
    """Numbers for Prometheus."""
    return Response(running.metrics.render(), media_type="text/plain; version=0.0.4")
