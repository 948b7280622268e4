"""`soundwright sweep`: the tables of an experiment, run or resumed, and written with intervals."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soundwright.cli.output import JsonOption, SetOption, emit_json, emit_table, emit_text, note

if TYPE_CHECKING:
    from soundwright.evaluation.sweeps.plan import Sweep

app = typer.Typer(
    help="Tables of experiments: list, plan, run or resume, table.", no_args_is_help=True
)

TableArgument = Annotated[
    str, typer.Argument(metavar="TABLE", help="A name from `sweep list`, or a .yaml file.")
]
RecipeOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Train this recipe instead, such as rr-study on two cores."),
]
SeedsOption = Annotated[
    int | None, typer.Option(min=1, help="So many training seeds, 0, 1 ... (default: the table's).")
]
RowsOption = Annotated[
    list[str] | None,
    typer.Option("--row", metavar="NAME", help="Only this row, as often as needed."),
]
ReferencesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="MANIFEST", help="Held-out clips to measure with, of which no model learnt."
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The sweep's folder (default: sweeps/TABLE)."),
]


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List the tables that ship.

    Example: soundwright sweep list
    """
    from soundwright.evaluation.sweeps.plan import list_tables, read_sweep

    sweeps = [read_sweep(name) for name in list_tables()]
    if json:
        emit_json({"tables": [sweep.plain() for sweep in sweeps]})
        return
    emit_table(
        ("table", "rows", "recipe", "what it compares"),
        ((one.name, len(one.rows), one.recipe, one.description) for one in sweeps),
    )


@app.command()
def plan(
    table: TableArgument,
    recipe: RecipeOption = None,
    seeds: SeedsOption = None,
    rows: RowsOption = None,
    references: ReferencesOption = None,
    overrides: SetOption = None,
    out: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Make what all runs share, and print the training command of every run.

    Each command may run anywhere that sees the folder, under torchrun too; `sweep run` then only
    trains what is still missing.

    Example: soundwright sweep plan rr-table-1 --set data.manifests=[corpus/manifest.jsonl]
    """
    from soundwright.evaluation.sweeps.running import prepare_runs
    from soundwright.preference.system import ALL_SYSTEMS

    sweep = _read(table, recipe, seeds, rows, references, overrides)
    folder = _folder(sweep, out)
    runs = prepare_runs(sweep, folder, ALL_SYSTEMS)
    commands = [
        shlex.join(
            [
                *("soundwright", "train", sweep.recipe),
                *(word for override in run.overrides for word in ("--set", override)),
                *("--out", str(folder / "runs" / run.place)),
            ]
        )
        for run in runs
        if run.row.trained
    ]
    if json:
        emit_json({"folder": str(folder), "commands": commands})
        return
    for command in commands:
        emit_text(command)


@app.command()
def run(
    table: TableArgument,
    recipe: RecipeOption = None,
    seeds: SeedsOption = None,
    rows: RowsOption = None,
    references: ReferencesOption = None,
    overrides: SetOption = None,
    out: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Train, generate and measure every run that is missing, then write the folder's table.

    Stop it whenever you like: the same command goes on.

    Example: soundwright sweep run rr-table-1 --recipe rr-study --seeds 3 --out sweeps/small
    """
    from soundwright.core.errors import UserError
    from soundwright.evaluation.sweeps.running import read_claim, run_sweep
    from soundwright.preference.system import ALL_SYSTEMS

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "A sweep is run by one process.",
            change="Print its trainings with `soundwright sweep plan`, start those with torchrun, "
            "and let `sweep run` measure them.",
        )
    sweep = _read(table, recipe, seeds, rows, references, overrides)
    folder = _folder(sweep, out)
    run_sweep(sweep, folder, note, ALL_SYSTEMS)
    _write(read_claim(folder), folder, json)


@app.command("table")
def table_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The sweep's folder.")],
    json: JsonOption = False,
) -> None:
    """Write the table, and the curves of L_rr, T and A, of what a sweep has measured so far.

    Example: soundwright sweep table sweeps/rr-study
    """
    from soundwright.evaluation.sweeps.running import read_claim

    _write(read_claim(folder), folder, json)


def _read(
    table: str,
    recipe: str | None,
    seeds: int | None,
    rows: list[str] | None,
    references: Path | None,
    overrides: list[str] | None,
) -> Sweep:
    from soundwright.core.errors import UserError, nearest
    from soundwright.evaluation.sweeps.plan import read_sweep

    changes: dict[str, Any] = {}
    if recipe is not None:
        changes["recipe"] = recipe
    if seeds is not None:
        changes["seeds"] = list(range(seeds))
    if references is not None:
        changes["measuring"] = {"references": str(references)}
    if overrides:
        changes["set"] = [*read_sweep(table).set, *overrides]
    sweep = read_sweep(table, changes)
    if not rows:
        return sweep
    known = [row.name for row in sweep.rows]
    for name in rows:
        if name not in known:
            raise UserError(f"{sweep.name} has no row {name!r}.", expected=nearest(name, known))
    wanted = {sweep.baseline, *rows}
    return sweep.model_copy(update={"rows": tuple(r for r in sweep.rows if r.name in wanted)})


def _folder(sweep: Sweep, out: Path | None) -> Path:
    return Path("sweeps") / sweep.name if out is None else out


def _write(sweep: Sweep, folder: Path, json: bool) -> None:
    from soundwright.core.errors import UserError
    from soundwright.evaluation.sweeps.curves import draw_curves, read_curves, rows_alike
    from soundwright.evaluation.sweeps.plan import plan_runs
    from soundwright.evaluation.sweeps.table import tabulate, write_table

    table = tabulate(sweep, folder)
    path = write_table(table, folder)
    runs = list(plan_runs(sweep))
    curves = read_curves(folder, runs)
    if curves:
        try:
            draw_curves(folder / "curves.svg", curves, rows_alike(folder, runs, sweep.baseline))
        except UserError as error:
            note(f"{error}")
    if json:
        emit_json(table.model_dump(mode="json", exclude_none=True))
        return
    emit_text(path.read_text(encoding="utf-8").rstrip())
