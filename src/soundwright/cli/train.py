"""`soundwright train`: from a recipe to a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundwright.cli.output import JsonOption, SetOption, emit_json, emit_table, emit_text, note

if TYPE_CHECKING:
    from soundwright.pipelines.memory import MemoryEstimate

SPEAKING = ("lm", "diffusion", "preference")
"""Kinds of recipes whose models generate."""


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A name from `recipes list`, or a .yaml file.")
    ],
    overrides: SetOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out where it stopped.")
    ] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Resume although settings differ.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's folder (default: runs/RECIPE).")
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only say how much memory it would take.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train a recipe; makes the data, codec and tokens that it needs first.

    Stop it with Ctrl-C, or kill it, whenever you like: the same command with --resume goes on
    and ends with the same weights.

    Example: soundwright train synth-tiny --set training.steps=100 --out runs/first
    """
    from soundwright.pipelines.training import estimate_recipe, train_recipe
    from soundwright.preference.system import ALL_SYSTEMS

    if estimate:
        _show(estimate_recipe(recipe, overrides or (), ALL_SYSTEMS), json=json)
        return
    trained = train_recipe(
        recipe,
        overrides or (),
        out=out,
        resume=resume,
        accept_changes=accept_changes,
        tell=note,
        systems=ALL_SYSTEMS,
    )
    if not trained.speaks:
        return
    result = trained.result
    if json:
        emit_json(
            {
                "recipe": trained.recipe.name,
                "run": str(result.folder),
                "model": str(trained.model),
                "checkpoint": str(result.checkpoint),
                "steps": result.step,
                "validation": dict(result.validation),
                "skipped": dict(result.skipped),
            }
        )
        return
    emit_text(str(trained.model))
    if trained.recipe.kind in SPEAKING:
        note(f'Listen to it: soundwright generate "a dog barks" --model {trained.model}')


def _show(estimate: MemoryEstimate, *, json: bool) -> None:
    if json:
        emit_json(
            {
                "device": str(estimate.device),
                "bytes": estimate.total,
                "available": estimate.available,
                "fits": estimate.fits,
                "parts": dict(estimate.parts),
                "remedy": estimate.remedy,
            }
        )
        return
    rows = [*estimate.parts.items(), ("all", estimate.total)]
    emit_table(("", "GB"), ((name, f"{amount / 2**30:.2f}") for name, amount in rows))
    note(estimate.describe())
