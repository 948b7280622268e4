"""What is measured: a folder of sounds, or a manifest, read without opening more than it must.

Of a folder, every sound file in it and below it is taken. What is known of one stands in the JSON
file beside it, as `soundwright generate` writes it, or else in its own tags. A manifest says all of
that itself. Nothing is ever written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundwright.audio.files import READABLE, read, read_metadata
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError, UserError
from soundwright.core.records import Clip
from soundwright.data.manifest import MANIFEST_NAME, Manifest, clip_path, read_clip, read_manifest
from soundwright.data.selection import Selection, select_clips


@dataclass(frozen=True)
class Item:
    """One sound of a collection, not yet decoded."""

    name: str
    """Unique in its collection: the path within the folder, or the clip's id."""
    path: Path
    stem: str
    """Of the file."""
    prompts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    seed: int | None = None
    duration: float | None = None
    """Seconds, as its record says."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """What its JSON file or its tags say of how it was made."""
    clip: Clip | None = None
    manifest: Manifest | None = None

    @property
    def shown(self) -> str:
        """What a person looks for: the path, or the file with the clip's id."""
        return self.name if self.clip is None else f"{self.stem} ({self.name})"

    def read(self) -> Sound:
        """Decode it.

        Raises:
            AudioError: It is missing or bad.
        """
        if self.clip is not None and self.manifest is not None:
            return read_clip(self.manifest, self.clip)
        return read(self.path)

    def fingerprint(self) -> str:
        """Changes when the file may have changed; costs no decoding. Empty where there is none."""
        try:
            facts = self.path.stat()
        except OSError:
            return ""
        span = self.clip.location.model_dump_json() if self.clip is not None else ""
        length = self.clip.duration if self.clip is not None else ""
        return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {span} {length}"


@dataclass(frozen=True)
class Collection:
    """The sounds of one side, sorted by name."""

    root: Path
    """The folder, or the manifest."""
    items: tuple[Item, ...]
    absent: tuple[str, ...] = ()
    """Sound files of which only the JSON file is there."""


def read_collection(path: Path, *, split: str | None = None) -> Collection:
    """List the sounds of a folder or a manifest.

    Args:
        path: A manifest, a folder that holds one as manifest.jsonl, or a folder of sounds.
        split: Take only this split of a manifest.

    Raises:
        UserError: There is nothing, no sound, no such split, or the manifest does not hold.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist.", expected="a folder of sounds, or a manifest")
    if path.is_file() and path.suffix.lower() in READABLE:
        raise UserError(f"{path} is one sound.", expected="a folder of sounds, or a manifest")
    if path.is_dir() and not (path / MANIFEST_NAME).is_file():
        if split is not None:
            raise UserError(
                f"{path} is a folder of sounds, which has no split {split!r}.",
                change="Make a manifest of it: soundwright data import.",
            )
        return _read_folder(path)
    return _read_manifest(path / MANIFEST_NAME if path.is_dir() else path, split)


def _read_folder(folder: Path) -> Collection:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    visible = [
        file
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    sounds = [file for file in visible if file.suffix.lower() in READABLE]
    described = _read_descriptions(visible)
    absent = sorted(
        sound.relative_to(folder).as_posix() for sound in described.keys() - set(sounds)
    )
    if not sounds:
        raise UserError(
            f"{folder} holds no sound" + (f"; {len(absent)} are missing." if absent else "."),
            expected="files such as .wav or .flac, or a manifest.jsonl",
        )
    items = [_describe(file, folder, described.get(file)) for file in sounds]
    return Collection(folder, tuple(items), tuple(absent))


def _read_descriptions(files: Sequence[Path]) -> dict[Path, Mapping[str, Any]]:
    """By sound file, what JSON files say that name a prompt and the file beside them."""
    described: dict[Path, Mapping[str, Any]] = {}
    for file in files:
        values = _as_description(_text(file)) if file.suffix.lower() == ".json" else None
        if values is not None and isinstance(values.get("file"), str):
            described[file.parent / Path(values["file"]).name] = values
    return described


def _describe(file: Path, folder: Path, described: Mapping[str, Any] | None) -> Item:
    values = _inside(file) if described is None else described
    seed, duration = values.get("seed"), values.get("duration")
    return Item(
        name=file.relative_to(folder).as_posix(),
        path=file,
        stem=file.stem,
        prompts=(values["prompt"],) if values else (),
        seed=seed if isinstance(seed, int) else None,
        duration=float(duration) if isinstance(duration, int | float) else None,
        origin=values,
    )


def _inside(file: Path) -> Mapping[str, Any]:
    """What the sound's own comment says, if it was made by `soundwright generate`."""
    try:
        return _as_description(read_metadata(file).get("comment", "")) or {}
    except AudioError:
        # Whoever decodes it says what is wrong with it.
        return {}


def _as_description(text: str) -> Mapping[str, Any] | None:
    try:
        values = json.loads(text)
    except ValueError:
        return None
    is_one = isinstance(values, dict) and isinstance(values.get("prompt"), str)
    return values if is_one else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _read_manifest(path: Path, split: str | None) -> Collection:
    manifest = read_manifest(path)
    # Filters annotate: what one would drop from training is still part of what is measured.
    splits = () if split is None else (split,)
    chosen = select_clips(manifest, Selection(splits=splits, ignore_drops=True))
    items = [
        Item(
            name=clip.id,
            path=clip_path(manifest, clip),
            stem=Path(clip.source.item).stem,
            prompts=tuple(caption.text for caption in clip.captions),
            tags=clip.tags,
            duration=clip.duration,
            origin={"scores": clip.scores} if clip.scores else {},
            clip=clip,
            manifest=manifest,
        )
        for clip in chosen.clips
    ]
    return Collection(path, tuple(sorted(items, key=lambda item: item.name)))
