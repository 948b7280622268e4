"""What a system hands to the training loop, and the run that comes of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from soundwright.core.errors import UserError
from soundwright.core.protocols import Batches, Shareable, TrainingTask
from soundwright.core.ranks import Ranks
from soundwright.data.prefetch import prefetch
from soundwright.pipelines.recipe import Recipe
from soundwright.training.loop import SampleHook, TrainingResult, train
from soundwright.training.runs import RunFolder

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Workplace:
    """Where a run keeps what it makes, and how it goes on."""

    run: Path
    """The run's folder."""
    data: Path
    """Where corpora are made. A codec that is trained on the way shares them with its model."""
    resume: bool = False
    """Whether the run has been started before."""
    accept_changes: bool = False
    """Whether it may go on with other settings."""
    ranks: Ranks = field(default_factory=Ranks)
    """The processes that train together. What is trained on the way is trained by one."""

    @property
    def model(self) -> Path:
        """Where the finished model stands."""
        return self.run / "model"


@dataclass(frozen=True)
class Job(Generic[Batch]):
    """Everything that the loop needs, and what to do with the result."""

    task: TrainingTask[Batch]
    batches: Batches[Batch]
    validation: Batches[Batch] | None
    save: Callable[[Path, Path], None]
    """Writes the model: takes the last checkpoint, and the model's folder."""
    hooks: tuple[SampleHook, ...] = ()
    ends: Callable[[int], bool] | None = None
    """As in `training.loop.train`."""


def run_job(job: Job[Any], recipe: Recipe, place: Workplace) -> TrainingResult:
    """Train, then write the model; on all ranks of `place`.

    Raises:
        UserError: As `training.loop.train`.
        TrainingInterrupted: SIGINT or SIGTERM came; everything is saved.
    """

    def stream(batches: Batches[Any], numbers: range) -> Iterator[Any]:
        with closing(prefetch(batches, numbers.start, recipe.data.workers)) as ahead:
            yield from itertools.islice(ahead, len(numbers))

    ranks = place.ranks
    result = train(
        job.task,
        _share(job.batches, recipe, ranks),
        recipe.training,
        place.run,
        validation=None if job.validation is None else _share(job.validation, recipe, ranks),
        hooks=job.hooks,
        ends=job.ends,
        stream=stream,
        # A run that was stopped while its data was made has not begun for the loop.
        resume=place.resume and RunFolder(place.run).settings.exists(),
        accept_changes=place.accept_changes,
        metadata={key: value for key, value in recipe.plain().items() if key != "training"},
        ranks=ranks,
    )
    ranks.decide(lambda: job.save(result.checkpoint, place.model))
    return result


def _share(batches: Batches[Any], recipe: Recipe, ranks: Ranks) -> Batches[Any]:
    """This rank's share of batches.

    Raises:
        UserError: They cannot be shared.
    """
    if not ranks.are_many:
        return batches
    if not isinstance(batches, Shareable):
        raise UserError(
            f"A {recipe.kind} is trained by one process, not by {ranks.count}.",
            change="Start it without torchrun.",
        )
    return batches.for_rank(ranks.rank, ranks.count)
