"""`train`: from a recipe to a model folder, through everything that is missing in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from soundwright.core.devices import choose_device, claim_device
from soundwright.core.errors import UserError
from soundwright.core.files import write_json
from soundwright.core.ranks import Ranks, open_ranks
from soundwright.data.segments import Share
from soundwright.pipelines.jobs import Workplace, run_job
from soundwright.pipelines.memory import MemoryEstimate
from soundwright.pipelines.recipe import Recipe
from soundwright.pipelines.systems import SYSTEMS, System, read_recipe
from soundwright.training.loop import TrainingResult

RECIPE_FILE = "recipe.json"
"""Written first of all; a folder that has it is a run, even one without a step."""


@dataclass(frozen=True)
class Trained:
    """What a finished run left behind."""

    recipe: Recipe
    model: Path
    """The model's folder."""
    result: TrainingResult
    speaks: bool = True
    """Whether this process is the one of its run that tells people of it."""


def train_recipe(
    name: str,
    overrides: Iterable[str] = (),
    *,
    out: Path | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    tell: Callable[[str], None] | None = None,
    systems: Mapping[str, System] = SYSTEMS,
) -> Trained:
    """Train a recipe until it is done; its model is then in `out/model`.

    Processes that `torchrun` started train together. Rank 0 makes what is missing, such as codec
    and tokens, while the others wait; then each takes its share of every batch.

    Args:
        name: Of a shipped recipe, or a path to a YAML file.
        overrides: Assignments such as "training.steps=500".
        out: The run's folder; `runs/<name>` by default.
        resume: Go on with the run in `out`. One that has no checkpoint yet starts again, with
            the data that it has made so far.
        accept_changes: Resume although settings differ from the run's.
        tell: Told how much memory the run will take, before anything is made.
        systems: By kind of recipe; a floor above adds its own.

    Raises:
        UserError: A recipe, folder or data set that cannot be used; see `training.loop.train`.
        TrainingInterrupted: SIGINT or SIGTERM came; everything is saved.
    """
    with open_ranks() as ranks:
        recipe = read_recipe(name, overrides, systems)
        system = systems[recipe.kind]
        device = claim_device(recipe.training.device, ranks)
        _check_batch(recipe, ranks)
        estimate = _estimate(system, recipe, device, ranks)
        folder = run_folder(recipe, out)
        place = Workplace(folder, folder / "data", resume, accept_changes, ranks)

        def begin() -> None:
            _check_folder(folder, resume)
            if not resume:
                write_json(folder / RECIPE_FILE, recipe.plain())

        ranks.decide(begin)
        _check_shared(folder, ranks)
        if tell is not None and estimate is not None and ranks.is_first:
            tell(estimate.describe())
        job = ranks.lead(lambda: system.prepare(recipe, place))
        return Trained(recipe, place.model, run_job(job, recipe, place), ranks.is_first)


def estimate_recipe(
    name: str, overrides: Iterable[str] = (), systems: Mapping[str, System] = SYSTEMS
) -> MemoryEstimate:
    """How much memory the training of a recipe takes, on the device that it would use here.

    Raises:
        UserError: The recipe cannot be used, or nothing is known of its kind.
    """
    recipe = read_recipe(name, overrides, systems)
    found = _estimate(systems[recipe.kind], recipe, choose_device(recipe.training.device), Ranks())
    if found is None:
        raise UserError(
            f"The memory of {name} cannot be told before it is trained.",
            expected="a recipe of a language model, with a number as segments.duration",
        )
    return found


def run_folder(recipe: Recipe, out: Path | None) -> Path:
    """The folder of a recipe's run."""
    return Path("runs") / recipe.name if out is None else Path(out)


def _estimate(
    system: System, recipe: Recipe, device: torch.device, ranks: Ranks
) -> MemoryEstimate | None:
    return None if system.estimate is None else system.estimate(recipe, device, ranks)


def _check_batch(recipe: Recipe, ranks: Ranks) -> None:
    """Find out before hours of preparation whether every rank gets a share of each batch."""
    segments = getattr(recipe, "segments", None)
    if ranks.are_many and segments is not None:
        Share(segments.batch, ranks.rank, ranks.count)


def _check_shared(folder: Path, ranks: Ranks) -> None:
    if not (folder / RECIPE_FILE).is_file():
        raise UserError(
            f"{folder}, where rank 0 writes, is not there for rank {ranks.rank}.",
            expected="a run's folder on a file system that all machines share",
            change="Set --out to a folder on one.",
        )


def _check_folder(folder: Path, resume: bool) -> None:
    is_run = (folder / RECIPE_FILE).is_file()
    if resume and not is_run:
        state = "is no run" if folder.exists() else "does not exist"
        raise UserError(
            f"{folder} {state}: there is nothing to resume.",
            expected="the folder of a started run",
            change="Check --out, or start a new run without --resume.",
        )
    if is_run and not resume:
        raise UserError(
            f"{folder} holds a run already.",
            change="Go on with it (--resume), or choose another folder (--out).",
        )
    if folder.is_file():
        raise UserError(f"{folder} is a file.", expected="a folder for the run")
