"""`dedup`: copies within the corpus; all shards are looked over before the first is annotated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from soundwright.core.records import Clip, Drop
from soundwright.corpus.duplicates import DuplicateConfig, find_duplicates, read_duplicates
from soundwright.corpus.parts import BESIDE, PartFolder
from soundwright.corpus.stage import GatheringStage, Output

SCORE = "copy_score"


class Dedup(GatheringStage):
    """Annotates every copy with the id of the clip that is kept in its place."""

    name = "dedup"

    def __init__(self, config: DuplicateConfig, root: Path) -> None:  # noqa: ARG002 (as all)
        self.config = config

    def scores(self) -> tuple[str, ...]:
        """How sure it is of a copy."""
        return (SCORE,)

    def gather(self, upstream: PartFolder, shards: Sequence[int], out: Path) -> None:
        """Compare the fingerprints of all shards; see `Stage`."""
        find_duplicates([upstream.file(shard, BESIDE) for shard in shards], out, self.config)

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Annotate; see `Stage`."""
        assert out.gathered is not None, "dedup gathers"
        copies = read_duplicates(out.gathered)
        for clip in rows:
            found = copies.get(clip.id)
            if found is None:
                out.keep(clip)
                continue
            drop = Drop(stage=self.name, reason=found.how, value=found.kept)
            score = {SCORE: found.score}
            out.keep(
                clip.model_copy(
                    update={"drops": (*clip.drops, drop), "scores": {**clip.scores, **score}}
                )
            )
