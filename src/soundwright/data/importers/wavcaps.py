"""WavCaps (Mei et al., TASLP 2024): captions that ChatGPT made of descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from soundwright.core.errors import UserError, nearest
from soundwright.core.files import read_json
from soundwright.core.records import Caption, Licence, Source
from soundwright.data.clips import Draft, Skip
from soundwright.data.importers.audio_files import AudioFiles
from soundwright.data.importers.published_files import wrong_layout
from soundwright.data.importers.reports import BLACKLISTED, Imported, gather
from soundwright.data.importers.tables import read_python_list
from soundwright.data.importers.video_spans import video_address

FILES: Mapping[str, tuple[str, ...]] = {
    "AudioSet_SL": ("as_final.json",),
    "BBC_Sound_Effects": ("bbc_final.json",),
    "FreeSound": ("fsd_final.json", "fsd_final_2s.json"),
    "SoundBible": ("sb_final.json",),
}
"""By source, of which the first that is there is read."""
EXPECTED = (
    "json_files/<source>/*.json ("
    + ", ".join(f"{source}/{names[0]}" for source, names in FILES.items())
    + ') with {"num_captions_per_audio": 1, "data": [{"id": ..., "caption": ..., ...}]}, and audio '
    "files named by id"
)
FOLDERS = {source: (source, f"{source}_flac") for source in FILES}
"""In which the audio of a source lies, as its archives are named and as they are packed."""
ALL_FOLDERS = tuple(folder for folders in FOLDERS.values() for folder in folders)
SITES = {"FreeSound": "https://freesound.org", "SoundBible": "https://soundbible.com/"}
TERMS = "https://github.com/XinhaoMei/WavCaps#license"


def import_wavcaps(
    folder: Path,
    *,
    blacklists: Sequence[str] = ("all",),
    strict: bool = False,
    workers: int = 0,
) -> Imported:
    """Import WavCaps with the audio that is at hand; captions are a model's, tags the uploader's.

    The data set's blacklists name clips that test sets hold as well. What one of them names is
    skipped as `blacklisted`: to train on such clips is to have seen the test.

    Args:
        folder: json_files, or a folder with it in it or in data, and the audio files, searched
            with subfolders.
        blacklists: Names of files in json_files/blacklist, "all" for all, "none" for none.
        strict: Stop at a clip that cannot be used; the blacklists' are left out all the same.
        workers: Threads that decode.

    Returns:
        The manifest, without splits; the source of each clip is in its metadata and in its item.

    Raises:
        UserError: Not WavCaps's files, no such blacklist, or nothing in them can be read.
    """
    files = AudioFiles(folder)
    root = _find_root(files.folder)
    sources = _find_sources(root, files.folder)
    avoid = _read_blacklists(root / "blacklist", blacklists)
    found = (clip for path in sources for clip in _read_source(path, files, avoid))
    facts = {"importer": "wavcaps", "dataset": "wavcaps", "blacklists": list(blacklists)}
    return gather(found, folder, facts=facts, strict=strict, workers=workers)


def _find_root(folder: Path) -> Path:
    places = (folder / "json_files", folder / "data" / "json_files", folder)
    return next(place for place in places if place.is_dir())


def _find_sources(root: Path, folder: Path) -> list[Path]:
    found: list[Path] = []
    for source, names in FILES.items():
        there = [root / source / name for name in names if (root / source / name).is_file()]
        found += there[:1]
    if not found:
        raise wrong_layout("WavCaps", folder, EXPECTED)
    return found


def _read_blacklists(folder: Path, wanted: Sequence[str]) -> dict[str, str]:
    """The blacklist that names a clip, by the key of the clip."""
    if tuple(wanted) == ("none",):
        return {}
    there = {path.stem: path for path in sorted(folder.glob("*.json"))}
    names = [name.removesuffix(".json") for name in wanted]
    if names == ["all"]:
        names = list(there)
    if not names:
        raise UserError(
            f"{folder} has no blacklists of clips that test sets hold.",
            expected="json_files/blacklist/*.json, as WavCaps publishes them",
            change='Fetch them, or choose the blacklist "none" to import those clips too.',
        )
    avoid: dict[str, str] = {}
    for name in names:
        if name not in there:
            raise UserError(
                f"WavCaps has no blacklist {name!r} in {folder}; {nearest(name, there)}",
                expected='names of its files, "all" or "none"',
            )
        listed = read_json(there[name])
        if not isinstance(listed, dict):
            raise UserError(
                f"{there[name]} is no blacklist.",
                expected='{"AudioSet": [...], "FreeSound": [...]}',
            )
        avoid |= {_key(source, str(one)): name for source, ids in listed.items() for one in ids}
    return avoid


def _key(source: str, item: str) -> str:
    """One name for a clip, whose source is written AudioSet_SL or AudioSet, its id with suffix."""
    return f"{source.removesuffix('_SL')}/{item.removesuffix('.wav')}"


def _read_source(path: Path, files: AudioFiles, avoid: Mapping[str, str]) -> Iterator[Draft | Skip]:
    content = read_json(path)
    # The repository's files are the bare list, those of the hub stand in an object.
    clips = content.get("data") if isinstance(content, dict) else content
    if not isinstance(clips, list):
        raise wrong_layout("WavCaps", path, EXPECTED)
    for number, clip in enumerate(clips, start=1):
        where = f"{path.name}, clip {number}"
        try:
            found = _read_clip(clip, where, path.parent.name, files, avoid)
        except ValueError as error:
            found = Skip(where, "bad-row", str(error))
        yield found


def _read_clip(
    clip: Any, where: str, source: str, files: AudioFiles, avoid: Mapping[str, str]
) -> Draft | Skip:
    if not isinstance(clip, dict) or not clip.get("id") or not clip.get("caption"):
        raise ValueError("it has no id or no caption")
    item = str(clip["id"]).removesuffix(".wav")
    key = _key(source, item)
    if key in avoid:
        return Skip(where, BLACKLISTED, f"{avoid[key]} names {item}")
    path = files.find_one(item, where, own=FOLDERS[source], foreign=ALL_FOLDERS)
    if isinstance(path, Skip):
        return path
    texts = clip["caption"] if isinstance(clip["caption"], list) else [clip["caption"]]
    facts = {key: str(clip[key]) for key in ("title", "description") if clip.get(key)}
    return Draft(
        path=path,
        source=Source(dataset="wavcaps", item=f"{source}/{item}", url=_address(clip, source, item)),
        captions=tuple(Caption(text=text, kind="model", model="chatgpt") for text in texts),
        tags=_read_tags(clip),
        licence=Licence(
            name="academic-only",
            url=TERMS,
            author=str(clip.get("author") or ""),
            title=str(clip.get("title") or clip.get("file_name") or ""),
            evidence=f"WavCaps's statement; the terms of {source.replace('_', ' ')} hold as well",
        ),
        metadata={"source": source, **facts},
    )


def _address(clip: dict[str, Any], source: str, item: str) -> str:
    if source == "AudioSet_SL":
        return video_address(item.removeprefix("Y"))
    if "href" in clip and source in SITES:
        return SITES[source] + str(clip["href"])
    return str(clip.get("download_link") or "")


def _read_tags(clip: dict[str, Any]) -> tuple[str, ...]:
    """The tags of FreeSound, or the BBC's categories."""
    if isinstance(clip.get("tags"), list):
        return tuple(str(tag) for tag in clip["tags"])
    return read_python_list(str(clip.get("category") or ""))
