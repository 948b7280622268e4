"""Which models there are, and what may be asked of them."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field

import soundwright
from soundwright.core.errors import UserError
from soundwright.core.records import Record
from soundwright.pipelines.asking import read_defaults, samplers_of, settings_of
from soundwright.pipelines.models import ModelRecord
from soundwright.serving.bodies import SHORTEST_S
from soundwright.serving.context import Context, Running
from soundwright.serving.jobs import Problem
from soundwright.serving.problems import describe_error

EXAMPLES = (
    "a dog barks twice",
    "rain falls while thunder rolls far away",
    "a rooster crows, then a baby cries",
    "sea waves on a beach",
    "a clock ticks in a quiet room",
    "a helicopter flies past",
    "fire crackling",
    "footsteps, then a door knocks three times",
)
RANGES: dict[str, tuple[float, float | None]] = {
    "duration": (SHORTEST_S, None),
    "cfg_scale": (0.0, None),
    "temperature": (0.0, None),
    "top_k": (0, None),
    "top_p": (0.0, 1.0),
    "steps": (1, 1000),
    "cfg_rescale": (0.0, 1.0),
}

ModelState = Literal["ready", "waiting", "failed"]
"""ready; waiting to be loaded, when it is first asked for; or failed to load."""

router = APIRouter(prefix="/v1/models", tags=["models"])


class SettingView(Record):
    """What one setting may be."""

    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: list[str] | None = None


class ModelView(Record):
    """A model that is offered."""

    name: str
    kind: Literal["lm", "diffusion", "unknown"]
    state: ModelState
    error: Problem | None = None
    hash: str | None = None
    licence: str | None = None
    streams: bool = False
    continues: bool = False
    settings: dict[str, SettingView] = Field(default_factory=dict[str, SettingView])


class ModelsView(Record):
    """All models; the first one is the default."""

    models: list[ModelView]
    examples: list[str]
    version: str


@router.get("")
def list_models(running: Running) -> ModelsView:
    """All models, the default first, and what each lets people choose."""
    models = [show_model(running, name) for name in running.config.models]
    return ModelsView(models=models, examples=list(EXAMPLES), version=soundwright.__version__)


def show_model(running: Context, name: str) -> ModelView:
    """A model as clients see it."""
    record = running.acceptance.records[name]
    if isinstance(record, UserError):
        problem = describe_error(record, "unavailable")
        return ModelView(name=name, kind="unknown", state="failed", error=problem)
    tried, problem = name in running.engine.models, running.engine.models.get(name)
    speaks = record.kind == "lm"
    return ModelView(
        name=name,
        kind="lm" if speaks else "diffusion",
        state="failed" if problem is not None else "ready" if tried else "waiting",
        error=problem,
        hash=record.hash,
        licence=record.licence,
        streams=speaks,
        continues=speaks,
        settings=_settings(running, record),
    )


def _settings(running: Context, record: ModelRecord) -> dict[str, SettingView]:
    defaults = read_defaults(record).plain()
    views: dict[str, SettingView] = {}
    for name in settings_of(record):
        if name == "sampler":
            choices = samplers_of(record)
            default = defaults[name] or ("euler" if "euler" in choices else "dpm++")
            views[name] = SettingView(default=default, choices=list(choices))
            continue
        least, most = RANGES[name]
        most = running.config.longest if name == "duration" else most
        views[name] = SettingView(default=defaults[name], minimum=least, maximum=most)
    most = {"num_samples": running.config.most_at_once, "best_of": running.config.most}
    for name, limit in most.items():
        views[name] = SettingView(default=1, minimum=1, maximum=limit)
    return views
