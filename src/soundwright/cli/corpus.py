"""`soundwright corpus`: from media with transcripts to a clean, licensed, captioned corpus."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundwright.cli.output import JsonOption, SetOption, emit_json, emit_table, emit_text, note
from soundwright.core.errors import UserError

if TYPE_CHECKING:
    from soundwright.corpus.executors.protocol import Executor
    from soundwright.corpus.layout import Corpus, State

app = typer.Typer(
    help="Building corpora: init, plan, run, status, errors, retry, explain, export.",
    no_args_is_help=True,
)

SHOWN = 20

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The corpus's YAML file, or its folder.")
]
UntilOption = Annotated[str | None, typer.Option(metavar="STAGE", help="The last stage to be run.")]
StageOption = Annotated[str | None, typer.Option(metavar="STAGE", help="Only this stage.")]


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
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML file to write.")],
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

    Example: soundwright corpus init birds/corpus.yaml --media ~/videos --preset autorecap
    """
    from soundwright.corpus.config import find_preset
    from soundwright.corpus.starting import write_start

    find_preset(preset)
    if (media is None) == (manifest is None):
        raise UserError(
            "A corpus begins with recordings.", expected="one of --media FOLDER, --manifest FILE"
        )
    write_start(config, preset, media=media, manifest=manifest, licence=licence)
    if json:
        emit_json({"config": str(config), "preset": preset})
    else:
        emit_text(f"{config}: look at it, then: soundwright corpus run {config}")


@app.command()
def plan(
    config: ConfigArgument,
    until: UntilOption = None,
    clips: Annotated[
        float | None, typer.Option(min=1, help="What a corpus of so many clips would cost.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Of each machine, for --clips.")] = 64,
    days: Annotated[float, typer.Option(min=0.01, help="To be done in, for --clips.")] = 7.0,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a run would do, or what a corpus of another size would cost.

    Example: soundwright corpus plan birds/corpus.yaml --clips 1e6
    """
    corpus = _open(config, overrides)
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
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many recordings, to try it out.")
    ] = None,
    executor: ExecutorOption = ExecutorName.LOCAL,
    address: AddressOption = "auto",
    workers: WorkersOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Do what is not done yet; a run that was killed goes on where it stood.

    Example: soundwright corpus run birds/corpus.yaml --workers 2
    """
    from soundwright.corpus.locking import lock_folder
    from soundwright.corpus.running import run_corpus

    corpus = _open(config, [*(overrides or ()), *([f"ingest.limit={limit}"] if limit else ())])
    with lock_folder(corpus.root):
        chosen = _executor(executor, address, workers)
        try:
            states = run_corpus(corpus, chosen, note, until=until)
        finally:
            chosen.close()
        done = {state.place.name for state in states}
        if "export" in done:
            from soundwright.corpus.assembly import EXPORT, assemble

            census = assemble(corpus, states, corpus.root / EXPORT)
            made = {
                "export": str(corpus.root / EXPORT),
                "clips": census.clips,
                "hours": census.hours,
            }
        else:
            made = {"export": None}
    if json:
        emit_json({**made, "stages": [_plain(state) for state in states]})
        return
    _show_states(states)
    if made["export"]:
        emit_text(f"{made['export']}: {made['clips']} clips, {made['hours']:.2f} h")


@app.command()
def status(config: ConfigArgument, overrides: SetOption = None, json: JsonOption = False) -> None:
    """Say how far each stage is, and what became of the rows.

    Example: soundwright corpus status birds/corpus.yaml
    """
    states = list(_open(config, overrides).survey())
    if json:
        emit_json([_plain(state) for state in states])
    else:
        _show_states(states)


@app.command()
def errors(
    config: ConfigArgument,
    stage: StageOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """List what could not be done, and why.

    Example: soundwright corpus errors birds/corpus.yaml --stage decode
    """
    from soundwright.corpus.failing import list_failures

    found = list(list_failures(_open(config, overrides), stage))
    if json:
        emit_json([one.model_dump(mode="json") for one in found])
        return
    emit_text(f"{len(found)} failures")
    rows = [(one.stage, one.kind, one.reason, one.item, one.detail) for one in found[:SHOWN]]
    if rows:
        emit_table(("stage", "kind", "reason", "item", "detail"), rows)
    if len(found) > SHOWN:
        emit_text(f"... and {len(found) - SHOWN} more (--json shows all)")


@app.command()
def retry(
    config: ConfigArgument,
    stage: StageOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Not only what may go well another time.")
    ] = False,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Let the shards be done again in which something failed that may go well another time.

    Example: soundwright corpus retry birds/corpus.yaml --stage fetch
    """
    from soundwright.corpus.failing import forget_failures
    from soundwright.corpus.locking import lock_folder

    corpus = _open(config, overrides)
    with lock_folder(corpus.root):
        count = forget_failures(corpus, stage, everything=everything)
    if json:
        emit_json({"shards": count})
    else:
        emit_text(f"{count} shards will be done again by: soundwright corpus run {config}")


@app.command()
def explain(
    config: ConfigArgument,
    name: Annotated[str, typer.Argument(help="Id of a clip or recording, or a file's name.")],
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Tell the whole story of a clip: its source, what each stage found, why it was kept or not.

    Example: soundwright corpus explain birds/corpus.yaml 3f0c1d2e4b5a69788796
    """
    from dataclasses import asdict

    from soundwright.corpus.explaining import explain as explain_clip

    chapters = explain_clip(_open(config, overrides), name)
    if json:
        emit_json([asdict(chapter) for chapter in chapters])
        return
    for chapter in chapters:
        emit_text(chapter.stage)
        for line in chapter.lines:
            emit_text(f"  {line}")


@app.command()
def export(
    config: ConfigArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    where: Annotated[
        str | None, typer.Option(metavar="EXPRESSION", help="Only clips of which this holds.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="webdataset, parquet or manifest; default: as configured."),
    ] = None,
    workers: WorkersOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Export what was kept once more: another format, another part.

    Example: soundwright corpus export birds/corpus.yaml --out cc0 --where "licence == 'CC0'"
    """
    from soundwright.corpus.assembly import assemble
    from soundwright.corpus.locking import lock_folder
    from soundwright.corpus.running import run_corpus

    changes = [f"export.format={form}"] if form else []
    corpus = _open(config, [*(overrides or ()), *changes], where=where)
    with lock_folder(corpus.root):
        chosen = _executor(ExecutorName.LOCAL, "", workers)
        try:
            states = run_corpus(corpus, chosen, note)
        finally:
            chosen.close()
        census = assemble(corpus, states, out.resolve())
    if json:
        emit_json({"export": str(out), "clips": census.clips, "hours": census.hours})
    else:
        emit_text(f"{out}: {census.clips} clips, {census.hours:.2f} h")


def _open(config: Path, overrides: list[str] | None, where: str | None = None) -> Corpus:
    from soundwright.corpus.config import CONFIG_NAME, read_corpus_config
    from soundwright.corpus.layout import Corpus

    path = config / CONFIG_NAME if config.is_dir() else config
    settings = read_corpus_config(path, tuple(overrides or ()))
    if where is not None:
        settings = settings.model_copy(
            update={"export": settings.export.model_copy(update={"where": where})}
        )
    return Corpus(settings, path.resolve().parent)


def _executor(name: ExecutorName, address: str, workers: int | None) -> Executor:
    import os

    if name is ExecutorName.RAY:
        from soundwright.corpus.executors.ray import RayExecutor

        return RayExecutor(address, workers)
    from soundwright.corpus.executors.local import LocalExecutor

    return LocalExecutor(os.cpu_count() or 1 if workers is None else workers)


def _plain(state: State) -> dict[str, object]:
    return {
        "stage": state.place.name,
        "folder": state.place.folder.path.name,
        "shards": len(state.contents),
        "done": state.receipts,
        **state.counts.model_dump(),
        "worker_seconds": round(state.seconds, 3),
        "bytes": state.size,
    }


def _show_states(states: list[State]) -> None:
    rows = []
    for state in states:
        counts = state.counts
        drops = ", ".join(f"{reason} {count}" for reason, count in counts.drops.items())
        rate = f"{counts.read / state.seconds:.3g}" if state.seconds else ""
        rows.append(
            (state.place.name, f"{state.receipts}/{len(state.contents)}", counts.read,
             counts.written, counts.failed, rate, drops)
        )  # fmt: skip
    columns = ("stage", "shards", "rows", "out", "failed", "rows/s a worker", "would be left out")
    emit_table(columns, rows)


def _show_cost(corpus: Corpus, clips: float, workers: int, days: float, json: bool) -> None:
    from soundwright.corpus.planning import estimate_cost

    states = list(corpus.survey())
    if not states or not states[-1].counts.written:
        raise UserError(
            "What a larger corpus costs is reckoned from what a small one has shown.",
            change="Run this one first, such as with --limit 500.",
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
