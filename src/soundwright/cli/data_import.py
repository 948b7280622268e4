"""`soundwright data import`: manifests of recordings and of published data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soundwright.cli.corpora import MANIFEST_NAME, OutOption, WorkersOption, say_made
from soundwright.cli.output import JsonOption, note
from soundwright.core.errors import UserError, nearest

if TYPE_CHECKING:
    from soundwright.core.records import Caption
    from soundwright.data.importers.reports import Imported, ImportReport

SHOWN = 10
FLAGS = {
    "table": "--captions",
    "caption_columns": "--caption-column",
    "file_column": "--file-column",
    "columns": "--column",
    "dataset": "--dataset",
    "split": "--split",
    "licence": "--licence",
    "blacklists": "--blacklist",
}
"""By the importers' parameters."""
ROLES = ("tags", "split", "licence", "author", "title", "url", "start", "end")
"""What a column of a folder's own table may be, beside file and captions."""


def import_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the sounds are.")],
    out: OutOption,
    layout: Annotated[
        str, typer.Option(metavar="NAME", help="How the data lies there: folder, or a data set.")
    ] = "folder",
    captions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV, TSV or JSON lines with captions or labels (default: those in the folder).",
        ),
    ] = None,
    caption_column: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Columns that hold captions.")
    ] = None,
    file_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column that names the files.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=NAME", help=f"Other columns: {', '.join(ROLES)}."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Name of the data set in clip ids (default: the folder's).")
    ] = None,
    split: Annotated[str | None, typer.Option(help="For clips whose row names none.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="For clips whose row names none (default: unknown).")
    ] = None,
    blacklist: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="WavCaps: leave out what it names (default: all)."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at what cannot be used instead of skipping it.")
    ] = False,
    workers: WorkersOption = 2,
    json: JsonOption = False,
) -> None:
    """Make a manifest of recordings: a folder with a table, or a published data set.

    Layouts: folder, audiocaps, audioset, autorecap, bbc, clotho, esc10, esc50, free-to-use-sounds,
    fsd50k, music, musiccaps, vggsound, wavcaps; docs/importers.md says which files each expects.
    The sounds stay where they are. What cannot be used is named, counted and skipped.

    Example: soundwright data import recordings --captions captions.csv --out data/mine
    """
    from soundwright.core.files import write_json
    from soundwright.data.manifest import relocated, write_manifest

    options = {
        "table": captions,
        "caption_columns": caption_column or None,
        "file_column": file_column,
        "columns": _read_roles(column) if column else None,
        "dataset": dataset,
        "split": split,
        "licence": licence,
        "blacklists": blacklist or None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    imported = _import(layout, folder, given, strict, workers)
    manifest = relocated(imported.manifest, out)
    write_manifest(out / MANIFEST_NAME, manifest)
    write_json(out / "import-report.json", imported.report.plain())
    _say_left_out(imported.report, out)
    say_made(out / MANIFEST_NAME, manifest, json, report=imported.report)


def _import(
    layout: str, folder: Path, given: dict[str, Any], strict: bool, workers: int
) -> Imported:
    from soundwright.data.importers.layouts import find_importer, options_of

    importer = find_importer(layout)
    takes = options_of(importer)
    foreign = [FLAGS[name] for name in given if name not in takes]
    if foreign:
        own = ", ".join(flag for name, flag in FLAGS.items() if name in takes)
        raise UserError(
            f"The layout {layout} does not take {foreign[0]}.",
            expected=f"of these options, only {own}" if own else "none of these options",
        )
    if "caption" in takes:
        given["caption"] = _describe_class
    return importer(folder, **given, strict=strict, workers=workers)


def _read_roles(given: list[str]) -> dict[str, str]:
    """Column by role, of texts such as `tags=keywords`."""
    found: dict[str, str] = {}
    for text in given:
        role, _, name = text.partition("=")
        if role not in ROLES:
            raise UserError(
                f"--column {text!r} is of no role that is known: {nearest(role, ROLES)}",
                expected="ROLE=NAME, where ROLE is one of " + ", ".join(ROLES),
            )
        if not name or role in found:
            raise UserError(
                f"--column {text!r} names " + ("no column." if not name else f"{role} again."),
                expected=f"one column, as {role}=NAME",
            )
        found[role] = name
    return found


def _describe_class(label: str) -> tuple[Caption, ...]:
    """Sentences for a class of sounds, as scenes are captioned."""
    from soundwright.core.records import Caption
    from soundwright.synthesis.captions import class_prompts

    return tuple(Caption(text=text, kind="template") for text in class_prompts(label))


def _say_left_out(report: ImportReport, out: Path) -> None:
    shown = report.skipped[:SHOWN]
    for skip in shown:
        note(f"skipped ({skip.reason}) {skip.item}: {skip.detail}".rstrip(": "))
    rest = report.left_out - sum(skip.count for skip in shown)
    if rest:
        note(f"... and {rest} more: {out / 'import-report.json'}")
    if report.unread_columns:
        note("columns not read: " + ", ".join(report.unread_columns))
