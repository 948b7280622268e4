"""Whether two captions have something to do with each other."""

from __future__ import annotations

from functools import cached_property

from soundwright.core.protocols import TextEncoder
from soundwright.preference.perturbation.perturber import share_words
from soundwright.text.encoders import TextEncoderConfig, load_text_encoder

LEAST_COSINE = 0.25
"""Of sentence vectors. The paper's own good perturbations share no word with their caption (people
cheering, a crowd applauding) and have 0.38 to 0.62; refusals and chatter have less than 0.1."""


class SentenceRelation:
    """Captions are related that share a word, or whose sentence vectors are near each other.

    The encoder is loaded when it is first needed.
    """

    def __call__(self, one: str, other: str) -> bool:
        """Whether they are related."""
        return share_words(one, other) or self.cosine(one, other) >= LEAST_COSINE

    def cosine(self, one: str, other: str) -> float:
        """Of both sentence vectors."""
        first, second = self._encoder.encode([one, other]).sentence
        return float(first @ second)

    @cached_property
    def _encoder(self) -> TextEncoder:
        return load_text_encoder(TextEncoderConfig())
