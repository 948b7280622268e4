"""The best of several: candidates, numbers for them, and the one that is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from soundwright.core.errors import UserError, nearest
from soundwright.core.protocols import Scorer
from soundwright.scorers.tagger import Tagger

EVIDENCE = "text-evidence"
"""Name of the ranking by the language model itself."""


class Ranking(NamedTuple):
    """What came out."""

    kept: int
    """Number of the candidate."""
    described: dict[str, Any]
    """As JSON values: the scorer, the number that decided, and the candidates with theirs."""


def rank_by_evidence(seeds: Sequence[int], evidence: Sequence[float]) -> Ranking:
    """Rank by how much of each candidate its text explains; from `Renderer.weigh`."""
    return _rank(EVIDENCE, "evidence", seeds, [{"evidence": value} for value in evidence])


def rank_by_scorer(
    scorer: Scorer,
    rank_by: str | None,
    seeds: Sequence[int],
    waveforms: Sequence[Tensor],
    sample_rate: int,
    prompt: str,
) -> Ranking:
    """Rank by a number of a scorer; more is better.

    Args:
        scorer: From `check_scorer`.
        rank_by: Name of the number; None where it gives only one.
        seeds: Of the candidates.
        waveforms: [C, N] each.
        sample_rate: Samples a second.
        prompt: What all candidates shall be.

    Raises:
        UserError: The scorer gives no such number, or several and none was named.
    """
    numbers = scorer.score(waveforms, sample_rate, [prompt] * len(waveforms))
    names = list(numbers[0])
    if rank_by is None and len(names) == 1:
        rank_by = names[0]
    if rank_by is None:
        raise UserError(
            f"The scorer {scorer.name} gives {len(names)} numbers.",
            expected=f"rank_by, {nearest('', names)}",
        )
    if rank_by not in names:
        raise UserError(
            f"The scorer {scorer.name} gives no number {rank_by!r}.",
            expected=nearest(rank_by, names),
        )
    return _rank(scorer.name, rank_by, seeds, numbers)


def describe_fillings(scores: Sequence[float], kept: int) -> dict[str, Any]:
    """What was chosen for a span, by how likely the right side is after it, as JSON values."""
    return {
        "scorer": "right-side",
        "by": "likelihood",
        "kept": kept,
        "candidates": [{"likelihood": score} for score in scores],
    }


def check_scorer(scorer: Scorer | None, rank_by: str | None, best_of: int) -> None:
    """Refuse what cannot rank, before any work is done.

    Raises:
        UserError: The scorer is the judge, which measures and must not choose; or there is
            nothing to choose from, or no scorer to which `rank_by` belongs.
    """
    if isinstance(scorer, Tagger):
        raise UserError(
            "The tagger is the judge: it measures what comes out and never chooses it. Sounds "
            "that it chose could not be measured with it any more.",
            expected="another scorer, or None for the model's own text evidence",
        )
    if scorer is not None and best_of == 1:
        raise UserError("A scorer has nothing to choose from.", change="Ask for best_of=4.")
    if rank_by is not None and scorer is None:
        raise UserError(f"rank_by={rank_by!r} needs a scorer.")


def _rank(
    scorer: str, by: str, seeds: Sequence[int], numbers: Sequence[dict[str, float]]
) -> Ranking:
    values = [given[by] for given in numbers]
    if not all(math.isfinite(value) for value in values):
        raise UserError(f"The scorer {scorer} gives a number that is not finite.")
    kept = max(range(len(values)), key=lambda number: (values[number], -number))
    candidates = [{"seed": seed, **given} for seed, given in zip(seeds, numbers, strict=True)]
    described = {"scorer": scorer, "by": by, "kept": seeds[kept], "candidates": candidates}
    return Ranking(kept, described)
