"""Clips of one shard that would have one id: only the first of them goes on.

Spans of one recording may overlap, so that the same stretch is cut of it twice. All spans of a
recording are in one shard, so that this is seen there.
"""

from __future__ import annotations

from soundwright.core.records import Clip
from soundwright.corpus.failures import Failure
from soundwright.corpus.stage import Output


class Distinct:
    """Hands on the clips of one shard, each id once; the others are failures.

    Args:
        out: Of the shard.
        stage: Name of the stage.
    """

    def __init__(self, out: Output, stage: str) -> None:
        self._out, self._stage = out, stage
        self._seen: set[str] = set()

    def keep(self, clip: Clip) -> None:
        """Hand a clip on, or note that its id stands already."""
        if not self.claim(clip):
            self._out.fail(repeat_failure(clip, clip.id, self._stage))
            return
        self._out.keep(clip)

    def claim(self, clip: Clip) -> bool:
        """Whether a clip is the first one with its id."""
        first = clip.id not in self._seen
        self._seen.add(clip.id)
        return first


def repeat_failure(clip: Clip, item: str, stage: str) -> Failure:
    """What is to be noted of a clip whose id stands already.

    Args:
        clip: Which.
        item: Under which name.
        stage: Name of the stage.
    """
    source = clip.source
    end = "its end" if source.end is None else f"{source.end:g} s"
    return Failure(
        item=item,
        stage=stage,
        kind="permanent",
        reason="duplicate-id",
        detail=f"{source.dataset}/{source.item} from {source.start:g} s to {end} is a clip already "
        f"({clip.id}): spans of it overlap",
    )
