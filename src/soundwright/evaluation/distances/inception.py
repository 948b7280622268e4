"""The inception score: how sure a classifier is of each clip, and how varied its answers are.

    IS = exp( mean KL(p(class | clip) ‖ p(class)) )

It lies between 1 and the number of classes, and cannot exceed the number of clips in a split: the
same sounds score several times less in ten splits than in one. Number of clips and splits belong
to the number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from soundwright.core.errors import UserError
from soundwright.evaluation.distances.divergences import as_logits, mean_log_probabilities

InceptionConvention = Literal["soundwright", "audioldm"]
AUDIOLDM_SPLITS = 10
AUDIOLDM_SEED = 2020


@dataclass(frozen=True)
class InceptionScore:
    """A score, and how the clips were split for it."""

    value: float
    """The mean over splits."""
    deviation: float | None
    """Over splits, of the population; None for one split. It is no interval of the score."""
    splits: int
    seed: int | None
    """Of the order before splitting; None where there is nothing to split."""
    n: int
    """Clips in all."""


def inception_score(
    clips: Sequence[ArrayLike], convention: InceptionConvention = "soundwright"
) -> InceptionScore:
    """Score clips by their logits [W, L]; a clip's windows count by their mean probabilities.

    Args:
        clips: Logits of each clip, in an order that does not depend on chance.
        convention: `soundwright` takes all clips together; `audioldm` shuffles them with NumPy's
            old generator seeded 2020 and averages over 10 splits.

    Raises:
        UserError: There are no clips, fewer than splits, or their classes differ.
    """
    rows = [mean_log_probabilities(as_logits(clip)) for clip in clips]
    is_split = convention == "audioldm"
    splits = AUDIOLDM_SPLITS if is_split else 1
    if len(rows) < splits or len({row.shape[1] for row in rows}) != 1:
        raise UserError(
            f"An inception score in {splits} splits was asked of {len(rows)} clips.",
            expected="at least one clip a split, and the same classes for all",
            change="Give more clips, of one classifier.",
        )
    logarithms, split_of = np.concatenate(rows), deal_splits(len(rows), convention)
    scores = [_score(logarithms[split_of == split]) for split in range(splits)]
    return InceptionScore(
        value=float(np.mean(scores)),
        deviation=float(np.std(scores)) if is_split else None,
        splits=splits,
        seed=AUDIOLDM_SEED if is_split else None,
        n=len(rows),
    )


def deal_splits(clips: int, convention: InceptionConvention = "soundwright") -> NDArray[np.intp]:
    """[N], the number of the split in which each clip is."""
    if convention != "audioldm":
        return np.zeros(clips, np.intp)
    dealt = np.empty(clips, np.intp)
    order = np.random.RandomState(AUDIOLDM_SEED).permutation(clips)
    for split in range(AUDIOLDM_SPLITS):
        first, last = (part * clips // AUDIOLDM_SPLITS for part in (split, split + 1))
        dealt[order[first:last]] = split
    return dealt


def clip_probabilities(clips: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """[N, L], the mean over each clip's windows of what the classifier says, from logits [W, L]."""
    return np.exp(np.concatenate([mean_log_probabilities(as_logits(clip)) for clip in clips]))


def _score(logarithms: np.ndarray) -> float:
    """Of one split [N, L]."""
    overall = logsumexp(logarithms, axis=0) - np.log(len(logarithms))
    return float(np.exp((np.exp(logarithms) * (logarithms - overall)).sum(1).mean()))
