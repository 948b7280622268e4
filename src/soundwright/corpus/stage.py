"""What a stage is: a pure function from the rows of a shard to rows, and what it depends on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from soundwright.core.records import Clip
from soundwright.corpus.records import Media

if TYPE_CHECKING:
    from soundwright.corpus.failures import Failure
    from soundwright.corpus.parts import PartFolder


class Output(ABC):
    """Where a stage puts what it makes of one shard."""

    gathered: Path | None = None
    """What `GatheringStage.gather` has found for this shard; None where nothing is gathered."""

    @abstractmethod
    def keep(self, row: Media | Clip) -> None:
        """Hand a row on."""

    @abstractmethod
    def fail(self, failure: Failure, *, counted: bool = True) -> None:
        """Note that a row could not be processed, and why.

        Args:
            failure: Is listed in any case.
            counted: False for a further failure of a row that is counted as failed already.
        """

    @abstractmethod
    def absorb(self, count: int = 1) -> None:
        """Note rows that have gone into others."""

    def leave_out(self, reason: str) -> None:  # noqa: ARG002 (not all count)
        """Note a row that is not handed on, by a stable word for counting."""
        self.absorb()

    @abstractmethod
    def store_sound(self, name: str, content: bytes) -> tuple[str, int]:
        """Keep a sound file.

        Returns:
            Where: the path below the corpus's folder, and the byte at which the content begins.
        """

    @abstractmethod
    def store_beside(self, content: bytes) -> None:
        """Keep one more file beside the rows: what `gather` of the next stage reads, or a table."""


class Stage(ABC):
    """One step of the way.

    A stage makes of the same rows the same output, whatever else happens, and has no state that a
    shard could leave to the next one. It annotates; it leaves out nothing but what it cannot read.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Counted up when the same parameters come to give another output."""
    reads: ClassVar[type[Media] | type[Clip]] = Clip
    writes: ClassVar[type[Media] | type[Clip]] = Clip
    config: Any
    """The stage's own configuration, all of which enters its key."""

    def identity(self) -> str:
        """What the output depends on beside the configuration: weights, programs."""
        return ""

    def scores(self) -> tuple[str, ...] | None:
        """Names of the scores that it adds; None where nobody can say beforehand."""
        return ()

    def expressions(self) -> tuple[str, ...]:
        """Those of its configuration: what they name has to be known before it."""
        return ()

    @abstractmethod
    def process(self, rows: Iterator[Any], out: Output) -> None:
        """Make the output of one shard.

        Args:
            rows: `Media` or `Clip`, as `reads` says, in the order of the stage before.
            out: Takes what comes out.
        """


class GatheringStage(Stage):
    """A stage that has to know all shards before it processes the first."""

    @abstractmethod
    def gather(self, upstream: PartFolder, shards: Sequence[int], out: Path) -> None:
        """Look over all shards before any is processed.

        Args:
            upstream: The stage before.
            shards: All of them.
            out: The folder into which a file `part-00042.json` is written for each shard, the
                same one for the same shards.
        """


def in_batches(rows: Iterable[Clip], size: int) -> Iterator[list[Clip]]:
    """Rows, so many at a time; the last batch may be smaller."""
    batch: list[Clip] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
