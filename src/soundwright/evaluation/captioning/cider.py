"""CIDEr-D (Vedantam et al., 2015): words that tell clips apart weigh more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from soundwright.core.errors import UserError
from soundwright.evaluation.captioning.results import MetricScores
from soundwright.evaluation.captioning.tokens import NGrams, count_ngrams

LONGEST = 4
SIGMA = 6.0
"""Of the penalty for another length, in bigrams."""
SCALE = 10.0


class Weighted(NamedTuple):
    """A caption's n-grams, weighted by how few clips have them."""

    weights: tuple[dict[tuple[str, ...], float], ...]
    """For each n."""
    norms: tuple[float, ...]
    """For each n."""
    bigrams: int
    """What stands for its length."""


def cider_d(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> MetricScores:
    """CIDEr-D, with document frequencies from the references given.

    A caption's score depends on which others are evaluated with it. The corpus value is the mean.

    Args:
        candidates: Words of each caption.
        references: Words of each caption's references.

    Raises:
        UserError: There are fewer than two captions, so that all weights are zero.
    """
    if len(candidates) < 2:
        raise UserError(
            f"CIDEr-D of {len(candidates)} caption is undefined: no word can tell clips apart.",
            expected="at least two captions",
        )
    counted = [[count_ngrams(words, LONGEST) for words in others] for others in references]
    clips = Counter(ngram for others in counted for ngram in set().union(*others))
    items = []
    for words, others in zip(candidates, counted, strict=True):
        caption = weigh(count_ngrams(words, LONGEST), clips, len(counted))
        compared = [weigh(other, clips, len(counted)) for other in others]
        items.append(SCALE * sum(similarity(caption, other) for other in compared) / len(compared))
    return MetricScores.averaged(items)


def weigh(counts: NGrams, clips: NGrams, total: int) -> Weighted:
    """Weigh n-grams by their count and the log of the share of clips whose references lack them.

    Args:
        counts: A caption's n-grams.
        clips: In how many clips' references each n-gram occurs.
        total: Number of clips.
    """
    weights: tuple[dict[tuple[str, ...], float], ...] = tuple({} for _ in range(LONGEST))
    for ngram, count in counts.items():
        rarity = math.log(total) - math.log(max(1, clips[ngram]))
        weights[len(ngram) - 1][ngram] = count * rarity
    norms = tuple(math.hypot(*of_size.values()) for of_size in weights)
    return Weighted(weights, norms, sum(n for ngram, n in counts.items() if len(ngram) == 2))


def similarity(caption: Weighted, reference: Weighted) -> float:
    """Mean over n of the cosine, in which a caption gains nothing by saying a word too often."""
    total = 0.0
    for size in range(LONGEST):
        length = caption.norms[size] * reference.norms[size]
        if length:
            theirs = reference.weights[size]
            shared = sum(
                min(weight, theirs[ngram]) * theirs[ngram]
                for ngram, weight in caption.weights[size].items()
                if ngram in theirs
            )
            total += shared / length
    gap = caption.bigrams - reference.bigrams
    return total / LONGEST * math.exp(-(gap**2) / (2 * SIGMA**2))
