"""`soundwright data`: corpora made, imported, counted, checked, tokenized, packed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundwright.cli.concepts import concepts
from soundwright.cli.corpora import (
    MANIFEST_NAME,
    ManifestArgument,
    OutOption,
    WorkersOption,
    manifest_path,
    say_made,
)
from soundwright.cli.data_import import import_
from soundwright.cli.output import JsonOption, SetOption, emit_json, emit_table, emit_text, note

app = typer.Typer(
    help="Corpora: synth, import, stats, concepts, verify, tokenize, shard.", no_args_is_help=True
)
app.command()(concepts)
app.command("import")(import_)

FAILURE = 1
SHOWN = 10


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
        values["recordings"] = {"manifest": str(manifest_path(recordings))}
    for override in overrides or ():
        values = merge(values, parse_override(override))
    manifest = make_scenes(SceneSource.read(values, origin="scenes"), out, workers=workers)
    say_made(out / MANIFEST_NAME, manifest, json)


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
        read_manifest(manifest_path(manifest)), loudness=loudness, workers=workers
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

    result = verify_manifest(read_manifest(manifest_path(manifest)), workers=workers)
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

    corpus = read_manifest(manifest_path(manifest))
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
        read_manifest(manifest_path(manifest)), out, max_bytes=max_mb << 20, workers=workers
    )
    say_made(out / MANIFEST_NAME, packed, json)
