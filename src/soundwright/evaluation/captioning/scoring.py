"""All captioning metrics of a set of captions, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from soundwright.core.errors import UserError, nearest
from soundwright.evaluation.captioning.bleu import bleu
from soundwright.evaluation.captioning.cider import cider_d
from soundwright.evaluation.captioning.combining import Found, combine, fense, spider
from soundwright.evaluation.captioning.external import Tool, measure
from soundwright.evaluation.captioning.results import MetricScores
from soundwright.evaluation.captioning.rouge import rouge_l
from soundwright.evaluation.captioning.tokens import tokenize
from soundwright.evaluation.results import Unavailable


class Captions:
    """Captions beside their references; every metric is computed at most once.

    Args:
        candidates: A caption a clip.
        references: The references of each clip, one or several.

    Raises:
        UserError: Numbers that differ, no captions, or a clip without a reference that has words.
    """

    def __init__(self, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        if len(candidates) != len(references) or not candidates:
            raise UserError(
                f"{len(candidates)} captions and references of {len(references)} clips.",
                expected="as many of both, and at least one",
            )
        self.raw, self.raw_references = candidates, references
        self.words = [tokenize(caption) for caption in candidates]
        self.references = [[tokenize(caption) for caption in others] for others in references]
        for number, others in enumerate(self.references):
            if not others or not all(others):
                raise UserError(
                    f"Clip {number} has no reference, or one without words.",
                    expected="one or more captions of words for every clip",
                )

    @cached_property
    def bleu(self) -> list[MetricScores]:
        """BLEU-1 to BLEU-4."""
        return bleu(self.words, self.references)

    @cached_property
    def rouge_l(self) -> MetricScores:
        """ROUGE-L."""
        return rouge_l(self.words, self.references)

    @cached_property
    def cider_d(self) -> Found:
        """CIDEr-D; unavailable for a single caption."""
        try:
            return cider_d(self.words, self.references)
        except UserError as error:
            return Unavailable(reason=error.problem)

    @cached_property
    def meteor(self) -> Found:
        """METEOR 1.5."""
        return self._measure_words("meteor")

    @cached_property
    def spice(self) -> Found:
        """SPICE."""
        return self._measure_words("spice")

    @cached_property
    def spider(self) -> Found:
        """SPIDEr."""
        return combine(spider, self.cider_d, self.spice)

    @cached_property
    def fense(self) -> Found:
        """FENSE, of the captions as they are written."""
        similarity = measure("sbert_sim", self.raw, self.raw_references)
        return combine(fense, similarity, measure("fer", self.raw, self.raw_references))

    def _measure_words(self, tool: Tool) -> Found:
        references = [[" ".join(words) for words in others] for others in self.references]
        return measure(tool, [" ".join(words) for words in self.words], references)


METRICS: dict[str, Callable[[Captions], Found]] = {
    "bleu_1": lambda captions: captions.bleu[0],
    "bleu_2": lambda captions: captions.bleu[1],
    "bleu_3": lambda captions: captions.bleu[2],
    "bleu_4": lambda captions: captions.bleu[3],
    "rouge_l": lambda captions: captions.rouge_l,
    "cider_d": lambda captions: captions.cider_d,
    "meteor": lambda captions: captions.meteor,
    "spice": lambda captions: captions.spice,
    "spider": lambda captions: captions.spider,
    "fense": lambda captions: captions.fense,
}


def score_captions(
    candidates: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Iterable[str] = tuple(METRICS),
) -> dict[str, Found]:
    """Score captions by several metrics.

    Args:
        candidates: A caption a clip.
        references: The references of each clip, one or several.
        metrics: Names of `METRICS`.

    Returns:
        For each metric a number for the corpus and one a caption, or why there is none.

    Raises:
        UserError: A metric that does not exist, or captions and references that do not fit.
    """
    names = list(metrics)
    for name in names:
        if name not in METRICS:
            raise UserError(f"No captioning metric {name!r}.", expected=nearest(name, METRICS))
    captions = Captions(candidates, references)
    return {name: METRICS[name](captions) for name in names}
