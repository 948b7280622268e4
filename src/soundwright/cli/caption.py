"""`soundwright caption`: what is heard in sounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soundwright.cli.output import JsonOption, emit_json, emit_text, note
from soundwright.core.errors import AudioError, UserError

if TYPE_CHECKING:
    from soundwright.pipelines.captioning import Captioned, CaptioningModel

KNOWN = "What is known beside the sound"
WRITING = "How captions are written"


def caption(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="AUDIO...", help="Sound files, of any length.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST", help="Caption the clips of a corpus into the manifest of --out."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Name, model folder, or owner/name on the hub.")
    ] = "bundled-captioner",
    title: Annotated[
        str | None, typer.Option(rich_help_panel=KNOWN, help="Of the one file.")
    ] = None,
    tags: Annotated[
        str | None, typer.Option(rich_help_panel=KNOWN, help="Of the one file, with commas.")
    ] = None,
    visual: Annotated[
        str | None,
        typer.Option(rich_help_panel=KNOWN, help="What is seen while the one file is heard."),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=KNOWN,
            help="JSON lines with file, and title, tags or visual, for many files.",
        ),
    ] = None,
    names: Annotated[
        bool,
        typer.Option("--names", rich_help_panel=KNOWN, help="Take each file's name as its title."),
    ] = False,
    method: Annotated[
        str | None, typer.Option(rich_help_panel=WRITING, help="beam or sample.")
    ] = None,
    beams: Annotated[
        int | None, typer.Option(rich_help_panel=WRITING, help="Of beam search; 3.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(rich_help_panel=WRITING, help="Of sampling: below 1 safer, above 1 bolder."),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=WRITING, help="Of sampling: among words with this probability together."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(rich_help_panel=WRITING, help="Of sampling.")] = 0,
    batch: Annotated[int, typer.Option(help="Parts of sounds at once.")] = 16,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object a file, as soon as it is done.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="A file for what is printed; the folder to write."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Tell what is heard in sounds, with how sure the model is and how well sound and words agree.

    Long sounds are captioned part by part; parts in a row with one caption become one. A file that
    cannot be read is named, the others are captioned all the same, and the exit status is 2.

    Example: soundwright caption dog.wav --title "my dog in the yard"

    Many: soundwright caption sounds/*.wav --jsonl --out captions.jsonl

    A corpus: soundwright caption --manifest data/mine --out data/captioned
    """
    settings: dict[str, Any] = {
        "method": method,
        "beams": beams,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "batch_size": batch,
    }
    if manifest is not None:
        _refuse_with_manifest(files, title, tags, visual, metadata, names=names, jsonl=jsonl)
        _caption_corpus(manifest, out, model, settings, device, json=json)
        return
    chosen = files or []
    if not chosen:
        raise UserError(
            "There is nothing to caption.", change="Name sound files, or a corpus by --manifest."
        )
    given = {"title": title, "tags": tags, "visual": visual}
    known = _gather_metadata(chosen, given, metadata, names=names)
    if json and jsonl:
        raise UserError("--json and --jsonl are two forms of one answer.", change="Choose one.")
    from soundwright.pipelines.captioning import load_captioner

    captioner = load_captioner(model, device=device)
    if any(known):
        _warn_of_unread(captioner, known)
    _caption_files(chosen, known, captioner, settings, out, jsonl=jsonl, json=json)


def _caption_files(
    files: list[Path],
    known: list[dict[str, str]],
    captioner: CaptioningModel,
    settings: dict[str, Any],
    out: Path | None,
    *,
    jsonl: bool,
    json: bool,
) -> None:
    import json as jsons

    from soundwright.core.files import write_text

    lines: list[str] = []
    found: list[dict[str, Any]] = []
    bad = 0
    for file, one in zip(files, known, strict=True):
        try:
            (captioned,) = captioner.caption([file], [one], **settings)
        except AudioError as error:
            bad += 1
            note(f"{error}")
            continue
        described = _describe(file, captioned)
        found.append(described)
        line = jsons.dumps(described, ensure_ascii=False) if jsonl else _tell(file, captioned)
        lines.append(line)
        if out is None and not json:
            emit_text(line)
    if out is not None:
        write_text(out, "".join(f"{line}\n" for line in lines))
    if json:
        emit_json({"model": captioner.name, "model_hash": captioner.identity, "sounds": found})
    if bad:
        raise UserError(
            f"{bad} of {len(files)} files could not be captioned.", change="They are named above."
        )


def _caption_corpus(
    manifest: Path,
    out: Path | None,
    model: str,
    settings: dict[str, Any],
    device: str,
    *,
    json: bool,
) -> None:
    from soundwright.core.journal import journal_of
    from soundwright.data.manifest import MANIFEST_NAME, read_manifest, relocated, write_manifest
    from soundwright.pipelines.captioning import load_captioner
    from soundwright.pipelines.recaptioning import caption_manifest

    if out is None:
        raise UserError("There is no place for the captioned manifest.", change="Give --out DIR.")
    corpus = read_manifest(manifest)
    path = out / MANIFEST_NAME
    captioner = load_captioner(model, device=device)
    captioned = caption_manifest(corpus, captioner, journal_of(path), **settings)
    write_manifest(path, relocated(captioned.manifest, out))
    told = {
        "manifest": str(path),
        "clips": len(captioned.manifest.clips),
        "captioned": captioned.count,
        "left_out": captioned.left_out,
    }
    if json:
        emit_json(told)
        return
    emit_text(f"{path}: {captioned.count} of {told['clips']} clips captioned by {captioner.name}")
    for reason, count in captioned.left_out.items():
        note(f"{count} clips have no caption: {reason}.")


def _gather_metadata(
    files: list[Path], given: dict[str, str | None], table: Path | None, *, names: bool
) -> list[dict[str, str]]:
    """What is known of each file, by the options."""
    told = {field: text for field, text in given.items() if text}
    if told and len(files) > 1:
        raise UserError(
            f"--{next(iter(told))} is of one file, and there are {len(files)}.",
            change="Write what is known of many into JSON lines, and give --metadata FILE.",
        )
    if names and ("title" in told):
        raise UserError("--names and --title both give a title.", change="Choose one.")
    rows = _read_table(table) if table is not None else {}
    unknown = sorted(set(rows) - {str(file) for file in files} - {file.name for file in files})
    if rows and len(unknown) == len(rows):
        raise UserError(
            f"{table} knows none of the files; it has {unknown[0]}.",
            expected="file: the path as it is given here, or the file's name alone",
        )
    known: list[dict[str, str]] = []
    for file in files:
        row = rows.get(str(file)) or rows.get(file.name) or {}
        known.append({**({"title": file.stem} if names else {}), **row, **told})
    if any("title" in one for one in known):
        from soundwright.captioner.metadata import clean_title

        known = [
            {**one, "title": clean_title(one["title"])} if "title" in one else one for one in known
        ]
    return known


def _read_table(path: Path) -> dict[str, dict[str, str]]:
    """What JSON lines know, by file."""
    import json as jsons

    rows: dict[str, dict[str, str]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = jsons.loads(line)
        except jsons.JSONDecodeError as error:
            raise UserError(f"{path}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get("file"), str):
            raise UserError(
                f"{path}, line {number} names no file.",
                expected='{"file": "dog.wav", "title": "my dog"}',
            )
        name = row.pop("file")
        rows[name] = {str(field): str(text) for field, text in row.items()}
    return rows


def _refuse_with_manifest(
    files: list[Path] | None,
    title: str | None,
    tags: str | None,
    visual: str | None,
    metadata: Path | None,
    *,
    names: bool,
    jsonl: bool,
) -> None:
    """A corpus brings its sounds and what is known of them itself."""
    given = {
        "sound files": files,
        "--title": title,
        "--tags": tags,
        "--visual": visual,
        "--metadata": metadata,
        "--names": names,
        "--jsonl": jsonl,
    }
    for name, value in given.items():
        if value:
            raise UserError(
                f"{name} and --manifest do not go together.",
                change="A manifest names its sounds and what is known of them.",
            )


def _warn_of_unread(captioner: CaptioningModel, known: list[dict[str, str]]) -> None:
    unread = {field for one in known for field in one} - set(captioner.fields)
    if unread:
        reads = ", ".join(captioner.fields) or "none"
        note(f"{captioner.name} does not read {', '.join(sorted(unread))}; it reads {reads}.")


def _describe(file: Path, captioned: Captioned) -> dict[str, Any]:
    return {
        "file": str(file),
        "caption": captioned.text,
        "confidence": captioned.confidence,
        "agreement": _rounded(captioned.agreement),
        "spans": [
            {
                "start": round(span.start, 3),
                "end": round(span.end, 3),
                "caption": span.text,
                "confidence": span.caption.confidence,
                "agreement": _rounded(span.agreement),
            }
            for span in captioned.spans
        ],
    }


def _tell(file: Path, captioned: Captioned) -> str:
    numbers = f"confidence {captioned.confidence:.2f}"
    if captioned.agreement is not None:
        numbers += f", agreement {captioned.agreement:.2f}"
    if len(captioned.spans) == 1:
        return f"{file}: {captioned.text} ({numbers})"
    spans = "".join(
        f"\n  {span.start:7.1f} s to {span.end:7.1f} s  {span.text}" for span in captioned.spans
    )
    return f"{file}: ({numbers}){spans}"


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)
