"""A corpus's folder: which stages it has, where they are, and which of their shards are done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from soundwright.core.errors import UserError, nearest
from soundwright.core.files import hash_bytes, hash_file
from soundwright.core.records import Clip
from soundwright.corpus.clip_values import CLIP_NAMES
from soundwright.corpus.config import CorpusConfig
from soundwright.corpus.expressions import parse_expression
from soundwright.corpus.ingest import STAGE, count_shards, ingest_folder
from soundwright.corpus.parts import Counts, PartFolder, Receipt
from soundwright.corpus.records import Media
from soundwright.corpus.stage import GatheringStage, Stage
from soundwright.corpus.table import STAGES, build_stage, chosen_stages

KEY_DIGITS = 12
GATHERED = "gathered"
PUBLISHED = ("published_clap",)
"""Scores that inputs may bring along."""


@dataclass(frozen=True)
class Place:
    """A stage of a corpus, and the folder of its parts."""

    name: str
    folder: PartFolder
    stage: Stage | None
    """None for `ingest`."""

    @property
    def writes(self) -> type[Media] | type[Clip]:
        """What the rows are."""
        return Media if self.stage is None else self.stage.writes

    @property
    def gathered(self) -> Path | None:
        """The folder of what the stage has gathered over all shards, if it does."""
        return self.folder.path / GATHERED if isinstance(self.stage, GatheringStage) else None

    def gathered_file(self, shard: int) -> Path | None:
        """What the stage has gathered for a shard."""
        return self.gathered / f"part-{shard:05d}.json" if self.gathered else None


@dataclass
class State:
    """How far a stage is."""

    place: Place
    contents: list[str | None]
    """By shard: what the rows are, as their receipt says; None where it is not done."""
    receipts: int = 0
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    """Of work, over all shards that are done."""
    size: int = 0

    @property
    def pending(self) -> list[int]:
        """Shards that are not done."""
        return [shard for shard, content in enumerate(self.contents) if content is None]

    def add(self, receipt: Receipt) -> None:
        """Count a shard that is done."""
        self.contents[receipt.shard] = receipt.content
        self.receipts += 1
        self.counts = add_counts(self.counts, receipt.counts)
        self.seconds += receipt.seconds
        self.size += receipt.size


class Corpus:
    """A configuration and the folder in which it is carried out.

    Args:
        config: What the corpus follows from.
        root: Where its stages and its export are.
    """

    def __init__(self, config: CorpusConfig, root: Path) -> None:
        self.config, self.root = config, Path(root)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Of `ingest` and of all stages that the configuration has, in order.

        The name of a folder follows from the parameters, version and weights of its stage and of
        those before it, so that a change begins new folders from there on. `ingest.limit` is one
        of them. Inputs are not: what comes of a changed file is seen shard by shard.

        Raises:
            UserError: An expression names what no stage before it knows; weights or packages are
                missing.
        """
        stages = self.root / "stages"
        places = [Place(STAGE, ingest_folder(self.config.ingest, self.root), None)]
        limit = self.config.ingest.limit
        key = "" if limit is None else f"limit {limit}"
        known: list[str] | None = [*CLIP_NAMES, *PUBLISHED]
        for name in chosen_stages(self.config):
            stage = build_stage(name, self.config, self.root)
            for expression in stage.expressions():
                parse_expression(expression, known)
            added = stage.scores()
            known = None if known is None or added is None else [*known, *added]
            told = (key, name, stage.version, stage.config.plain(), stage.identity())
            key = hash_bytes(json.dumps(told, sort_keys=True).encode())[:KEY_DIGITS]
            number = list(STAGES).index(name) + 1
            folder = PartFolder(stages / f"{number:02d}-{name}-{key}", key)
            places.append(Place(name, folder, stage))
        return tuple(places)

    @property
    def shards(self) -> int:
        """Number of shards; 0 before the first run."""
        return count_shards(self.config.ingest, self.root)

    def survey(self) -> Iterator[State]:
        """How far each stage is, in order."""
        before: State | None = None
        for place in self.places:
            before = survey_stage(place, before, self.shards)
            yield before


def survey_stage(place: Place, before: State | None, shards: int) -> State:
    """How far a stage is, given the one before it."""
    state = State(place, [None] * shards)
    for shard in range(shards):
        receipt = place.folder.receipt(shard)
        wanted = made_from(place, before, shard)
        if receipt is not None and wanted is not None and receipt.upstream == wanted:
            state.add(receipt)
    return state


def made_from(place: Place, before: State | None, shard: int) -> str | None:
    """What a shard of a stage is made from as things are; None where that is not there yet."""
    if before is None:
        return ""
    content = before.contents[shard]
    file = place.gathered_file(shard)
    if content is None or file is None:
        return content
    return hash_bytes(f"{content} {hash_file(file)}".encode()) if file.is_file() else None


def add_counts(one: Counts, other: Counts) -> Counts:
    """The sums of two accounts."""
    reasons = sorted({*one.drops, *other.drops})
    return Counts(
        read=one.read + other.read,
        written=one.written + other.written,
        failed=one.failed + other.failed,
        absorbed=one.absorbed + other.absorbed,
        left_out=one.left_out + other.left_out,
        drops={name: one.drops.get(name, 0) + other.drops.get(name, 0) for name in reasons},
    )


def names_until(places: Sequence[Place], last: str | None) -> list[str]:
    """Names of the stages up to `last`; of all for None.

    Raises:
        UserError: There is no stage `last`.
    """
    names = [place.name for place in places]
    if last is not None and last not in names:
        raise UserError(f"This corpus has no stage {last!r}; {nearest(last, names)}")
    return names if last is None else names[: names.index(last) + 1]
