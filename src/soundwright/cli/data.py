"""`soundwright data`: corpora made, imported, counted, checked, tokenized, packed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundwright.cli.concepts import concepts
from soundwright.cli.output import JsonOption, SetOption, emit_json, emit_table, emit_text, note
from soundwright.core.errors import UserError

if TYPE_CHECKING:
    from soundwright.data.importers.reports import Imported, ImportReport
    from soundwright.data.manifest import Manifest

app = typer.Typer(
    help="Corpora: synth, import, stats, concepts, verify, tokenize, shard.", no_args_is_help=True
)
app.command()(concepts)

FAILURE = 1
SHOWN = 10
MANIFEST_NAME = "manifest.jsonl"

ManifestArgument = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="A manifest, or the folder that holds one.")
]
OutOption = Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")]
WorkersOption = Annotated[int, typer.Option(min=0, help="Threads that read ahead.")]


class Layout(StrEnum):
    """How the data that is imported lies there."""

    FOLDER = "folder"
    ESC10 = "esc10"
    ESC50 = "esc50"
    AUDIOCAPS = "audiocaps"


@app.command()
def synth(
    out: OutOption,
    clips: Annotated[int, typer.Option(min=1, help="Number of scenes.")] = 100,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    recordings: Annotated[
        Path | None,
        typer.Option(metavar="MANIFEST", help="Recordings that events are cut from as well."),
    ] = None,
    overrides: SetOption = None,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Compose captioned scenes from the built-in sound generators, or from recordings.

    Example: soundwright data synth --clips 200 --seed 7 --out data/scenes --set composer.duration=3
    """
    from soundwright.core.config import merge, parse_override
    from soundwright.pipelines.scenes import SceneSource, make_scenes

    values: dict[str, object] = {"clips": clips, "seed": seed}
    if recordings is not None:
        values["recordings"] = {"manifest": str(_manifest_path(recordings))}
    for override in overrides or ():
        values = merge(values, parse_override(override))
    manifest = make_scenes(SceneSource.read(values, origin="scenes"), out, workers=workers)
    _say_made(out / MANIFEST_NAME, manifest, json)


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the sounds are.")],
    out: OutOption,
    layout: Annotated[Layout, typer.Option(help="How the data lies there.")] = Layout.FOLDER,
    captions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV, TSV or JSON lines with captions (default: the one in the folder).",
        ),
    ] = None,
    caption_column: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Columns that hold captions.")
    ] = None,
    file_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column that names the files.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="Name of the data set in clip ids.")] = "",
    split: Annotated[str, typer.Option(help="For clips whose row names none.")] = "",
    licence: Annotated[str, typer.Option(help="For clips whose row names none.")] = "unknown",
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at what cannot be used instead of skipping it.")
    ] = False,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Make a manifest of recordings: a folder with a table, ESC-10/ESC-50, or AudioCaps.

    The sounds stay where they are. What cannot be used is named, counted and skipped.

    Example: soundwright data import recordings --captions captions.csv --out data/mine
    """
    from soundwright.core.files import write_json
    from soundwright.data.importers.folder import Columns, FolderImportConfig, import_folder
    from soundwright.data.manifest import relocated, write_manifest

    if layout is Layout.FOLDER:
        columns = Columns(
            file=file_column, captions=tuple(caption_column) if caption_column else None
        )
        config = FolderImportConfig(
            dataset=dataset, table=captions, columns=columns, split=split, licence=licence
        )
        imported = import_folder(folder, config, strict=strict, workers=workers)
    else:
        imported = _import_known(layout, folder, captions, strict, workers)
    manifest = relocated(imported.manifest, out)
    write_manifest(out / MANIFEST_NAME, manifest)
    write_json(out / "import-report.json", imported.report.plain())
    _say_skipped(imported.report, out)
    _say_made(out / MANIFEST_NAME, manifest, json, report=imported.report)


@app.command()
def stats(
    manifest: ManifestArgument,
    loudness: Annotated[bool, typer.Option("--loudness", help="Measure it; reads files.")] = False,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Count a corpus: clips, hours, licences, tags, captions, durations.

    Example: soundwright data stats data/mine
    """
    from soundwright.data.manifest import read_manifest
    from soundwright.data.statistics import summarise

    numbers = summarise(
        read_manifest(_manifest_path(manifest)), loudness=loudness, workers=workers
    ).plain()
    if json:
        emit_json(numbers)
        return
    total = numbers["total"]
    emit_text(f"{total['clips']} clips, {total['hours']:.2f} h, {numbers['captions']} captions")
    for part in ("splits", "licences", "datasets", "tags"):
        rows = list(numbers[part].items())
        emit_text("")
        emit_table(
            (part, "clips", "hours"),
            ((name, row["clips"], f"{row['hours']:.3f}") for name, row in rows[:SHOWN]),
        )
        if len(rows) > SHOWN:
            emit_text(f"... and {len(rows) - SHOWN} more (--json shows all)")


@app.command()
def verify(
    manifest: ManifestArgument, workers: WorkersOption = 2, json: JsonOption = False
) -> None:
    """Decode every clip and compare it with its record; status 1 where something differs.

    Example: soundwright data verify data/mine
    """
    from soundwright.data.manifest import read_manifest
    from soundwright.data.verification import verify as verify_manifest

    result = verify_manifest(read_manifest(_manifest_path(manifest)), workers=workers)
    if json:
        emit_json(result.plain())
    else:
        emit_text(f"{result.checked} clips checked, {len(result.problems)} problems")
        if result.problems:
            emit_table(
                ("clip", "reason", "detail", "file"),
                ((p.clip_id, p.reason, p.detail, p.path) for p in result.problems),
            )
    if not result.sound:
        raise typer.Exit(FAILURE)


@app.command()
def tokenize(
    manifest: ManifestArgument,
    out: OutOption,
    model: Annotated[
        str, typer.Option(help="Whose codec: a model's name, folder, or owner/name on the hub.")
    ] = "bundled",
    batch: Annotated[int, typer.Option(min=1, help="Clips at once.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Store the codec's tokens, or latents, of every clip, so that training never runs the codec.

    What is stored depends on the model: tokens for a language model, latents for a diffusion
    model. A killed run continues with the same command.

    Example: soundwright data tokenize data/mine --model bundled --out data/mine/tokens
    """
    from soundwright.core.devices import choose_device
    from soundwright.data.latents import encode_latents
    from soundwright.data.manifest import read_manifest
    from soundwright.data.tokens import tokenize as tokenize_manifest
    from soundwright.pipelines.models import find_model, read_record
    from soundwright.pipelines.parts import load_codec, load_latent_codec

    corpus = read_manifest(_manifest_path(manifest))
    where = choose_device(device)
    if "codec" in read_record(find_model(model)).parts:
        codec, record, _ = load_codec(model)
        store = tokenize_manifest(
            corpus, codec.to(where), out, device=where, batch=batch, workers=workers
        )
    else:
        codec, record, _ = load_latent_codec(model)
        store = encode_latents(
            corpus, codec.to(where), out, device=where, batch=batch, workers=workers
        )
    for skipped in store.skipped:
        note(f"skipped {skipped.clip_id}: {skipped.problem}")
    if json:
        emit_json(
            {
                "store": str(out),
                "model": record.name,
                "clips": len(store),
                "skipped": len(store.skipped),
                "info": store.info.model_dump(),
            }
        )
    else:
        emit_text(f"{out}: {store.info.kind}s of {len(store)} clips, {len(store.skipped)} skipped")


@app.command()
def shard(
    manifest: ManifestArgument,
    out: OutOption,
    max_mb: Annotated[int, typer.Option(min=1, help="Size of a shard in MB.")] = 1024,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Pack a corpus into WebDataset tars with a manifest of their own.

    Example: soundwright data shard data/mine --out shards --max-mb 500
    """
    from soundwright.data.manifest import read_manifest
    from soundwright.data.shards import write_shards

    packed = write_shards(
        read_manifest(_manifest_path(manifest)), out, max_bytes=max_mb << 20, workers=workers
    )
    _say_made(out / MANIFEST_NAME, packed, json)


def _import_known(
    layout: Layout, folder: Path, captions: Path | None, strict: bool, workers: int
) -> Imported:
    """Import a data set whose layout is known."""
    from soundwright.core.records import Caption
    from soundwright.data.importers.audiocaps import import_audiocaps
    from soundwright.data.importers.esc import import_esc
    from soundwright.synthesis.captions import class_prompts

    if layout is Layout.AUDIOCAPS:
        if captions is None:
            raise UserError(
                "AudioCaps needs its table.",
                change="Give it: --captions train.csv, and the folder with the sounds as FOLDER.",
            )
        return import_audiocaps(captions, folder, strict=strict, workers=workers)

    def describe(label: str) -> tuple[Caption, ...]:
        return tuple(Caption(text=text, kind="template") for text in class_prompts(label))

    subset = "esc10" if layout is Layout.ESC10 else "esc50"
    return import_esc(folder, subset=subset, caption=describe, strict=strict, workers=workers)


def _manifest_path(given: Path) -> Path:
    return given / MANIFEST_NAME if given.is_dir() else given


def _say_skipped(report: ImportReport, out: Path) -> None:
    for skip in report.skipped[:SHOWN]:
        note(f"skipped ({skip.reason}) {skip.item}: {skip.detail}".rstrip(": "))
    if len(report.skipped) > SHOWN:
        rest = len(report.skipped) - SHOWN
        note(f"... and {rest} more: {out / 'import-report.json'}")


def _say_made(
    path: Path, manifest: Manifest, json: bool, report: ImportReport | None = None
) -> None:
    hours = sum(clip.duration for clip in manifest.clips) / 3600
    if json:
        made = {"manifest": str(path), "clips": len(manifest.clips), "hours": hours}
        emit_json(made if report is None else {**made, "report": report.plain()})
    else:
        skipped = f", {len(report.skipped)} skipped" if report is not None else ""
        emit_text(f"{path}: {len(manifest.clips)} clips, {hours:.3f} h{skipped}")
