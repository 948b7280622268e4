"""What an input holds and cannot be a recording."""

from __future__ import annotations

from soundwright.corpus.failures import Failure


def refuse(item: str, reason: str, detail: str) -> Failure:
    """Note it; trying again gives the same."""
    return Failure(item=item, stage="ingest", kind="permanent", reason=reason, detail=detail)
