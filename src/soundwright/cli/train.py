"""`soundwright train`: from a recipe to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundwright.cli.output import JsonOption, SetOption, emit_json, emit_text, note


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
    json: JsonOption = False,
) -> None:
    """Train a recipe; makes the data, codec and tokens that it needs first.

    Stop it with Ctrl-C, or kill it, whenever you like: the same command with --resume goes on
    and ends with the same weights.

    Example: soundwright train synth-tiny --set training.steps=100 --out runs/first
    """
    from soundwright.pipelines.training import train_recipe

    trained = train_recipe(
        recipe, overrides or (), out=out, resume=resume, accept_changes=accept_changes
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
    if trained.recipe.kind == "lm":
        note(f'Listen to it: soundwright generate "a dog barks" --model {trained.model}')
