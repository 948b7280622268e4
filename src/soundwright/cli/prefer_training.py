"""`soundwright prefer train` and `loop`: from pairs to an aligned model, once or in rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundwright.cli.output import JsonOption, SetOption, emit_json, emit_table, emit_text, note
from soundwright.cli.train import train as train_command

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A name from `recipes list`, or a .yaml file.")
]
SHOWN = ("accuracy", "margin", "drift/winner", "own")
"""Of each round's last validation."""


def train(
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="The folder that `prefer pair` wrote.")
    ],
    recipe: Annotated[str, typer.Option(help="tango2, prefer-lm, or a .yaml file.")] = "prefer-lm",
    model: Annotated[
        str | None, typer.Option(help="To start from: name, folder, or owner/name on the hub.")
    ] = None,
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
    """Align a model with pairs of sounds; as `soundwright train`, with pairs and model as options.

    Example: soundwright prefer train alpaca --model bundled --out runs/aligned
    """
    given = [f"pairs={pairs}"]
    if model is not None:
        given.append(f"from_model={model}")
    train_command(
        recipe,
        [*given, *(overrides or ())],
        resume=resume,
        accept_changes=accept_changes,
        out=out,
        estimate=False,
        json=json,
    )


def loop(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The loop's folder (default: loops/RECIPE).")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make sounds, choose pairs, align, and begin anew with the aligned model, round after round.

    Stop it whenever you like: the same command goes on and ends with the same models.

    Example: soundwright prefer loop crpo --set from_model=tango-run/model
    --set loop.captions=captions.jsonl --out loops/first
    """
    from soundwright.preference.online import run_loop

    finished = run_loop(recipe, overrides or (), out, note)
    if json:
        emit_json({"folder": str(finished.folder), "rounds": finished.rounds})
        return
    emit_table(
        ("round", "pairs", "of", "steps", *SHOWN),
        (
            (
                number,
                said["pairs"]["pairs"],
                said["pairs"]["candidates"],
                said["steps"],
                *(_show(said["validation"].get(name)) for name in SHOWN),
            )
            for number, said in enumerate(finished.rounds, start=1)
        ),
    )
    emit_text(finished.rounds[-1]["model"])


def _show(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
