"""ROUGE-L (Lin, 2004) over several references, as the COCO caption tools have it."""

from __future__ import annotations

from collections.abc import Sequence

from soundwright.evaluation.captioning.results import MetricScores

BETA = 1.2
"""By how much recall outweighs precision."""


def rouge_l(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> MetricScores:
    """F-measure of the longest common subsequence; the corpus value is the mean.

    Precision and recall are each the best over references, which need not be the same one.

    Args:
        candidates: Words of each caption; one without words scores 0.
        references: Words of each caption's references, none of them empty.
    """
    return MetricScores.averaged(
        [
            score(words, others) if words else 0.0
            for words, others in zip(candidates, references, strict=True)
        ]
    )


def score(words: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L of one caption."""
    shared = [common_length(words, reference) for reference in references]
    precision = max(shared) / len(words)
    recall = max(
        length / len(reference) for length, reference in zip(shared, references, strict=True)
    )
    if precision == 0:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Number of words of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for place, other in enumerate(second, start=1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]
