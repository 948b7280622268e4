"""What a later comparison needs of a system: its embeddings, kept beside its results.

Distances of sets have no number for each sound; to compare two systems on the prompts that they
share, both systems' embeddings are needed. Those of the generated sounds lie in `embeddings/`, so
that a baseline is whole on another machine, too.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.evaluation.cache import EmbeddingCache, Recalled
from soundwright.evaluation.evaluating import Evaluation

KEPT_TOGETHER = 256
"""Sounds of a file."""


def keep_embeddings(folder: Path, evaluation: Evaluation) -> None:
    """Write the generated sounds' embeddings for metrics of sets below a folder of results.

    Raises:
        UserError: The folder cannot be written.
    """
    shutil.rmtree(Path(folder) / "embeddings", ignore_errors=True)
    keys = {sample.key for sample in evaluation.sides.generated}
    for name in sorted({m.encoder for m in evaluation.metrics if not m.facts.per_sound}):
        if name in evaluation.ear.encoders:
            kept = EmbeddingCache(folder, evaluation.ear.encoders[name])
            recalled = evaluation.ear.recall(name, keys)
            order = sorted(keys)
            for start in range(0, len(order), KEPT_TOGETHER):
                some = order[start : start + KEPT_TOGETHER]
                kept.write({key: recalled[key] for key in some})


def recall_embeddings(
    folder: Path, evaluation: Evaluation, encoder: str, keys: set[str]
) -> Recalled:
    """Embeddings of a baseline's sounds, from beside its results or from the cache.

    Raises:
        UserError: Some are in neither.
    """
    kept = EmbeddingCache(folder, evaluation.ear.encoders[encoder])
    try:
        return evaluation.ear.recall(encoder, keys, first=kept)
    except UserError as error:
        raise UserError(
            f"The baseline's embeddings of {encoder} are neither beside its results nor in the "
            "cache.",
            change="Keep the folder embeddings/ with results.json, or evaluate the baseline again.",
        ) from error
