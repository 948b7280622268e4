"""The folder `export`: the last stage's parts together, with manifests, card and credits."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from soundwright.core.files import disk_error, sync_folder, write_text
from soundwright.core.records import Clip
from soundwright.corpus.card import Census, write_card
from soundwright.corpus.destination import (
    CARD,
    CREDIT_COLUMNS,
    CREDITS,
    TABLES,
    check_destination,
)
from soundwright.corpus.layout import Corpus, Place, State
from soundwright.corpus.parts import BESIDE, SOUND
from soundwright.corpus.stages.selecting import subsets_of
from soundwright.data.manifest_lines import MANIFEST_NAME, Header, write_clips


def assemble(corpus: Corpus, states: list[State], out: Path) -> Census:
    """Put the export together, anew or in place of an older one.

    Sound is not copied where the disk can give one file two names. The same parts give the same
    bytes.

    Args:
        corpus: Whose last stage is done.
        states: Of all its stages.
        out: The folder; an export that stands there is replaced when the new one is whole.

    Raises:
        UserError: `out` is, or holds, something else than an export; the disk is full.
    """
    check_destination(corpus, out)
    out = out.resolve()  # A link stays, and what it leads to is replaced.
    place = states[-1].place
    fresh = out.with_name(f".{out.name}-new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        form = corpus.config.export.format
        for shard in range(len(states[-1].contents)):
            _link(place, shard, form, fresh, len(states[-1].contents))
        # A table has all of a manifest in its columns, and no sound that a manifest could name.
        if form != "parquet":
            _write_manifests(corpus, place, out, fresh)
        census = _write_credits(exported_clips(corpus, place, out), fresh / CREDITS)
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


def _write_manifests(corpus: Corpus, place: Place, out: Path, folder: Path) -> None:
    """Write manifests to `folder`, which will be `out`."""
    select, form = corpus.config.select, corpus.config.export.format
    facts = {"corpus": corpus.config.name, "format": form, "select": select.where}
    write_clips(folder / MANIFEST_NAME, Header(facts=facts), exported_clips(corpus, place, out))
    for subset, where in select.subsets.items():
        told = Header(facts={**facts, "subset": subset, "where": where})
        every = exported_clips(corpus, place, out)
        clips = (clip for clip in every if subset in subsets_of(clip))
        write_clips(folder / f"manifest-{subset}.jsonl", told, clips)


def _write_credits(clips: Iterable[Clip], path: Path) -> Census:
    """Who is to be named for each clip; counts them on the way."""
    census = Census()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CREDIT_COLUMNS)
        for clip in clips:
            census.add(clip)
            licence = clip.licence
            title = licence.title or clip.metadata.get("title", "")
            row = (clip.id, title, licence.author, licence.name, licence.url, clip.source.url)
            writer.writerow((*row, licence.evidence))
    return census


def exported_clips(corpus: Corpus, place: Place, out: Path) -> Iterator[Clip]:
    """The clips of the last stage, shard by shard, located as seen from the folder `out`."""
    form = corpus.config.export.format
    for shard in range(corpus.shards):
        for clip in place.folder.rows(shard, Clip):
            path = clip.location.path
            if form == "webdataset":
                path = _shard_name(shard)
            elif form == "manifest" and not Path(path).is_absolute() and "://" not in path:
                path = Path(os.path.relpath(corpus.root.resolve() / path, out)).as_posix()
            location = clip.location.model_copy(update={"path": path})
            yield clip.model_copy(update={"location": location})


def _swap(fresh: Path, out: Path) -> None:
    old = out.with_name(f".{out.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    sync_folder(out.parent)
    shutil.rmtree(old, ignore_errors=True)
