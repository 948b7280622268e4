"""What every scorer's training has in common: clips held out, and the folder of what it made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from soundwright.core.files import write_text
from soundwright.data.manifest import Manifest
from soundwright.pipelines.cards import write_card
from soundwright.pipelines.models import CARD_FILE
from soundwright.pipelines.recipe import Recipe
from soundwright.scorers.detector import Detector
from soundwright.scorers.matching import Matcher
from soundwright.scorers.tagger import Tagger
from soundwright.training.checkpoints import read_weights

Item = TypeVar("Item")


class Listed(Generic[Item]):
    """`Batches` that are a list: batch i is item i of it, over and over."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items

    def __getitem__(self, index: int) -> Item:
        """Batch `index`."""
        return self._items[index % len(self._items)]


def scorer_saver(
    scorer: Tagger | Detector | Matcher, recipe: Recipe, train: Manifest, facts: Mapping[str, Any]
) -> Callable[[Path, Path], None]:
    """What `Job` calls at the end: writes a checkpoint's scorer, with a card, to a folder.

    Args:
        scorer: Takes the weights of the checkpoint.
        recipe: Whose kind is the scorer's name among the players.
        train: The clips it was trained on.
        facts: For the card, beside the numbers of parameters and steps.
    """

    def save(checkpoint: Path, folder: Path) -> None:
        weights, _ = read_weights(checkpoint, recipe.kind)
        scorer.load_state_dict(weights)
        # A resumed run may have saved its model before it was killed.
        shutil.rmtree(folder, ignore_errors=True)
        scorer.save(folder, notes={"recipe": recipe.plain(), "licence": recipe.licence})
        told = {
            "parameters": f"{sum(p.numel() for p in scorer.parameters()) / 1e6:.2f} M",
            **facts,
            "steps": recipe.training.steps,
        }
        write_text(folder / CARD_FILE, write_card(recipe, told, train))

    return save
