"""What could not be done in a corpus, and letting it be tried again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from soundwright.core.errors import UserError, nearest
from soundwright.corpus.failures import Failure
from soundwright.corpus.fetching import fetched_file
from soundwright.corpus.layout import Corpus, Place
from soundwright.corpus.records import Media
from soundwright.corpus.stages.decoding import Decode
from soundwright.corpus.stages.fetching import FOLDER, Fetch

LATER = "transient"
BROKEN = frozenset(
    ("empty", "no-audio-stream", "no-duration", "no-samples", "not-audio", "not-finite",
     "truncated", "unsupported")
)  # fmt: skip
"""Reasons for which a file that was fetched may be another one the next time."""


def list_failures(corpus: Corpus, stage: str | None = None) -> Iterator[Failure]:
    """The failures of all stages as they are now, or of one.

    Raises:
        UserError: There is no such stage.
    """
    for place in _chosen(corpus, stage):
        for shard in range(corpus.shards):
            if place.folder.receipt(shard) is not None:
                yield from place.folder.failures(shard)


def list_named_failures(corpus: Corpus, stage: str | None = None) -> Iterator[tuple[Failure, str]]:
    """As `list_failures`, each with the item's name in its data set; empty where nobody knows it.

    Raises:
        UserError: There is no such stage.
    """
    chosen = _chosen(corpus, stage)
    for before, place in zip((None, *corpus.places), corpus.places, strict=False):
        for shard in range(corpus.shards if place in chosen else 0):
            if place.folder.receipt(shard) is None:
                continue
            failures = list(place.folder.failures(shard))
            names = _names(before, shard, {_row_of(one) for one in failures}) if failures else {}
            yield from ((one, names.get(_row_of(one), "")) for one in failures)


def _row_of(failure: Failure) -> str:
    """The id of the row, of which a failure may concern one piece: "id@3.5"."""
    return failure.item.partition("@")[0]


def _names(before: Place | None, shard: int, wanted: set[str]) -> dict[str, str]:
    if before is None or before.folder.receipt(shard) is None:
        return {}
    rows = before.folder.rows(shard, before.writes)
    return {row.id: row.source.item for row in rows if row.id in wanted}


def forget_failures(corpus: Corpus, stage: str | None = None, *, everything: bool = False) -> int:
    """Let the shards with failures be done again.

    Args:
        corpus: Which.
        stage: Only of this stage.
        everything: Permanent failures and poison too, not only what may go well another time.
            Fetched files that turned out broken are removed, so that they are fetched anew.

    Returns:
        Number of shards.

    Raises:
        UserError: There is no such stage.
    """
    count = 0
    for place in _chosen(corpus, stage):
        for shard in range(corpus.shards):
            failures = list(place.folder.failures(shard))
            if any(everything or one.kind == LATER for one in failures):
                if everything and place.name in (Fetch.name, Decode.name):
                    _remove_broken(corpus, shard, failures)
                place.folder.forget(shard)
                count += 1
    return count


def _remove_broken(corpus: Corpus, shard: int, failures: Sequence[Failure]) -> None:
    """Let files that were fetched and could not be decoded be fetched again."""
    broken = {_row_of(one) for one in failures if one.reason in BROKEN}
    for before, place in zip(corpus.places, corpus.places[1:], strict=False):
        if place.name != Fetch.name or before.folder.receipt(shard) is None or not broken:
            continue
        for row in before.folder.rows(shard, Media):
            if row.id in broken and row.location is None and row.source.url:
                path = fetched_file(row.source.url, corpus.root / FOLDER)
                if path is not None:
                    path.unlink(missing_ok=True)
                place.folder.forget(shard)


def _chosen(corpus: Corpus, stage: str | None) -> list[Place]:
    places = [place for place in corpus.places if stage in (None, place.name)]
    if not places:
        names = [place.name for place in corpus.places]
        raise UserError(f"This corpus has no stage {stage!r}; {nearest(str(stage), names)}")
    return places
