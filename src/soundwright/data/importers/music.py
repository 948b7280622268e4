"""Music collections with a metadata file beside each recording, as AudioCraft reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from soundwright.core.errors import UserError
from soundwright.core.files import read_json
from soundwright.core.records import Caption, Licence, Source
from soundwright.data.clips import Draft, Skip
from soundwright.data.importers.audio_files import AudioFiles
from soundwright.data.importers.published_files import wrong_layout
from soundwright.data.importers.reports import Imported, gather

EXPECTED = (
    "X.json beside X.wav with keys such as description, genre, bpm, key, keywords, moods, "
    "instrument, title, artist"
)
TAG_KEYS = ("keywords", "tags")
LICENCE_KEYS = ("licence", "license")
OWN_KEYS = frozenset(
    (*TAG_KEYS, *LICENCE_KEYS, "description", "name", "duration", "sample_rate", "file_extension")
)
"""What becomes a field of the clip, or is measured."""


def import_music(
    folder: Path,
    *,
    dataset: str = "",
    split: str = "",
    licence: str = "unknown",
    strict: bool = False,
    workers: int = 0,
) -> Imported:
    """Import recordings with sidecars: descriptions as captions, keywords as tags, all else kept.

    What else a sidecar says (genre, bpm, key, moods, instrument ...) is the clip's metadata, which
    `text.metadata` joins into texts; lists are written with commas, empty values left out.

    Args:
        folder: The recordings, searched with subfolders.
        dataset: Name in clip ids; empty takes the folder's.
        split: Of all clips.
        licence: For recordings whose sidecar has neither "licence" nor "license".
        strict: Stop at a sidecar or file that cannot be used.
        workers: Threads that decode.

    Returns:
        The manifest; in the report, recordings without a sidecar are skipped as `no-metadata`,
        and sidecars that are no JSON object as `bad-row`.

    Raises:
        UserError: No recording has a sidecar, or nothing can be read.
    """
    files = AudioFiles(folder)
    sidecars = {path for path in files.folder.rglob("*.json") if not path.name.startswith(".")}
    if not any(_sidecar(path) in sidecars for path in files.paths):
        raise wrong_layout("a music collection with metadata", files.folder, EXPECTED)
    dataset = dataset or files.folder.resolve().name

    def read_all() -> Iterator[Draft | Skip]:
        for path in files.paths:
            source = Source(dataset=dataset, item=_shown(path, files))
            yield _read_recording(path, source, split, licence)
        for path in sorted(sidecars - {_sidecar(path) for path in files.paths}):
            yield Skip(_shown(path, files), "missing", "there is no recording beside it")

    facts = {"importer": "music", "dataset": dataset}
    return gather(read_all(), folder, facts=facts, strict=strict, workers=workers)


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")


def _shown(path: Path, files: AudioFiles) -> str:
    return path.relative_to(files.folder).as_posix()


def _read_recording(path: Path, source: Source, split: str, licence: str) -> Draft | Skip:
    sidecar = _sidecar(path)
    if not sidecar.is_file():
        return Skip(source.item, "no-metadata", f"there is no {sidecar.name} beside it")
    try:
        about = read_json(sidecar)
    except UserError as error:
        return Skip(source.item, "bad-row", error.problem)
    if not isinstance(about, dict):
        return Skip(source.item, "bad-row", f"{sidecar.name} holds no JSON object")
    values = {str(key): _plain(value) for key, value in about.items()}
    description = str(values.get("description", ""))
    stated = next((key for key in LICENCE_KEYS if values.get(key)), None)
    return Draft(
        path=path,
        source=source,
        captions=(Caption(text=description),) if description else (),
        tags=_read_tags(values),
        licence=Licence(
            name=str(values[stated]) if stated else licence,
            author=str(values.get("artist", "")),
            title=str(values.get("title", "")),
            evidence=f"{sidecar.name}, key {stated!r}" if stated else "",
        ),
        split=split,
        metadata={k: v for k, v in values.items() if v != "" and k not in OWN_KEYS},
    )


def _plain(value: Any) -> str | float | int | bool:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list):
        return ", ".join(str(item).strip() for item in value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value).strip()


def _read_tags(values: Mapping[str, Any]) -> tuple[str, ...]:
    cells = (str(values.get(key, "")).split(",") for key in TAG_KEYS)
    tags = (tag.strip() for cell in cells for tag in cell)
    return tuple(dict.fromkeys(tag for tag in tags if tag))
