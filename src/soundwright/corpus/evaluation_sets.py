"""Evaluation sets that must not come back in training data, read from tables and manifests."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soundwright.core.errors import AudioError, UserError
from soundwright.core.records import Source
from soundwright.corpus.fingerprint_index import FingerprintIndex
from soundwright.corpus.fingerprints import fingerprint
from soundwright.corpus.identities import identities, youtube
from soundwright.corpus.matching import DEFAULT_MATCH, MatchConfig
from soundwright.data.clips import Skip
from soundwright.data.manifest import Manifest, read_clip

SPAN_S = 10.0
"""Length of an item whose table has no ends: AudioCaps'."""
IDS = ("youtube_id", "ytid")
STARTS = ("start_time", "start_s", "start_seconds")
ENDS = ("end_time", "end_s", "end_seconds")


@dataclass(frozen=True)
class Span:
    """The part of a recording that is an item of an evaluation set."""

    item: str
    """As a person would look for it."""
    start: float = 0.0
    end: float | None = None
    """Seconds; None is the end of the recording."""

    def overlaps(self, source: Source, margin: float = 0.0) -> bool:
        """Whether a clip's span has time in common with this one, or comes closer than `margin`."""
        begins_before = self.end is None or source.start < self.end + margin
        return begins_before and (source.end is None or source.end > self.start - margin)


@dataclass(frozen=True)
class EvaluationSet:
    """What is known of an evaluation set."""

    name: str
    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    """By identity of the recording, such as "youtube:dQw4w9WgXcQ"."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """Item by hash of its samples, where its sound is at hand."""
    fingerprints: FingerprintIndex | None = None
    """Of the items whose sound is at hand."""
    unheard: tuple[Skip, ...] = ()
    """Items whose sound could not be read: only their identities are looked for."""


def read_evaluation_table(path: Path, name: str) -> EvaluationSet:
    """An evaluation set from a published table of YouTube videos; no sound is needed.

    Known are AudioCaps (youtube_id, start_time), MusicCaps (ytid, start_s, end_s) and AudioSet's
    segments (YTID, start_seconds, end_seconds in a line of comment).

    Raises:
        UserError: The table cannot be read, lacks a column, has no rows, or has a row without an
            id or with a time that is no number: an item that were overlooked could leak.
    """
    spans: dict[str, dict[Span, None]] = defaultdict(dict)
    for line, row in _read_rows(path):
        video = row["id"]
        try:
            start = float(row["start"])
            end = float(row["end"]) if row.get("end") else start + SPAN_S
        except ValueError:
            video = ""
            start = end = 0.0
        if not video or end < start:
            raise UserError(
                f"{path}, line {line}: {', '.join(row.values())} is no span of a video.",
                expected="an id, and a start and an end in seconds",
                change="Mend or remove the row.",
            )
        spans[youtube(video)][Span(f"{video}, {start:g} to {end:g} s", start, end)] = None
    if not spans:
        raise UserError(f"{path} has no rows.", expected="at least one item")
    return EvaluationSet(name, {identity: tuple(several) for identity, several in spans.items()})


def read_evaluation_manifest(
    manifest: Manifest, name: str, config: MatchConfig = DEFAULT_MATCH
) -> EvaluationSet:
    """An evaluation set from a manifest; the sound of its clips is read, where it is at hand."""
    spans: dict[str, list[Span]] = defaultdict(list)
    hashes: dict[str, str] = {}
    fingerprints = {}
    unheard = []
    for clip in manifest.clips:
        for identity in identities(clip.source):
            spans[identity].append(Span(clip.id, clip.source.start, clip.source.end))
        hashes.setdefault(clip.pcm_hash, clip.id)
        try:
            sound = read_clip(manifest, clip)
        except AudioError as error:
            unheard.append(Skip(clip.id, error.reason, error.problem))
            continue
        fingerprints[clip.id] = fingerprint(sound.samples, sound.sample_rate, config.fingerprint)
    return EvaluationSet(
        name,
        {identity: tuple(several) for identity, several in spans.items()},
        hashes,
        FingerprintIndex(fingerprints, config),
        tuple(unheard),
    )


def _read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and the cells id, start and, where there is one, end."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The table {path} cannot be read: {error}.") from error
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    columns: dict[str, int] | None = None
    for cells in reader:
        if not cells:
            continue
        is_comment = cells[0].startswith("#")
        if columns is None:
            columns = _find_columns([cell.strip("# ").lower() for cell in cells])
            if columns is None and not is_comment:
                break
        elif not is_comment:
            yield (
                reader.line_num,
                {
                    role: cells[place].strip() if place < len(cells) else ""
                    for role, place in columns.items()
                },
            )
    if columns is None:
        raise UserError(
            f"The table {path} has no header that names videos and their starts.",
            expected=f"a column {' or '.join(IDS)} and one of {', '.join(STARTS)}",
        )


def _find_columns(header: Sequence[str]) -> dict[str, int] | None:
    roles = {"id": IDS, "start": STARTS, "end": ENDS}
    found = {
        role: header.index(name)
        for role, names in roles.items()
        for name in names
        if name in header
    }
    return found if {"id", "start"} <= found.keys() else None
