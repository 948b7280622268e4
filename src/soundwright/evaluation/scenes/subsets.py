"""AudioCaps prompts by number of concepts and by words of time, as Tango 2 splits its test set."""

from __future__ import annotations

import re
from collections.abc import Mapping

TEMPORAL_WORDS = ("while", "before", "after", "then", "followed")
"""Tango 2, section 4.1, strategy 3."""

_TEMPORAL = re.compile(rf"\b(?:{'|'.join(TEMPORAL_WORDS)})\b", re.IGNORECASE)
_JOINT = re.compile(
    r"[,;.]|\b(?:and|while|as|then|before|after|with|during|followed(?:\s+by)?)\b", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]{2,}")


def is_temporal(caption: str) -> bool:
    """Whether a caption has one of `TEMPORAL_WORDS`."""
    return bool(_TEMPORAL.search(caption))


def count_concepts(caption: str) -> int:
    """How many events a caption names, by its joints: commas, "and", "while", "followed by" ...

    The paper asked GPT-4 and found rules wanting; this one gives the counts of the paper's own
    examples, and stands in where nobody has asked a language model.
    """
    return max(1, sum(bool(_WORD.search(part)) for part in _JOINT.split(caption)))


def split_captions(
    captions: Mapping[str, str], concepts: Mapping[str, int] | None = None
) -> dict[str, tuple[str, ...]]:
    """Named subsets of prompts, in the order given: Tables 4 and 5 of Tango 2.

    Args:
        captions: Prompt by id.
        concepts: Number of concepts by id, as a language model counted them; those that are not
            in it are counted by `count_concepts`.

    Returns:
        Ids under "single concept", "multiple concepts", "temporal", "non-temporal"; each prompt
        is in one of the first two and in one of the last two.
    """
    known = concepts or {}
    numbers = {
        name: known[name] if name in known else count_concepts(caption)
        for name, caption in captions.items()
    }
    return {
        "single concept": tuple(name for name in captions if numbers[name] <= 1),
        "multiple concepts": tuple(name for name in captions if numbers[name] > 1),
        "temporal": tuple(name for name in captions if is_temporal(captions[name])),
        "non-temporal": tuple(name for name in captions if not is_temporal(captions[name])),
    }
