"""BLEU (Papineni et al., 2002), with the lengths and small numbers of the COCO caption tools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from soundwright.evaluation.captioning.results import MetricScores
from soundwright.evaluation.captioning.tokens import NGrams, count_ngrams

LONGEST = 4
TINY, SMALL = 1e-15, 1e-9
"""Added to numerators and denominators: without a match, BLEU is next to 0 and never exactly."""


class Matches(NamedTuple):
    """What BLEU counts in one caption. Counts of several captions add up."""

    length: int
    closest: int
    """Length of the reference whose length is nearest; the shorter of two as near."""
    found: np.ndarray
    """[4], n-grams that occur in a reference, each as often as in the reference with most."""
    possible: np.ndarray
    """[4], n-grams that there are."""


def bleu(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> list[MetricScores]:
    """BLEU-1 to BLEU-4.

    The corpus value comes of the counts of all captions; it is not the mean over captions.

    Args:
        candidates: Words of each caption.
        references: Words of each caption's references.
    """
    counts = [match(words, others) for words, others in zip(candidates, references, strict=True)]
    items = np.array([score(one) for one in counts])
    whole = Matches(
        sum(one.length for one in counts),
        sum(one.closest for one in counts),
        np.sum([one.found for one in counts], axis=0),
        np.sum([one.possible for one in counts], axis=0),
    )
    return [
        MetricScores(float(corpus), tuple(column.tolist()))
        for corpus, column in zip(score(whole), items.T, strict=True)
    ]


def match(words: Sequence[str], references: Sequence[Sequence[str]]) -> Matches:
    """Count one caption's n-grams, and those that a reference has too."""
    most = NGrams()
    for reference in references:
        most |= count_ngrams(reference, LONGEST)
    found = np.zeros(LONGEST)
    for ngram, count in (count_ngrams(words, LONGEST) & most).items():
        found[len(ngram) - 1] += count
    lengths = [len(reference) for reference in references]
    closest = min(lengths, key=lambda length: (abs(length - len(words)), length))
    possible = np.maximum(len(words) - np.arange(LONGEST), 0).astype(np.float64)
    return Matches(len(words), closest, found, possible)


def score(counts: Matches) -> np.ndarray:
    """[4], geometric means of precisions of 1 to n words, times the penalty of brevity."""
    precisions = (counts.found + TINY) / (counts.possible + SMALL)
    means = np.cumprod(precisions) ** (1 / np.arange(1, LONGEST + 1))
    ratio = (counts.length + TINY) / (counts.closest + SMALL)
    return means * (math.exp(1 - 1 / ratio) if ratio < 1 else 1.0)
