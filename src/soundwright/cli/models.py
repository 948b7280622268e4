"""`soundwright models`: which models are here, what they are, whether they are whole."""

from __future__ import annotations

from typing import Annotated

import typer

from soundwright.cli.output import JsonOption, emit_json, emit_table, emit_text, note

app = typer.Typer(help="Look at models: list, show, verify.", no_args_is_help=True)

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name, model folder, or owner/name on the hub.")
]


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List the models that can be loaded by name: the bundled one, and installed ones.

    A model folder that is put below models/ of the cache (SOUNDWRIGHT_CACHE) is installed.

    Example: soundwright models list
    """
    from soundwright.pipelines.models import list_models, read_record

    found = {name: (folder, read_record(folder)) for name, folder in list_models().items()}
    if json:
        rows = {
            name: {
                "folder": str(folder),
                "kind": record.kind,
                "hash": record.hash,
                "licence": record.licence,
            }
            for name, (folder, record) in found.items()
        }
        emit_json({"models": rows})
        return
    if not found:
        note("There are no models here; train one: soundwright train synth-tiny.")
        return
    emit_table(
        ("model", "kind", "hash", "licence", "folder"),
        (
            (name, record.kind, record.hash, record.licence, folder)
            for name, (folder, record) in found.items()
        ),
    )


@app.command()
def show(model: ModelArgument = "bundled", json: JsonOption = False) -> None:
    """Show a model's card, or with --json everything that its folder says.

    Example: soundwright models show bundled
    """
    from soundwright.pipelines.models import find_model, read_card, read_record

    folder = find_model(model)
    record = read_record(folder)
    if json:
        emit_json({"folder": str(folder), "hash": record.hash, **record.model_dump(mode="json")})
        return
    emit_text(read_card(folder).rstrip())


@app.command()
def verify(model: ModelArgument = "bundled", json: JsonOption = False) -> None:
    """Compare every file of a model with its recorded hash.

    Example: soundwright models verify runs/mine/model
    """
    from soundwright.pipelines.models import find_model, verify_model

    folder = find_model(model)
    record = verify_model(folder)
    if json:
        emit_json({"folder": str(folder), "hash": record.hash, "files": record.files})
    else:
        emit_text(f"{folder}: all {len(record.files)} files are as recorded ({record.hash})")
