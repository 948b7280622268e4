"""`soundwright models`: which are here, what they are, whether they are whole; in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from soundwright.cli.output import AdapterOption, JsonOption, emit_json, emit_table, emit_text, note

app = typer.Typer(
    help="Look at models, bring public ones in and take yours out.", no_args_is_help=True
)

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
    from soundwright.pipelines.adapters import is_adapter, read_adapter
    from soundwright.pipelines.models import find_model, read_card, read_record

    folder = find_model(model)
    record = read_adapter(folder) if is_adapter(folder) else read_record(folder)
    if json:
        emit_json({"folder": str(folder), "hash": record.hash, **record.model_dump(mode="json")})
        return
    emit_text(read_card(folder).rstrip())


@app.command()
def verify(model: ModelArgument = "bundled", json: JsonOption = False) -> None:
    """Compare every file of a model with its recorded hash.

    Example: soundwright models verify runs/mine/model
    """
    from soundwright.pipelines.adapters import is_adapter, verify_adapter
    from soundwright.pipelines.models import find_model, verify_model

    folder = find_model(model)
    record = verify_adapter(folder) if is_adapter(folder) else verify_model(folder)
    if json:
        emit_json({"folder": str(folder), "hash": record.hash, "files": record.files})
    else:
        emit_text(f"{folder}: all {len(record.files)} files are as recorded ({record.hash})")


@app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder, or owner/name on the hub.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The model's folder. [models/NAME of the cache]"),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What it is called.")] = None,
    storage: Annotated[
        Literal["same", "fp32", "fp16", "int8"],
        typer.Option("--storage", help="How weights are stored."),
    ] = "same",
    text_encoder: Annotated[
        str | None,
        typer.Option("--text-encoder", metavar="DIR|NAME", help="A T5 that the model shall carry."),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option("--codec", metavar="DIR|NAME", help="The codec that SOURCE only names."),
    ] = None,
    codebooks: Annotated[
        int | None, typer.Option("--codebooks", help="Levels of an EnCodec that comes alone.")
    ] = None,
    pad_mode: Annotated[
        Literal["constant", "reflect"] | None,
        typer.Option("--pad-mode", help="How EnCodec pads, if not as its configuration says."),
    ] = None,
    text_padding: Annotated[
        bool,
        typer.Option("--text-padding", help="Read text padding as AudioCraft does."),
    ] = False,
    licence: Annotated[
        str | None, typer.Option("--licence", help="Terms of the weights, if SOURCE is silent.")
    ] = None,
    format_: Annotated[
        Literal["auto", "transformers", "audiocraft", "tango"],
        typer.Option("--format", help="Whose files to read where both are there."),
    ] = "auto",
    json: JsonOption = False,
) -> None:
    """Import MusicGen, AudioGen or EnCodec, of transformers or AudioCraft; or Tango, Tango 2.

    Nothing that stands in a pickled file is run.

    Example: soundwright models import facebook/musicgen-small

    Tango 2: soundwright models import declare-lab/tango2
    """
    from soundwright.pipelines.foreign import ImportOptions
    from soundwright.pipelines.importing import find_folder, import_model

    options = ImportOptions(
        storage=None if storage == "same" else storage,
        text_encoder=find_folder(text_encoder, "text encoder"),
        codec=find_folder(codec, "codec"),
        codebooks=codebooks,
        pad_mode=pad_mode,
        mask_text=not text_padding,
    )
    imported = import_model(
        source, out, name=name, licence=licence, format=format_, options=options
    )
    record = imported.record
    for text in imported.notes:
        note(text)
    if json:
        emit_json(
            {
                "folder": str(imported.folder),
                "name": record.name,
                "kind": record.kind,
                "hash": record.hash,
                "storage": record.storage,
                "licence": record.licence,
                "notes": imported.notes,
            }
        )
        return
    emit_text(f"{imported.folder}: {record.name} ({record.hash}), licence {record.licence}")


@app.command()
def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The new folder.")],
    to: Annotated[
        Literal["auto", "transformers", "diffusers"], typer.Option("--to", help="Whose format.")
    ] = "auto",
    storage: Annotated[
        Literal["fp32", "fp16"], typer.Option("--storage", help="How weights are stored.")
    ] = "fp32",
    json: JsonOption = False,
) -> None:
    """Export a model to a folder that transformers reads: a MusicGen, or an EnCodec.

    A diffusion model becomes a folder of parts that diffusers reads.

    Example: soundwright models export runs/mine/model --to transformers --out mine-transformers
    """
    from soundwright.pipelines.exporting import EXPORTED_AS, export_model

    record = export_model(model, out, storage=storage, to=to)
    format_, kind = EXPORTED_AS[record.kind]
    if json:
        emit_json({"folder": str(out), "class": kind, "format": format_, "hash": record.hash})
    elif format_ == "diffusers":
        emit_text(f'{out}: diffusers.{kind}.from_pretrained("{out}", subfolder="unet") ...')
    else:
        emit_text(f'{out}: {format_}.{kind}.from_pretrained("{out}")')


@app.command()
def merge(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The new model's folder.")],
    adapters: AdapterOption = None,
    storage: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option("--storage", help="How weights are stored; fp32 loses nothing."),
    ] = "fp32",
    json: JsonOption = False,
) -> None:
    """Merge adapters into a model: a model folder that needs neither base nor adapters.

    An adapter's folder as MODEL stands for its base with the adapter.

    Example: soundwright models merge bundled --adapter runs/mine/model:0.8 --out mine
    """
    from soundwright.pipelines.adapters import parse_choice
    from soundwright.pipelines.merging import merge_model

    record = merge_model(model, map(parse_choice, adapters or ()), out, storage=storage)
    if json:
        emit_json({"folder": str(out), "hash": record.hash, "licence": record.licence})
    else:
        emit_text(f"{out}: {record.name} ({record.hash}), licence {record.licence}")
