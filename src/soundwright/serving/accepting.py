"""From a request to a job: the same checks, in the same words, as the command line."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool

from soundwright.core.errors import UserError, nearest
from soundwright.pipelines.asking import check_asked, read_defaults
from soundwright.pipelines.models import ModelRecord, find_model, read_record
from soundwright.serving.admitting import Admission
from soundwright.serving.beginnings import find_beginning
from soundwright.serving.bodies import GenerationBody
from soundwright.serving.config import ServingConfig
from soundwright.serving.engine import Accepted, Engine
from soundwright.serving.jobs import Asked, Plan
from soundwright.serving.problems import ProblemError, describe_error, refuse
from soundwright.serving.shelf import Shelf
from soundwright.serving.store import Store

DRAWN_SEEDS = 2**31


class Acceptance:
    """Who checks requests and lets them wait.

    Args:
        config: Of the server.
        engine: That does the work.
        store: Of jobs.
        shelf: Of files.
    """

    def __init__(self, config: ServingConfig, engine: Engine, store: Store, shelf: Shelf) -> None:
        self._config, self._engine = config, engine
        self._store, self._shelf = store, shelf
        self._admission = Admission(engine.submit)
        self.records: dict[str, ModelRecord | UserError] = {}
        """Of every model that is offered, or what is wrong with it."""
        for name in config.models:
            try:
                self.records[name] = find_record(name)
            except UserError as error:
                self.records[name] = error

    async def accept(self, body: GenerationBody) -> Accepted:
        """Check a request and let it wait.

        Raises:
            ProblemError: 404, 410, 422, 503.
            FullError: The queue is full.
            ClosedError: The server is ending.
            sqlite3.Error, OSError: The disk does not take it.
        """
        name = body.model or self._config.models[0]
        record = self._find(name)
        try:
            body.check(self._config.most_at_once, self._config.most)
            config = check_asked(
                record,
                body.drawing(),
                negative=body.negative,
                loop=body.loop,
                longest=self._config.longest,
            )
        except UserError as error:
            raise refuse_error(error) from error
        if record.kind == "diffusion" and (body.stream or body.continue_from is not None):
            what = "stream" if body.stream else "continue_from"
            raise refuse(
                422, "invalid", f"{what} is not for {name}, which is a diffusion model.", field=what
            )
        beginning, digest = None, None
        if body.continue_from is not None:
            beginning, digest = await run_in_threadpool(
                find_beginning, self._store, self._shelf, body.continue_from
            )
        plan = Plan(
            model=name,
            model_hash=record.hash,
            settings=_arguments(config.plain(), body.drawing()),
            negative=body.negative,
            loop=body.loop,
            best_of=body.best_of,
            beginning=beginning,
            beginning_hash=digest,
            stream=body.stream,
            format=body.format,
        )
        seed = secrets.randbelow(DRAWN_SEEDS) if body.seed is None else body.seed
        request = body.model_dump(mode="json", exclude_unset=True) | {"model": name, "seed": seed}
        prompts = [prompt for prompt in body.wanted for _ in range(body.num_samples)]
        items = [(prompt, seed + number * body.best_of) for number, prompt in enumerate(prompts)]
        return await self._admission.admit(Asked(request, plan, items))

    def close(self) -> None:
        """Answer who waits to be accepted, and accept nothing more."""
        self._admission.close()

    def _find(self, name: str) -> ModelRecord:
        found = self.records.get(name)
        if found is None:
            raise refuse(
                404,
                "not_found",
                f"There is no model {name!r} here: {nearest(name, self.records)}",
                field="model",
            )
        problem = self._engine.models.get(name)
        if isinstance(found, UserError):
            raise ProblemError(503, describe_error(found, "unavailable", "model"))
        if problem is not None:
            raise ProblemError(503, problem)
        return found


def find_record(name: str) -> ModelRecord:
    """What is known of a model that shall be offered.

    Raises:
        UserError: There is no such model, or it makes no sounds.
    """
    record = read_record(find_model(name))
    read_defaults(record)
    return record


def refuse_error(error: UserError) -> ProblemError:
    """A person's mistake as an answer; the field is the first word of the message, if it is one."""
    word = error.problem.split(" ", 1)[0]
    field = word if word in GenerationBody.model_fields else None
    if error.problem.startswith("The prompt"):
        field = "prompt"
    elif error.problem.startswith("Prompt "):
        field = "prompts"
    elif error.problem.startswith("The negative"):
        field = "negative"
    elif error.problem.startswith("A loop"):
        field = "loop"
    return ProblemError(422, describe_error(error, field=field))


def _arguments(settled: Mapping[str, Any], drawing: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that `generate` takes, defaults filled in."""
    return {name: settled[name] for name in drawing if name in settled}
