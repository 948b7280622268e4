"""Duplicates in a corpus: which clips to keep, and of which kept clip each other one is a copy.

Clips are judged in order of preference: the longest first, of equally long ones (to a tenth of a
second) the one with the least `preference`, then the least id. A clip is a duplicate only of a clip
that is kept and that holds enough of it. So a clip of ten seconds replaces the two different ones
of four seconds that were cut from it; and where A overlaps B and B overlaps C, but A not C, then B
goes for A and C stays, since nothing else that is kept has its sound. Groups of all that hang
together would have lost it.

Nothing depends on the order of clips or on how they are divided into shards. Memory holds the id of
a clip and twelve bytes more; landmarks pass through files of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.files import disk_error, read_json, write_json
from soundwright.core.records import Record
from soundwright.corpus.fingerprints import Fingerprint
from soundwright.corpus.matching import DEFAULT_MATCH, Match, MatchConfig, match
from soundwright.corpus.roster import Roster
from soundwright.corpus.sorting import Rows, pack, sort_rows, unpack

HASHES = range(1 << 32)


class DuplicateConfig(Config):
    """What counts as a duplicate, and how much work goes into finding it."""

    match: MatchConfig = DEFAULT_MATCH
    least_covered: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of a clip's time that the kept one has to hold."""
    partners: Annotated[int, Field(ge=1)] = 32
    """Clips that share a landmark are compared with so many of the most preferred among them.
    Where more share one, all pairs would be too many; see `DuplicateReport.crowded_hashes`."""
    memory_rows: Annotated[int, Field(ge=1)] = 1 << 20
    """Landmarks, or pairs of clips, that are sorted in memory at a time: 8 bytes each, and about
    eight times that while they are worked on."""


DEFAULT_DUPLICATES = DuplicateConfig()


class Duplicate(Record):
    """Of which kept clip another one is a duplicate."""

    kept: str
    """Its id."""
    how: Literal["same-samples", "same-sound"]
    score: float
    """Of the match; 1 for the same samples."""
    offset: float
    """Where the duplicate begins, in seconds from the beginning of the kept clip."""


TABLE = TypeAdapter(dict[str, Duplicate])


@dataclass
class DuplicateReport:
    """What was found, and what was left out."""

    clips: int = 0
    same_samples: int = 0
    same_sound: int = 0
    compared: int = 0
    """Pairs of clips whose fingerprints were compared."""
    crowded_hashes: int = 0
    """Hashes that more than `partners` clips share ..."""
    pairs_left_out: int = 0
    """... and the pairs, counted once a hash, that were not looked at there for that reason."""


def find_duplicates(
    sketches: Sequence[Path],
    tables: Path,
    config: DuplicateConfig = DEFAULT_DUPLICATES,
    *,
    scratch: Path | None = None,
) -> DuplicateReport:
    """Find the duplicates among the clips of all shards.

    Args:
        sketches: The file of each shard, as `write_sketches` writes it.
        tables: The folder that gets one table a shard, `<name of the sketches>.json`, for
            `read_duplicates`: the shard's duplicates. Clips that are kept are not in it.
        config: What counts as a duplicate.
        scratch: A folder for temporary files, of about 8 bytes a landmark and for each pair of
            clips that share one; None is that of the system.

    Raises:
        UserError: Sketches that cannot be read or differ in their configuration, two files with
            one name, one clip in two places, or a full disk.
    """
    names = [path.stem for path in sketches]
    if len(set(names)) < len(names):
        raise UserError("Two files of sketches have one name.", expected="a name for each shard")
    roster = Roster(sketches, config.match.fingerprint)
    verdict = _Verdict(roster, config)
    verdict.judge_samples()
    report = DuplicateReport(clips=len(roster))
    report.same_samples = int(verdict.is_dropped.sum())
    try:
        landmarks = roster.landmarks(~verdict.is_dropped)
        limit = config.memory_rows
        by_hash = sort_rows(landmarks, scratch, keys=HASHES, limit=limit)
        pairs = _pair_clips(by_hash, config.partners, report)
        for piece in sort_rows(pairs, scratch, keys=range(len(roster)), limit=limit):
            report.compared += verdict.judge_sounds(piece)
    except OSError as error:
        raise disk_error(scratch or Path("temporary folder"), error) from error
    report.same_sound = int(verdict.is_dropped.sum()) - report.same_samples
    verdict.follow()
    for number, name in enumerate(names):
        write_json(tables / f"{name}.json", verdict.table(number))
    return report


def read_duplicates(path: Path) -> dict[str, Duplicate]:
    """The table of one shard: its duplicates by their ids.

    Raises:
        UserError: The file is missing or is no such table.
    """
    try:
        return TABLE.validate_python(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path} is no table of duplicates: {error}") from error


@dataclass
class _Verdict:
    """Of which clip each is a duplicate, by numbers; of itself where it is kept."""

    roster: Roster
    config: DuplicateConfig
    kept: NDArray[np.int32] = field(init=False)
    heard: dict[int, Match] = field(default_factory=dict)
    """Of those that are dropped for their sound: how they match."""

    def __post_init__(self) -> None:
        self.kept = np.arange(len(self.roster), dtype=np.int32)

    @property
    def is_dropped(self) -> NDArray[np.bool_]:
        return self.kept != np.arange(len(self.kept), dtype=np.int32)

    def judge_samples(self) -> None:
        """Of clips with the same samples the most preferred is kept."""
        words = self.roster.digests()
        order = np.lexsort((self.kept, words[:, 1], words[:, 0]))
        same = np.zeros(len(order), np.bool_)
        there = words[order]
        same[1:] = (there[1:] == there[:-1]).all(1) & there[1:].any(1)
        first = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
        self.kept[order] = order[first]

    def judge_sounds(self, pairs: Rows) -> int:
        """Judge clips by rows of (clip, a preferred one), once for each hash that they share.

        All rows of a clip have to be among them, and come after those of all preferred clips.

        Returns:
            The number of comparisons.
        """
        rows, shared = np.unique(pairs, return_counts=True)
        enough = shared >= self.config.match.least_landmarks
        compared = 0
        candidates = zip(*(side.tolist() for side in unpack(rows[enough])), strict=True)
        for clip, several in groupby(candidates, key=lambda pair: pair[0]):
            sound = self.roster.fingerprint(clip)
            best: Match | None = None
            for _, other in several:
                if self.kept[other] != other:
                    continue
                compared += 1
                found = match(self.roster.fingerprint(other), sound, self.config.match)
                if found is None or not self._is_covered(sound, found):
                    continue
                if best is None or found.score > best.score:
                    best = found
                    self.kept[clip] = other
            if best is not None:
                self.heard[clip] = best
        return compared

    def _is_covered(self, sound: Fingerprint, found: Match) -> bool:
        return found.overlap >= self.config.least_covered * sound.duration

    def follow(self) -> None:
        """Let clips that have the samples of a dropped one share its fate."""
        moved = np.flatnonzero(self.kept[self.kept] != self.kept)
        for clip, other in zip(moved.tolist(), self.kept[moved].tolist(), strict=True):
            self.heard[clip] = self.heard[other]
        self.kept[moved] = self.kept[self.kept[moved]]

    def table(self, file: int) -> dict[str, dict[str, str | float]]:
        """The duplicates of one file by id, in the order of the file, as JSON values."""
        numbers = self.roster.numbers_of(file)
        dropped = numbers[self.kept[numbers] != numbers].tolist()
        return {self.roster.id_of(number): self._tell(number).model_dump() for number in dropped}

    def _tell(self, number: int) -> Duplicate:
        found = self.heard.get(number)
        return Duplicate(
            kept=self.roster.id_of(int(self.kept[number])),
            how="same-sound" if found else "same-samples",
            score=round(found.score, 6) if found else 1.0,
            offset=found.offset if found else 0.0,
        )


def _pair_clips(pieces: Iterable[Rows], partners: int, report: DuplicateReport) -> Iterator[Rows]:
    """Rows of (clip, a preferred one) for each hash that two clips share, of rows by hash."""
    for rows in pieces:
        hashes, clips = unpack(rows)
        _, begins, counts = np.unique(hashes, return_index=True, return_counts=True)
        begin = np.repeat(begins, counts)
        place = np.arange(len(rows)) - begin
        for nth in range(min(partners, int(counts.max()) - 1)):
            later = np.flatnonzero(place > nth)
            yield pack(clips[later], clips[begin[later] + nth])
        report.crowded_hashes += int((counts > partners).sum())
        report.pairs_left_out += int(np.maximum(0, place - partners).sum())
