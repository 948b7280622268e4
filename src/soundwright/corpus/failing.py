"""What could not be done in a corpus, and letting it be tried again."""

from __future__ import annotations

from collections.abc import Iterator

from soundwright.core.errors import UserError, nearest
from soundwright.corpus.failures import Failure
from soundwright.corpus.layout import Corpus, Place

LATER = "transient"


def list_failures(corpus: Corpus, stage: str | None = None) -> Iterator[Failure]:
    """The failures of all stages as they are now, or of one.

    Raises:
        UserError: There is no such stage.
    """
    for place in _chosen(corpus, stage):
        for shard in range(corpus.shards):
            if place.folder.receipt(shard) is not None:
                yield from place.folder.failures(shard)


def forget_failures(corpus: Corpus, stage: str | None = None, *, everything: bool = False) -> int:
    """Let the shards with failures be done again.

    Args:
        corpus: Which.
        stage: Only of this stage.
        everything: Permanent failures and poison too, not only what may go well another time.

    Returns:
        Number of shards.

    Raises:
        UserError: There is no such stage.
    """
    count = 0
    for place in _chosen(corpus, stage):
        for shard in range(corpus.shards):
            if any(everything or one.kind == LATER for one in place.folder.failures(shard)):
                place.folder.forget(shard)
                count += 1
    return count


def _chosen(corpus: Corpus, stage: str | None) -> list[Place]:
    places = [place for place in corpus.places if stage in (None, place.name)]
    if not places:
        names = [place.name for place in corpus.places]
        raise UserError(f"This corpus has no stage {stage!r}; {nearest(str(stage), names)}")
    return places
