"""The one training loop: steps, logs, validation, samples, checkpoints, resume."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from soundwright.core.devices import autocast, claim_device, is_out_of_memory
from soundwright.core.errors import UserError
from soundwright.core.progress import Meter
from soundwright.core.protocols import Batches, RankBound, TrainingTask
from soundwright.core.ranks import Ranks
from soundwright.training.checkpoints import newest_checkpoint, remove_leavings, write_checkpoint
from soundwright.training.clock import Clock, describe_speed
from soundwright.training.interrupts import Interrupts, TrainingInterrupted
from soundwright.training.metrics import Kind, MetricSink, open_sinks
from soundwright.training.optimizers import Move
from soundwright.training.runs import RunFolder, open_run, save_settings
from soundwright.training.session import Session
from soundwright.training.settings import MAY_CHANGE, TrainingConfig
from soundwright.training.workload import Workload

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
    ends: Callable[[int], bool] | None = None,
    stream: Stream[Batch] = in_order,
    resume: bool = False,
    accept_changes: bool = False,
    metadata: Mapping[str, Any] | None = None,
    ranks: Ranks | None = None,
) -> TrainingResult:
    """Train `task` until `config.steps` steps are done, or `ends` says so.

    A run that is killed at any moment and resumed ends with the weights of one that never was,
    on the same machine with the same number of threads and ranks.

    Args:
        task: What is trained; its players are moved to the device.
        batches: The training batches; this rank's share of each.
        config: The loop's settings.
        folder: Where the run lives.
        validation: Batches 0 to `validate_batches - 1` of it are validated.
        hooks: Makers of samples.
        ends: Says, on rank 0, of a number of steps done whether they are enough; asked at the
            beginning and whenever samples were made.
        stream: Goes through the batches; the place for prefetching.
        resume: Go on with the run in `folder`; one without a checkpoint starts again.
        accept_changes: Resume although settings differ.
        metadata: JSON values that say what `task` and `batches` are, such as the resolved
            recipe without its training section. Saved with the run and in every checkpoint, and
            compared on resuming.
        ranks: The processes that train together, all of which call this. `folder` is the same
            for all of them; rank 0 alone logs and makes samples.

    Raises:
        UserError: `folder` is no run, or one already; the settings differ; a checkpoint is
            damaged; the disk or a device's memory is full; the run diverges.
        TrainingInterrupted: SIGINT or SIGTERM came; everything is saved.
    """
    ranks = ranks or Ranks()
    settings = {
        "training": config.plain(),
        "metadata": dict(metadata or {}),
        "ranks": ranks.count,
    }
    device = claim_device(config.device, ranks)
    run = RunFolder(Path(folder))
    free = [f"training.{key}" for key in MAY_CHANGE]
    if not (isinstance(task, RankBound) and task.is_bound_to_ranks):
        free.append("ranks")

    def open_folder() -> str | None:
        open_run(run.path, settings, resume=resume, free=free, accept_changes=accept_changes)
        remove_leavings(run.checkpoints)
        newest = newest_checkpoint(run.checkpoints)
        return None if newest is None else str(newest)

    with ranks.connected(device, config.parallel.timeout_minutes), _memory_explained(ranks):
        session = Session(task, config, device, ranks)
        newest = ranks.decide(open_folder)
        if newest is not None:
            session.restore(Path(newest))
        ranks.decide(lambda: save_settings(run, settings))
        loop = _Loop(session, config, run, device, settings)
        with _own_generators(device):
            loop.go(batches, stream, validation, hooks, ends)
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
        self._ranks = session.ranks
        modules = [player.module for player in session.players.values()]
        workload = Workload(modules, device, config.precision, compiled=config.compile)
        self._clock = Clock(workload, self._ranks.count)
        self._speed = ""
        self._saved_at = time.monotonic()
        self._sinks: Sequence[MetricSink] = ()
        self.validation: Mapping[str, float] = {}

    def go(
        self,
        batches: Batches[Batch],
        stream: Stream[Batch],
        validation: Batches[Batch] | None,
        hooks: Sequence[SampleHook],
        ends: Callable[[int], bool] | None,
    ) -> None:
        """Do the steps that are left."""
        session, steps, parts = self._session, self._config.steps, self._config.accumulate
        numbers = range(session.done * parts, steps * parts)
        with ExitStack() as stack:
            stack.enter_context(self._logging())
            interrupts = stack.enter_context(Interrupts())
            meter = None
            if self._ranks.is_first:
                meter = stack.enter_context(Meter("train", steps, done=session.done))
            source = stack.enter_context(_closing(iter(stream(batches, numbers))))
            ended = self._has_ended(ends)
            while session.done < steps and not ended:
                with self._clock.waiting():
                    micro_batches = list(itertools.islice(source, parts))
                note = self._step(micro_batches)
                if validation is not None and self._is_due(self._config.validate_every):
                    self._validate(validation)
                if hooks and self._is_due(self._config.sample_every):
                    self._sample(hooks)
                    ended = self._has_ended(ends)
                # One rank's clock or signal must not part it from the others.
                signal, late = self._ranks.highest(interrupts.received or 0, self._is_late())
                if signal or late or ended or self._must_save():
                    self._save()
                if meter is not None:
                    meter.advance(note=note)
                if signal:
                    raise TrainingInterrupted(self._run.path, session.done, signal)

    def _step(self, micro_batches: Sequence[Any]) -> str:
        """Do and log one step; returns a note for the progress bar."""
        if len(micro_batches) < self._config.accumulate:
            raise RuntimeError(f"The stream of batches ended at step {self._session.done}.")
        number = self._session.done + 1
        logs = number % self._config.log_every == 0 or number == self._config.steps
        with self._clock.working(micro_batches):
            moves, metrics = self._session.step(micro_batches, wants_metrics=logs)
        if logs:
            reading = self._clock.read()
            self._speed = describe_speed(reading)
            self._log("train", {**self._session.summarise(moves), **metrics, **reading})
        return "  ".join(part for part in (_describe(moves), self._speed) if part)

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

    def _has_ended(self, ends: Callable[[int], bool] | None) -> bool:
        """Whether the run ends before its time; the same for all ranks."""
        done = self._session.done
        return ends is not None and self._ranks.decide(lambda: ends(done))

    def _is_late(self) -> bool:
        """Whether this rank's clock says that the last checkpoint is too long ago."""
        minutes = self._config.checkpoint_minutes
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    def _must_save(self) -> bool:
        at_end = self._session.done == self._config.steps
        return at_end or self._is_due(self._config.checkpoint_every)

    def _validate(self, batches: Batches[Any]) -> None:
        sums: dict[str, float] = {}
        count = self._config.validate_batches
        with self._session.evaluating(), autocast(self._device, self._session.precision):
            for number in range(count):
                scalars = self._session.task.validate(batches[number], self._device)
                for name, value in scalars.items():
                    sums[name] = sums.get(name, 0.0) + value
        means = {name: total / count for name, total in sums.items()}
        self.validation = self._ranks.mean(means)
        self._log("validation", self.validation)

    def _sample(self, hooks: Sequence[SampleHook]) -> None:
        step = self._session.done

        def make() -> dict[str, float]:
            values: dict[str, float] = {}
            for hook in hooks:
                values.update(hook(step, self._session.task, self._run.samples(step)) or {})
            return values

        with self._session.evaluating():
            values = self._ranks.decide(make)
        if values:
            self._log("samples", values)

    def _save(self) -> None:
        checkpoint = self._session.checkpoint(self._settings)
        write_checkpoint(
            self._run.checkpoints, checkpoint, keep=self._config.keep, ranks=self._ranks
        )
        self._saved_at = time.monotonic()

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """A block in which the logs are open; those of rank 0 alone."""
        if not self._ranks.is_first:
            yield
            return
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


@contextmanager
def _memory_explained(ranks: Ranks) -> Iterator[None]:
    """A block whose errors for want of memory say what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        where = f"rank {ranks.rank} " if ranks.are_many else ""
        said = str(error).splitlines() or ["the machine's is used up."]
        raise UserError(
            f"There is no memory left: {where}{said[0]}",
            change="Lower segments.batch and raise training.accumulate by the same factor; shorten "
            "segments.duration; for a language model set lm.checkpointing=true, or train an "
            "adapter; on several GPUs set training.parallel.kind=fsdp. The checkpoints are sound: "
            "resume accepting the change.",
        ) from error


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
