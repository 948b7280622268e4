"""The one training loop: steps, logs, validation, samples, checkpoints, resume."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from soundwright.core.devices import autocast, choose_device
from soundwright.core.errors import UserError
from soundwright.core.progress import Meter
from soundwright.core.protocols import Batches, TrainingTask
from soundwright.training.checkpoints import newest_checkpoint, remove_leavings, write_checkpoint
from soundwright.training.clock import Clock
from soundwright.training.interrupts import Interrupts, TrainingInterrupted
from soundwright.training.metrics import Kind, MetricSink, open_sinks
from soundwright.training.optimizers import Move
from soundwright.training.runs import RunFolder, open_run, save_settings
from soundwright.training.session import Session
from soundwright.training.settings import MAY_CHANGE, TrainingConfig

logger = logging.getLogger(__name__)

Batch = TypeVar("Batch")
Stream = Callable[[Batches[Batch], range], Iterable[Batch]]
"""Gives the batches of the numbers in a range, in order; a prefetching one works ahead of it."""


class SampleHook(Protocol):
    """Something that makes and writes samples during training."""

    def __call__(
        self, step: int, task: TrainingTask[Any], folder: Path
    ) -> Mapping[str, float] | None:
        """Write samples to `folder`, which the hook makes itself.

        The task's players have their averaged weights and are in evaluation mode; gradients
        are off. Random draws do not disturb the run.

        Returns:
            Metrics of the samples, such as `silent_fraction` and `distinct_fraction`.
        """
        ...


@dataclass(frozen=True)
class TrainingResult:
    """Where a finished run stands."""

    folder: Path
    checkpoint: Path
    step: int
    validation: Mapping[str, float]
    """The last validation in this process; empty if there was none."""
    skipped: Mapping[str, int]
    """Steps that each player skipped because something was not finite, over the whole run."""


def in_order(batches: Batches[Batch], numbers: range) -> Iterator[Batch]:
    """The batches of `numbers`, each made when it is asked for."""
    for number in numbers:
        yield batches[number]


def train(
    task: TrainingTask[Batch],
    batches: Batches[Batch],
    config: TrainingConfig,
    folder: Path,
    *,
    validation: Batches[Batch] | None = None,
    hooks: Sequence[SampleHook] = (),
    stream: Stream[Batch] = in_order,
    resume: bool = False,
    accept_changes: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """Train `task` until `config.steps` steps are done.

    A run that is killed at any moment and resumed ends with the weights of one that never was,
    on the same machine with the same number of threads.

    Args:
        task: What is trained; its players are moved to the device.
        batches: The training batches.
        config: The loop's settings.
        folder: Where the run lives.
        validation: Batches 0 to `validate_batches - 1` of it are validated.
        hooks: Makers of samples.
        stream: Goes through the batches; the place for prefetching.
        resume: Go on with the run in `folder`; one without a checkpoint starts again.
        accept_changes: Resume although settings differ.
        metadata: JSON values that say what `task` and `batches` are, such as the resolved
            recipe without its training section. Saved with the run and in every checkpoint, and
            compared on resuming.

    Raises:
        UserError: `folder` is no run, or one already; the settings differ; a checkpoint is
            damaged; the disk is full; the run diverges.
        TrainingInterrupted: SIGINT or SIGTERM came; everything is saved.
    """
    settings = {"training": config.plain(), "metadata": dict(metadata or {})}
    device = choose_device(config.device)
    session = Session(task, config, device)
    run = open_run(
        folder,
        settings,
        resume=resume,
        free=[f"training.{key}" for key in MAY_CHANGE],
        accept_changes=accept_changes,
    )
    remove_leavings(run.checkpoints)
    newest = newest_checkpoint(run.checkpoints)
    if newest is not None:
        session.restore(newest)
    save_settings(run, settings)
    loop = _Loop(session, config, run, device, settings)
    with _own_generators(device):
        loop.go(batches, stream, validation, hooks)
    checkpoint = newest_checkpoint(run.checkpoints)
    assert checkpoint is not None
    return TrainingResult(run.path, checkpoint, session.done, loop.validation, session.skipped)


class _Loop:
    """Does steps and, between them, what is due.

    Args:
        session: What is trained.
        config: The loop's settings.
        run: Where the run lives.
        device: Where validation happens.
        settings: What every checkpoint says of the run.
    """

    def __init__(
        self,
        session: Session,
        config: TrainingConfig,
        run: RunFolder,
        device: torch.device,
        settings: Mapping[str, Any],
    ) -> None:
        self._session, self._config, self._run = session, config, run
        self._device, self._settings = device, settings
        self._clock = Clock()
        self._saved_at = time.monotonic()
        self._sinks: Sequence[MetricSink] = ()
        self.validation: Mapping[str, float] = {}

    def go(
        self,
        batches: Batches[Batch],
        stream: Stream[Batch],
        validation: Batches[Batch] | None,
        hooks: Sequence[SampleHook],
    ) -> None:
        """Do the steps that are left."""
        session, steps, parts = self._session, self._config.steps, self._config.accumulate
        numbers = range(session.done * parts, steps * parts)
        with (
            self._logging(),
            Interrupts() as interrupts,
            Meter("train", steps, done=session.done) as meter,
            _closing(iter(stream(batches, numbers))) as source,
        ):
            while session.done < steps:
                with self._clock.waiting():
                    micro_batches = list(itertools.islice(source, parts))
                note = self._step(micro_batches)
                if validation is not None and self._is_due(self._config.validate_every):
                    self._validate(validation)
                if hooks and self._is_due(self._config.sample_every):
                    self._sample(hooks)
                if interrupts.received is not None or self._must_save():
                    self._save()
                meter.advance(note=note)
                if interrupts.received is not None:
                    raise TrainingInterrupted(self._run.path, session.done, interrupts.received)

    def _step(self, micro_batches: Sequence[Any]) -> str:
        """Do and log one step; returns a note for the progress bar."""
        if len(micro_batches) < self._config.accumulate:
            raise RuntimeError(f"The stream of batches ended at step {self._session.done}.")
        number = self._session.done + 1
        logs = number % self._config.log_every == 0 or number == self._config.steps
        moves, metrics = self._session.step(micro_batches, wants_metrics=logs)
        self._clock.count(micro_batches)
        if logs:
            self._log("train", {**self._session.summarise(moves), **metrics, **self._clock.read()})
        return _describe(moves)

    def _log(self, kind: Kind, values: Mapping[str, float]) -> None:
        """Write a record and sound the alarms that it raises."""
        step = self._session.done
        for sink in self._sinks:
            sink.write(step, kind, values)
        for alert in self._session.health.observe(step, values):
            logger.warning("step %d: %s", step, alert)
            for sink in self._sinks:
                sink.write(step, "alarm", {"message": str(alert), "metric": alert.metric})
            if alert.stop:
                raise UserError(f"An alarm stopped the run after step {step}. {alert}")

    def _is_due(self, every: int | None) -> bool:
        """Whether something is due that happens every so many steps and at the end."""
        done = self._session.done
        return every is not None and (done % every == 0 or done == self._config.steps)

    def _must_save(self) -> bool:
        minutes = self._config.checkpoint_minutes
        late = minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes
        at_end = self._session.done == self._config.steps
        return late or at_end or self._is_due(self._config.checkpoint_every)

    def _validate(self, batches: Batches[Any]) -> None:
        sums: dict[str, float] = {}
        count = self._config.validate_batches
        with self._session.evaluating(), autocast(self._device, self._config.precision):
            for number in range(count):
                scalars = self._session.task.validate(batches[number], self._device)
                for name, value in scalars.items():
                    sums[name] = sums.get(name, 0.0) + value
        self.validation = {name: total / count for name, total in sums.items()}
        self._log("validation", self.validation)

    def _sample(self, hooks: Sequence[SampleHook]) -> None:
        step, values = self._session.done, dict[str, float]()
        with self._session.evaluating():
            for hook in hooks:
                values.update(hook(step, self._session.task, self._run.samples(step)) or {})
        if values:
            self._log("samples", values)

    def _save(self) -> None:
        checkpoint = self._session.checkpoint(self._settings)
        write_checkpoint(self._run.checkpoints, checkpoint, keep=self._config.keep)
        self._saved_at = time.monotonic()

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """A block in which the logs are open."""
        self._sinks = open_sinks(
            self._run.metrics,
            self._run.tensorboard,
            self._session.done,
            tensorboard=self._config.tensorboard,
        )
        try:
            yield
        finally:
            for sink in self._sinks:
                sink.close()


def _describe(moves: Sequence[tuple[str, Move]]) -> str:
    losses = [f"{name} {move.loss:.4g}" for name, move in moves]
    return "  ".join([*losses, f"lr {moves[0][1].lr:.2g}"]) if moves else ""


@contextmanager
def _closing(source: Iterator[Batch]) -> Iterator[Iterator[Batch]]:
    """Close a source that can be closed, such as a generator with workers behind it."""
    try:
        yield source
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


@contextmanager
def _own_generators(device: torch.device) -> Iterator[None]:
    """A block after which torch's global generators stand where they stood."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
