"""How near sounds are to their texts in a space that both share: what is called CLAP score.

It is the mean cosine, between -1 and 1, and means something only beside the encoder that made the
embeddings and beside controls: the same texts with shuffled sounds, and the recordings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soundwright.core.errors import UserError
from soundwright.evaluation.distances.moments import as_rows


@dataclass(frozen=True)
class Alignment:
    """A mean cosine, and the clips that it comes from."""

    value: float
    clips: NDArray[np.float64]
    """[N]: of each pair, in the given order."""


def measure_alignment(texts: ArrayLike, sounds: ArrayLike) -> Alignment:
    """The mean cosine of embeddings [N, D] of texts and of the sounds made for them.

    Raises:
        UserError: Shapes differ, there are none, or one has no direction.
    """
    first, second = as_rows(texts), as_rows(sounds)
    if first.shape != second.shape or len(first) == 0:
        raise UserError(
            f"Texts have embeddings {first.shape}, their sounds {second.shape}.",
            expected="as many of both, at least one, of one width",
            change="Give one sound for each text, embedded by one encoder.",
        )
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    if not lengths.all():
        raise UserError(
            f"Pair {int(np.argmin(lengths))} has an embedding of zeros, which has no direction.",
            expected="embeddings that are not zero",
            change="Leave that pair out.",
        )
    cosines = (first * second).sum(1) / lengths
    return Alignment(float(cosines.mean()), cosines)
