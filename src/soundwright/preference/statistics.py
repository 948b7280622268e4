"""Table 2 of Tango 2: how many pairs there are, and what judges say of their sounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from soundwright.preference.records import KINDS, STRATEGIES, Pair, Rejected

ALL = "all"


def describe_pairs(pairs: Sequence[Pair], rejected: Sequence[Rejected]) -> dict[str, Any]:
    """The table, and why candidates were rejected, as JSON values.

    Returns:
        `table`: by judge a list of rows (strategy, n, winner, loser, delta: means over the pairs of
        which the judge has something to say), that of all strategies last. `rejected`: candidates
        by strategy and reason; one may have several.
    """
    judges = dict.fromkeys(name for pair in pairs for name in pair.scores)
    return {
        "pairs": len(pairs),
        "candidates": len(pairs) + len(rejected),
        "table": {name: _rows(name, pairs) for name in judges},
        "rejected": {
            "candidates": len(rejected),
            "reasons": {
                strategy: counts
                for strategy in (*STRATEGIES, ALL)
                if (counts := _count(_of(rejected, strategy)))
            },
        },
    }


def _rows(judge: str, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    rows = []
    for strategy in (*STRATEGIES, ALL):
        scores = [pair.scores[judge] for pair in _of(pairs, strategy) if judge in pair.scores]
        if scores:
            rows.append(
                {
                    "strategy": strategy,
                    "n": len(scores),
                    "winner": _mean([one.winner for one in scores]),
                    "loser": _mean([one.loser for one in scores]),
                    "delta": _mean([one.delta for one in scores]),
                }
            )
    return rows


def _of(items: Sequence[Any], strategy: str) -> list[Any]:
    return [one for one in items if strategy in (one.strategy, ALL)]


def _count(rejected: Sequence[Rejected]) -> Mapping[str, int]:
    """Candidates by kind of reason, in the order of `KINDS`."""
    counts = Counter(kind for one in rejected for kind in {why.kind for why in one.reasons})
    return {kind: counts[kind] for kind in KINDS if kind in counts}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
