"""`soundwright corpus`: from media with transcripts to a clean, licensed, captioned corpus."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundwright.cli.corpus_reports import (
    ConfigArgument,
    LimitOption,
    errors,
    explain,
    open_corpus,
    plain_state,
    retry,
    show_states,
    status,
)
from soundwright.cli.output import JsonOption, SetOption, emit_json, emit_table, emit_text, note
from soundwright.core.errors import UserError

if TYPE_CHECKING:
    from soundwright.corpus.executors.protocol import Executor
    from soundwright.corpus.layout import Corpus

app = typer.Typer(
    help="Building corpora: init, plan, run, status, errors, retry, explain, export.",
    no_args_is_help=True,
)
for report in (status, errors, retry, explain):
    app.command()(report)

UntilOption = Annotated[str | None, typer.Option(metavar="STAGE", help="The last stage to be run.")]


class ExecutorName(StrEnum):
    """Where work is done."""

    LOCAL = "local"
    RAY = "ray"


ExecutorOption = Annotated[ExecutorName, typer.Option(help="Where the work is done.")]
AddressOption = Annotated[
    str, typer.Option(help="Of the Ray cluster: auto, ray://HOST:10001, or local.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=0, help="Default: one for each core, or all of the cluster.")
]


@app.command()
def init(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG", help="The corpus's folder, or the YAML file to write."),
    ],
    media: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Recordings or videos.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="Or a corpus that was imported.")
    ] = None,
    preset: Annotated[str, typer.Option(help="What to begin with.")] = "autorecap",
    licence: Annotated[
        str, typer.Option(help="Of all media, where nothing else says.")
    ] = "unknown",
    json: JsonOption = False,
) -> None:
    """Write a corpus's configuration, to be looked at and changed.

    Example: soundwright corpus init birds --media ~/videos --preset autorecap
    """
    from soundwright.corpus.config import find_preset
    from soundwright.corpus.starting import write_start

    find_preset(preset)
    if (media is None) == (manifest is None):
        raise UserError(
            "A corpus begins with recordings.", expected="one of --media FOLDER, --manifest FILE"
        )
    path = write_start(config, preset, media=media, manifest=manifest, licence=licence)
    if json:
        emit_json({"config": str(path), "preset": preset})
    else:
        emit_text(f"{path}: look at it, then: soundwright corpus run {config}")


@app.command()
def plan(
    config: ConfigArgument,
    until: UntilOption = None,
    clips: Annotated[
        float | None, typer.Option(min=1, help="What a corpus of so many clips would cost.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Of each machine, for --clips.")] = 64,
    days: Annotated[float, typer.Option(min=0.01, help="To be done in, for --clips.")] = 7.0,
    limit: LimitOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a run would do, or what a corpus of another size would cost.

    Inputs are not looked at: files that were added, changed or removed since the last run are not
    in it.

    Example: soundwright corpus plan birds/corpus.yaml --clips 1e6
    """
    corpus = open_corpus(config, overrides, limit=limit)
    if clips is not None:
        _show_cost(corpus, clips, workers, days, json)
        return
    from dataclasses import asdict

    from soundwright.corpus.planning import plan_run

    plans = plan_run(corpus, until)
    if json:
        emit_json([asdict(one) for one in plans])
        return
    rows = (
        (one.name, one.done, one.pending, "?" if one.rows is None else one.rows,
         _duration(one.seconds), one.why)
        for one in plans
    )  # fmt: skip
    emit_table(("stage", "shards done", "to do", "rows", "worker time", "why"), rows)


@app.command()
def run(
    config: ConfigArgument,
    until: UntilOption = None,
    limit: LimitOption = None,
    executor: ExecutorOption = ExecutorName.LOCAL,
    address: AddressOption = "auto",
    workers: WorkersOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Do what is not done yet; a run that was killed goes on where it stood.

    Example: soundwright corpus run birds/corpus.yaml --workers 2
    """
    from soundwright.core.locking import lock_folder
    from soundwright.corpus.assembly import assemble
    from soundwright.corpus.destination import check_destination, export_folder
    from soundwright.corpus.running import run_corpus

    corpus = open_corpus(config, overrides, limit=limit)
    out = export_folder(corpus)
    if until in (None, "export"):
        check_destination(corpus, out)
    with lock_folder(corpus.root):
        chosen = _executor(executor, address, workers)
        try:
            states = run_corpus(corpus, chosen, note, until=until)
        finally:
            chosen.close()
        whole = states[-1].place.name == "export"
        census = assemble(corpus, states, out) if whole else None
    if json:
        made = {"export": str(out), "clips": census.clips, "hours": census.hours} if census else {}
        stages = [plain_state(state) for state in states]
        emit_json({"export": None, **made, "stages": stages})
        return
    show_states(states)
    if census:
        emit_text(f"{out}: {census.clips} clips, {census.hours:.2f} h")


@app.command()
def export(
    config: ConfigArgument,
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="The folder to write: new, empty, or an older export."),
    ],
    where: Annotated[
        str | None, typer.Option(metavar="EXPRESSION", help="Only clips of which this holds.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="webdataset, parquet or manifest; default: as configured."),
    ] = None,
    limit: LimitOption = None,
    workers: WorkersOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Export what was kept once more: another format, another part.

    Of what `run` has done; no other stage runs, and inputs are not looked at.

    Example: soundwright corpus export birds/corpus.yaml --out cc0 --where "licence == 'CC0'"
    """
    from soundwright.core.locking import lock_folder
    from soundwright.corpus.assembly import assemble
    from soundwright.corpus.destination import check_destination
    from soundwright.corpus.running import run_export

    changes = [f"export.format={form}"] if form else []
    corpus = open_corpus(config, [*(overrides or ()), *changes], limit=limit, where=where)
    check_destination(corpus, out)
    with lock_folder(corpus.root):
        chosen = _executor(ExecutorName.LOCAL, "", workers)
        try:
            states = run_export(corpus, chosen)
        finally:
            chosen.close()
        census = assemble(corpus, states, out)
    if json:
        emit_json({"export": str(out), "clips": census.clips, "hours": census.hours})
    else:
        emit_text(f"{out}: {census.clips} clips, {census.hours:.2f} h")


def _executor(name: ExecutorName, address: str, workers: int | None) -> Executor:
    import os

    if name is ExecutorName.RAY:
        from soundwright.corpus.executors.ray import RayExecutor

        return RayExecutor(address, workers)
    from soundwright.corpus.executors.local import LocalExecutor

    return LocalExecutor(os.cpu_count() or 1 if workers is None else workers)


def _show_cost(corpus: Corpus, clips: float, workers: int, days: float, json: bool) -> None:
    from soundwright.corpus.planning import estimate_cost

    states = list(corpus.survey())
    if not states or not states[-1].counts.written:
        raise UserError(
            "What a larger corpus costs is reckoned from what a small one has shown.",
            change="Run this one first, such as with --limit 500, and give plan the same --limit.",
        )
    cost = estimate_cost(states, clips)
    machines = cost.machines(workers, days)
    if json:
        from dataclasses import asdict

        emit_json({**asdict(cost), "worker_hours": cost.worker_hours, "machines": machines})
        return
    rows = (
        (
            one.name,
            f"{one.rows:.3g}",
            f"{one.rate:.3g}",
            f"{one.worker_hours:.3g}",
            _size(one.bytes),
        )
        for one in cost.stages
    )
    emit_table(("stage", "rows", "rows/s a worker", "worker hours", "size"), rows)
    emit_text(
        f"{clips:.3g} clips: {cost.worker_hours:.3g} worker hours, {_size(cost.bytes)}; "
        f"{machines:.3g} machines of {workers} workers for {days:g} days"
    )


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 3600:.2f} h"
