"""The first stage: what the inputs hold, dealt out into shards by the hashes of its ids.

A recording's shard follows from its name alone, so that a recording that is added, changed or gone
touches one shard; two of one id meet in the same, and so do all spans of one recording.
"""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.files import disk_error, hash_bytes, read_json, write_json
from soundwright.core.progress import Meter
from soundwright.corpus.failures import Failure
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.inputs.reading import list_inputs, read_inputs
from soundwright.corpus.parts import PartFolder, PartWriter
from soundwright.corpus.records import Media

STAGE = "ingest"
FOLDER = "00-ingest"
STATE = "ingest.json"
DEALING = 2
"""Counted up when rows come to be dealt out otherwise."""
BUCKETS = 4096
"""Files into which rows are dealt before the number of shards is known."""
BUFFERED = 20_000
"""Rows that are held before they are written to their buckets."""
NAMED = 5


class IngestConfig(Config):
    """How inputs become shards."""

    shard_size: Annotated[int, Field(ge=1)] = 500
    """Recordings a shard, about. Decides on the number of shards when a corpus is first run; later
    it stays, so that what is done keeps its place."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """Take only so many recordings, the first ones: to try things out. What is made of them stands
    apart: no folder of a stage is shared with another limit, or with all recordings."""


@dataclass
class Ingested:
    """What came in, and what is different from the last time."""

    shards: int
    media: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    failures: int = 0
    examples: list[str] = field(default_factory=list)
    """Some recordings whose files have changed."""
    fresh: bool = True
    """Whether the inputs had to be read."""


def ingest_folder(config: IngestConfig, root: Path) -> PartFolder:
    """Where the shards are; those of a limited run decide nothing about the whole corpus."""
    limited = "" if config.limit is None else f"-limit-{config.limit}"
    return PartFolder(root / "stages" / f"{FOLDER}{limited}", STAGE)


def count_shards(config: IngestConfig, root: Path) -> int:
    """Number of shards; 0 before the first run."""
    state = ingest_folder(config, root).path / STATE
    return int(read_json(state)["shards"]) if state.is_file() else 0


def ingest(inputs: tuple[Input, ...], config: IngestConfig, root: Path) -> Ingested:
    """Bring the shards of the first stage up to date with the inputs.

    Raises:
        UserError: An input is missing or has another layout, nothing is in it, or the disk is
            full.
    """
    folder = ingest_folder(config, root)
    state = folder.path / STATE
    before = read_json(state) if state.is_file() else None
    current = _fingerprint(inputs, config, root)
    if before and before["fingerprint"] == current and _is_whole(folder, before["shards"]):
        return Ingested(before["shards"], before["media"], failures=before["failures"], fresh=False)
    folder.sweep()
    if before:
        # Killed from here on, the shards are of two states of the inputs; their number stays.
        write_json(state, {**before, "fingerprint": ""})
    buckets = folder.path / "buckets"
    shutil.rmtree(buckets, ignore_errors=True)
    found = itertools.islice(read_inputs(inputs, root), config.limit)
    try:
        count, failures = _deal(found, buckets)
    except OSError as error:
        raise disk_error(buckets, error) from error
    if count == 0:
        raise UserError("The inputs hold no recordings.", expected="at least one")
    shards = before["shards"] if before else max(1, math.ceil(count / config.shard_size))
    result = Ingested(shards, 0)
    with Meter(STAGE, count, unit="recording") as meter:
        for shard, rows in enumerate(_collect(buckets, shards)):
            # Rows that are no recordings have no id, and stand with the first shard.
            _write(folder, shard, rows, failures if shard == 0 else [], result)
            meter.advance(len(rows))
    shutil.rmtree(buckets)
    told = {"fingerprint": current, "shards": shards, "media": result.media}
    write_json(state, {**told, "failures": result.failures})
    return result


def shard_of(key: str, shards: int) -> int:
    """The shard of a recording, by the first 32 bits of its id; see `deal_key`."""
    return int(key[:8], 16) * shards >> 32


def deal_key(row: Media) -> str:
    """What decides on a row's shard: the id of the whole recording of which it may be a span."""
    return row.source.model_copy(update={"start": 0.0, "end": None}).clip_id


def _fingerprint(inputs: tuple[Input, ...], config: IngestConfig, root: Path) -> str:
    plain = [json.dumps(one.plain(), sort_keys=True) for one in inputs]
    listed = hash_bytes(repr((DEALING, plain, config.plain())).encode())
    for name, signature in list_inputs(inputs, root):
        listed = hash_bytes(f"{listed}\n{name}\n{signature}".encode())
    return listed


def _is_whole(folder: PartFolder, shards: int) -> bool:
    return all(folder.receipt(shard) is not None for shard in range(shards))


def _deal(found: Iterable[Media | Failure], buckets: Path) -> tuple[int, list[Failure]]:
    """Write rows into the buckets of their ids; gives their number, and what is no row."""
    buckets.mkdir(parents=True)
    held: dict[int, list[str]] = defaultdict(list)
    failures: list[Failure] = []
    count = waiting = 0
    with Meter("read inputs", None, unit="recording") as meter:
        for one in found:
            if isinstance(one, Failure):
                failures.append(one)
                continue
            held[shard_of(deal_key(one), BUCKETS)].append(one.model_dump_json(exclude_none=True))
            count, waiting = count + 1, waiting + 1
            meter.advance()
            if waiting >= BUFFERED:
                _flush(held, buckets)
                waiting = 0
    _flush(held, buckets)
    return count, failures


def _flush(held: dict[int, list[str]], buckets: Path) -> None:
    for bucket, lines in held.items():
        with (buckets / f"{bucket:04d}").open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    held.clear()


def _collect(buckets: Path, shards: int) -> Iterator[list[Media]]:
    """The rows of each shard by recording and id; those of one id as they came."""
    rows: list[Media] = []
    shard = 0
    for bucket in range(BUCKETS):
        path = buckets / f"{bucket:04d}"
        if not path.is_file():
            continue
        with path.open("rb") as file:
            found = [Media.model_validate_json(line) for line in file]
        keyed = sorted(((deal_key(row), row) for row in found), key=lambda one: (one[0], one[1].id))
        for key, row in keyed:
            while shard_of(key, shards) > shard:
                yield rows
                rows, shard = [], shard + 1
            rows.append(row)
    for _ in range(shard, shards):
        yield rows
        rows = []


def _write(
    folder: PartFolder, shard: int, rows: list[Media], failures: list[Failure], result: Ingested
) -> None:
    receipt = folder.receipt(shard)
    old = {row.id: row.signature for row in folder.rows(shard, Media)} if receipt else {}
    kept: dict[str, Media] = {}
    with PartWriter(folder, shard, STAGE) as out:
        for failure in failures:
            out.fail(failure)
        for row in rows:
            out.count_read()
            if row.id in kept:
                out.fail(_repeats(row, kept[row.id]))
                continue
            kept[row.id] = row
            out.keep(row)
            result.added += row.id not in old
            if row.id in old and row.signature != old[row.id]:
                result.changed += 1
                result.examples += [row.source.item] if len(result.examples) < NAMED else []
        result.media += out.counts["written"]
        result.failures += out.counts["failed"]
        out.finish("", 0.0)
    result.removed += len(old.keys() - kept.keys())


def _repeats(row: Media, first: Media) -> Failure:
    where = [one.location.path if one.location else one.source.url for one in (first, row)]
    return Failure(
        item=row.id,
        stage=STAGE,
        kind="permanent",
        reason="duplicate-id",
        detail=f"{row.source.dataset}/{row.source.item} stands twice: {where[0]} is kept, "
        f"{where[1]} is not. If they differ, give their inputs names of their own (`dataset`), or "
        "their rows an `id`",
    )
