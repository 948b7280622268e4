"""The same application under Ray Serve: one front with the jobs, any number of makers.

    serve run soundwright.serving.ray:build models=bundled replicas=4 state=/data/soundwright

The front is the application of `app`, with its queue, its store and its page; its workers are
replicas of a deployment, wherever the cluster has put them. A batch and its sounds travel through
Ray, models do not: each replica loads its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayError, TaskCancelledError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from soundwright.core.errors import UserError
from soundwright.serving.app import create_app
from soundwright.serving.batches import Batch, Message
from soundwright.serving.config import ServingConfig
from soundwright.serving.jobs import Problem
from soundwright.serving.problems import describe_error
from soundwright.serving.worker import Maker, StoppedError
from soundwright.serving.workers import IsStopped, LostError, Tell

LOAD_PATIENCE_S = 600.0
LISTS = ("models", "origins", "hosts")
"""Settings that are written with commas."""


class Makers:
    """One replica: the models of one device."""

    def __init__(self, device: str, dtype: str) -> None:
        self._maker = Maker(device, dtype)

    def load(self, model: str) -> Problem | None:
        """As `Worker.load`."""
        try:
            self._maker.open(model)
        except UserError as error:
            return describe_error(error, "unavailable")
        return None

    def make(self, batch: Batch) -> Iterator[Message]:
        """Messages of a batch as they come; who closes the iterator stops it."""
        messages: SimpleQueue[Message | BaseException | None] = SimpleQueue()
        stopped = threading.Event()

        def work() -> None:
            try:
                self._maker.make(batch, messages.put, stopped.is_set)
                messages.put(None)
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                messages.put(None if isinstance(error, StoppedError) else error)

        thread = threading.Thread(target=work, name="maker", daemon=True)
        thread.start()
        try:
            while (message := messages.get()) is not None:
                if isinstance(message, BaseException):
                    raise message
                yield message
        finally:
            stopped.set()
            thread.join()


class RayWorker:
    """A `workers.Worker` that is whichever replica has nothing to do.

    Args:
        makers: The deployment.
    """

    def __init__(self, makers: DeploymentHandle[Any]) -> None:
        self._makers = makers

    def load(self, model: str) -> Problem | None:
        """As `Worker.load`."""
        try:
            return self._makers.load.remote(model).result(timeout_s=LOAD_PATIENCE_S)
        except (RayError, RayServeException, TimeoutError) as error:
            raise LostError(f"a replica was lost: {type(error).__name__}") from error

    def run(self, batch: Batch, tell: Tell, is_stopped: IsStopped) -> None:
        """As `Worker.run`."""
        messages: Any = self._makers.options(stream=True).make.remote(batch)
        try:
            for message in messages:
                tell(message)
                if is_stopped():
                    messages.cancel()
                    with suppress(TaskCancelledError, RayError):
                        for _ in messages:
                            pass
                    return
        except (RayError, RayServeException) as error:
            raise LostError(f"a replica was lost: {type(error).__name__}") from error

    def close(self) -> None:
        """As `Worker.close`; Ray ends its replicas itself."""


def build(arguments: dict[str, str]) -> serve.Application:
    """What `serve run` deploys.

    Args:
        arguments: Settings of `ServingConfig` by name, lists with commas; `replicas`, the number
            of makers; `gpus`, what each needs of a GPU; `device` and `dtype` of their models.

    Raises:
        ConfigError: An unknown setting or a wrong value.
    """
    given: dict[str, Any] = dict(arguments)
    replicas, gpus = int(given.pop("replicas", 1)), float(given.pop("gpus", 0))
    device = given.pop("device", "cuda" if gpus else "cpu")
    values = {
        name: tuple(value.split(",")) if name in LISTS else value for name, value in given.items()
    }
    config = ServingConfig.read(values, origin="the arguments")
    deploy: Any = serve.deployment
    makers = deploy(
        Makers,
        name="makers",
        num_replicas=replicas,
        max_ongoing_requests=1,
        ray_actor_options={"num_cpus": 0 if gpus else 1, "num_gpus": gpus},
    ).bind(device, config.dtype)

    def open_front() -> FastAPI:
        handle = serve.get_deployment_handle("makers", _app_name())
        return create_app(config, [RayWorker(handle) for _ in range(replicas)])

    class Front:
        """The one replica that has the jobs."""

        def __init__(self, _: DeploymentHandle[Any]) -> None:
            """The makers are bound, so that they are deployed first."""

    front = deploy(
        serve.ingress(open_front)(Front),
        name="front",
        num_replicas=1,
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0},
    )
    return front.bind(makers)


def _app_name() -> str:
    return serve.get_replica_context().app_name
