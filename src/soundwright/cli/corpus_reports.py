"""`soundwright corpus status|errors|retry|explain`: how a corpus is, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundwright.cli.output import JsonOption, SetOption, emit_json, emit_table, emit_text

if TYPE_CHECKING:
    from soundwright.corpus.layout import Corpus, State

SHOWN = 20

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The corpus's YAML file, or its folder.")
]
StageOption = Annotated[str | None, typer.Option(metavar="STAGE", help="Only this stage.")]
LimitOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Only the first so many recordings, to try things out; stands apart from the rest.",
    ),
]


def status(
    config: ConfigArgument,
    limit: LimitOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Say how far each stage is, and what became of the rows.

    Example: soundwright corpus status birds/corpus.yaml
    """
    states = list(open_corpus(config, overrides, limit=limit).survey())
    if json:
        emit_json([plain_state(state) for state in states])
    else:
        show_states(states)


def errors(
    config: ConfigArgument,
    stage: StageOption = None,
    limit: LimitOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """List what could not be done, and why.

    Example: soundwright corpus errors birds/corpus.yaml --stage decode
    """
    from itertools import islice

    from soundwright.corpus.failing import list_failures, list_named_failures

    corpus = open_corpus(config, overrides, limit=limit)
    found = list(list_failures(corpus, stage))
    if json:
        emit_json([one.model_dump(mode="json") for one in found])
        return
    emit_text(f"{len(found)} failures")
    named = islice(list_named_failures(corpus, stage), SHOWN)
    rows = [(one.stage, one.kind, one.reason, one.item, name, one.detail) for one, name in named]
    if rows:
        emit_table(("stage", "kind", "reason", "item", "name", "detail"), rows)
    if len(found) > SHOWN:
        emit_text(f"... and {len(found) - SHOWN} more (--json shows all)")


def retry(
    config: ConfigArgument,
    stage: StageOption = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Not only what may go well another time; fetched files that are broken are "
            "fetched anew.",
        ),
    ] = False,
    limit: LimitOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Let the shards be done again in which something failed that may go well another time.

    Example: soundwright corpus retry birds/corpus.yaml --stage fetch
    """
    from soundwright.core.locking import lock_folder
    from soundwright.corpus.failing import forget_failures

    corpus = open_corpus(config, overrides, limit=limit)
    with lock_folder(corpus.root):
        count = forget_failures(corpus, stage, everything=everything)
    if json:
        emit_json({"shards": count})
    else:
        emit_text(f"{count} shards will be done again by: soundwright corpus run {config}")


def explain(
    config: ConfigArgument,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Id of a clip or recording, or a file's name.")
    ],
    limit: LimitOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Tell the story of a clip: its source, what each stage found, why it was kept or not.

    Of a recording: what became of it, and its clips.

    Example: soundwright corpus explain birds/corpus.yaml 3f0c1d2e4b5a69788796
    """
    from dataclasses import asdict

    from soundwright.corpus.explaining import explain as explain_clip

    chapters = explain_clip(open_corpus(config, overrides, limit=limit), name)
    if json:
        emit_json([asdict(chapter) for chapter in chapters])
        return
    for chapter in chapters:
        emit_text(chapter.stage)
        for line in chapter.lines:
            emit_text(f"  {line}")


def open_corpus(
    config: Path,
    overrides: list[str] | None,
    *,
    limit: int | None = None,
    where: str | None = None,
) -> Corpus:
    """The corpus that a file, or the folder that holds `corpus.yaml`, describes."""
    from soundwright.corpus.config import CONFIG_NAME, read_corpus_config
    from soundwright.corpus.layout import Corpus

    path = config / CONFIG_NAME if config.is_dir() else config
    limited = [] if limit is None else [f"ingest.limit={limit}"]
    settings = read_corpus_config(path, (*(overrides or ()), *limited))
    if where is not None:
        settings = settings.model_copy(
            update={"export": settings.export.model_copy(update={"where": where})}
        )
    return Corpus(settings, path.resolve().parent)


def plain_state(state: State) -> dict[str, object]:
    """How far a stage is, as JSON values."""
    return {
        "stage": state.place.name,
        "folder": state.place.folder.path.name,
        "shards": len(state.contents),
        "done": state.receipts,
        **state.counts.model_dump(),
        "worker_seconds": round(state.seconds, 3),
        "bytes": state.size,
    }


def show_states(states: list[State]) -> None:
    """Print how far stages are."""
    rows = []
    for state in states:
        counts = state.counts
        drops = ", ".join(f"{reason} {count}" for reason, count in counts.drops.items())
        rate = f"{counts.read / state.seconds:.3g}" if state.seconds else ""
        # All rows stay for the export, which takes only what `select` kept.
        kept = state.place.name == "select"
        out = f"{counts.written - counts.left_out} kept" if kept else counts.written
        against = f"{counts.left_out} ({drops})" if counts.left_out else drops
        rows.append(
            (state.place.name, f"{state.receipts}/{len(state.contents)}", counts.read, out,
             counts.failed, counts.absorbed, rate, against)
        )  # fmt: skip
    columns = ("stage", "shards", "rows", "out", "failed", "absorbed", "rows/s a worker",
               "would be left out")  # fmt: skip
    emit_table(columns, rows)
