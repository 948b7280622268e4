"""The folder `export`: the last stage's parts together, with manifests, card and credits."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from soundwright.core.files import disk_error, sync_folder, write_text
from soundwright.core.records import Clip, Location
from soundwright.corpus.card import Census, write_card
from soundwright.corpus.layout import Corpus, Place, State
from soundwright.corpus.parts import BESIDE, SOUND
from soundwright.corpus.stages.selecting import SUBSETS
from soundwright.data.manifest_lines import MANIFEST_NAME, Header, write_clips

EXPORT = "export"
CREDITS = "credits.csv"
CARD = "README.md"
TABLES = "data"


def assemble(corpus: Corpus, states: list[State], out: Path) -> Census:
    """Put the export together, anew or in place of an older one.

    Sound is not copied where the disk can give one file two names. The same parts give the same
    bytes.

    Args:
        corpus: Whose last stage is done.
        states: Of all its stages.
        out: The folder; one that stands there is replaced when the new one is whole.

    Raises:
        UserError: The disk is full.
    """
    place = states[-1].place
    fresh = out.with_name(f".{out.name}-new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        form = corpus.config.export.format
        for shard in range(len(states[-1].contents)):
            _link(place, shard, form, fresh, len(states[-1].contents))
        census = _write_manifests(corpus, place, form, fresh)
        write_text(fresh / CARD, write_card(corpus.config, states, census))
        _swap(fresh, out)
    except OSError as error:
        raise disk_error(out, error) from error
    return census


def _link(place: Place, shard: int, form: str, folder: Path, shards: int) -> None:
    suffix = {"webdataset": SOUND, "parquet": BESIDE}.get(form)
    part = place.folder.file(shard, suffix) if suffix else None
    if part is None or not part.is_file():
        return
    name = _shard_name(shard)
    if form == "parquet":
        (folder / TABLES).mkdir(exist_ok=True)
        name = f"{TABLES}/train-{shard:05d}-of-{shards:05d}.parquet"
    try:
        os.link(part, folder / name)
    except OSError:
        shutil.copyfile(part, folder / name)


def _shard_name(shard: int) -> str:
    return f"shard-{shard:05d}.tar"


def _write_manifests(corpus: Corpus, place: Place, form: str, folder: Path) -> Census:
    config = corpus.config
    census = Census()
    facts = {"corpus": config.name, "format": form, "select": config.select.where}

    def clips(subset: str | None) -> Iterator[Clip]:
        for clip in exported_clips(corpus, place):
            if subset is None:
                census.add(clip)
            elif subset not in str(clip.metadata.get(SUBSETS, "")).split():
                continue
            yield clip

    write_clips(folder / MANIFEST_NAME, Header(facts=facts), clips(None))
    for subset, where in config.select.subsets.items():
        told = Header(facts={**facts, "subset": subset, "where": where})
        write_clips(folder / f"manifest-{subset}.jsonl", told, clips(subset))
    with (folder / CREDITS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "title", "author", "licence", "licence_url", "url", "evidence"))
        for clip in exported_clips(corpus, place):
            licence = clip.licence
            title = licence.title or clip.metadata.get("title", "")
            writer.writerow(
                (clip.id, title, licence.author, licence.name, licence.url, clip.source.url,
                 licence.evidence)
            )  # fmt: skip
    return census


def exported_clips(corpus: Corpus, place: Place) -> Iterator[Clip]:
    """The clips of the last stage, shard by shard, located as seen from the export's folder."""
    form = corpus.config.export.format
    for shard in range(corpus.shards):
        for clip in place.folder.rows(shard, Clip):
            yield clip.model_copy(update={"location": _located(clip.location, form, shard)})


def _located(location: Location, form: str, shard: int) -> Location:
    if form == "webdataset":
        return location.model_copy(update={"path": _shard_name(shard)})
    if form == "manifest":
        return location.model_copy(update={"path": f"../{location.path}"})
    return location


def _swap(fresh: Path, out: Path) -> None:
    old = out.with_name(f".{out.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    sync_folder(out.parent)
    shutil.rmtree(old, ignore_errors=True)
