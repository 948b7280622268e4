"""What the driver of a corpus needs of whatever does the work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from soundwright.corpus.work import Outcome, Task


class Executor(Protocol):
    """Workers; each does one task at a time, and one that dies takes only its own task along."""

    @property
    def workers(self) -> int:
        """How many tasks are under way at once."""
        ...

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Do the tasks; outcomes come as they end, in any order.

        Leaving the iterator early stops what is under way.
        """
        ...

    def close(self) -> None:
        """End the workers."""
        ...
