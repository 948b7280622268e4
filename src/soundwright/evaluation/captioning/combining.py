"""Metrics that are made of others: SPIDEr and FENSE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from soundwright.evaluation.captioning.results import MetricScores
from soundwright.evaluation.results import Unavailable

Found = MetricScores | Unavailable

ERROR_THRESHOLD = 0.9
PENALTY = 0.9


def spider(cider: Sequence[float], spice: Sequence[float]) -> list[float]:
    """SPIDEr (Liu et al., 2017) of each caption: the mean of CIDEr-D and SPICE."""
    return ((np.asarray(cider) + np.asarray(spice)) / 2).tolist()


def fense(similarity: Sequence[float], error: Sequence[float]) -> list[float]:
    """FENSE (Zhou et al., 2022) of each caption.

    Args:
        similarity: Cosine of Sentence-BERT between caption and references.
        error: Probability that the caption is not fluent; above 0.9 it costs nine tenths.
    """
    penalised = np.asarray(error) > ERROR_THRESHOLD
    return (np.asarray(similarity) * (1 - PENALTY * penalised)).tolist()


def combine(
    formula: Callable[[Sequence[float], Sequence[float]], list[float]], first: Found, second: Found
) -> Found:
    """A formula of two metrics; unavailable where one of them is."""
    if isinstance(first, Unavailable):
        return first
    if isinstance(second, Unavailable):
        return second
    return MetricScores.averaged(formula(first.items, second.items))
