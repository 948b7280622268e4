"""What a captioning metric found: a number for the corpus, and one a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class MetricScores:
    """One metric over a set of captions."""

    corpus: float
    items: tuple[float, ...]
    """One number a caption, in the order given: what paired statistics work on."""

    @classmethod
    def averaged(cls, items: Sequence[float]) -> Self:
        """Scores whose value for the corpus is the mean over captions."""
        return cls(float(np.mean(items)), tuple(float(item) for item in items))
