"""What commands about corpora share: options, the manifest's name, what they say at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundwright.cli.output import emit_json, emit_text

if TYPE_CHECKING:
    from soundwright.data.importers.reports import ImportReport
    from soundwright.data.manifest import Manifest

MANIFEST_NAME = "manifest.jsonl"

ManifestArgument = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="A manifest, or the folder that holds one.")
]
OutOption = Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")]
WorkersOption = Annotated[int, typer.Option(min=0, help="Threads that read ahead.")]


def manifest_path(given: Path) -> Path:
    """The manifest itself, where its folder may be given."""
    return given / MANIFEST_NAME if given.is_dir() else given


def say_made(
    path: Path, manifest: Manifest, json: bool, report: ImportReport | None = None
) -> None:
    """Tell which manifest was written, how long its clips are and how many were left out."""
    hours = sum(clip.duration for clip in manifest.clips) / 3600
    if json:
        made = {"manifest": str(path), "clips": len(manifest.clips), "hours": hours}
        emit_json(made if report is None else {**made, "report": report.plain()})
    else:
        skipped = f", {report.left_out} skipped" if report is not None else ""
        emit_text(f"{path}: {len(manifest.clips)} clips, {hours:.3f} h{skipped}")
