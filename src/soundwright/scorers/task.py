"""Training of the tagger: cross-entropy on varied clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from soundwright.core.config import Config
from soundwright.core.protocols import StepContext, Turn
from soundwright.core.seeding import torch_stream
from soundwright.scorers.augmentation import AugmentationConfig, augment
from soundwright.scorers.clips import LabelledBatch
from soundwright.scorers.modes import evaluating
from soundwright.scorers.tagger import Tagger


class TaggerTaskConfig(Config):
    """How a tagger is trained, beside what the loop settles."""

    seed: int = 0
    """Of the variations."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """The part of every target that is spread over all labels."""
    augmentation: AugmentationConfig = AugmentationConfig()


class TaggerTask:
    """Implements `TrainingTask[LabelledBatch]` with one player, the tagger.

    The variations of a step are drawn from a stream named after the step and the micro-batch,
    so that a resumed run continues with the draws of an undisturbed one without any saved state.
    """

    def __init__(self, tagger: Tagger, config: TaggerTaskConfig) -> None:
        self.tagger, self.config = tagger, config

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The tagger."""
        return {"tagger": self.tagger}

    def turns(self, batch: LabelledBatch, context: StepContext) -> Iterator[Turn]:
        """Yield the one loss of a batch."""
        device = context.device
        generator = torch_stream(
            self.config.seed, "variations", context.step, context.micro, device=str(device)
        )
        count = len(self.tagger.labels)
        targets = functional.one_hot(batch.labels.to(device), count).float()
        levels, mask, targets = augment(
            batch.levels.to(device),
            batch.mask.to(device),
            targets,
            self.config.augmentation,
            generator,
        )
        smoothing = self.config.label_smoothing
        targets = (1 - smoothing) * targets + smoothing / count
        loss = functional.cross_entropy(self.tagger(levels, mask), targets)
        yield Turn("tagger", loss, {"cross_entropy": loss})

    @torch.no_grad()
    def validate(self, batch: LabelledBatch, device: torch.device) -> Mapping[str, float]:
        """Accuracy and cross-entropy on whole, unvaried clips."""
        with evaluating(self.tagger):
            logits = self.tagger(batch.levels.to(device), batch.mask.to(device))
        labels = batch.labels.to(device)
        return {
            "accuracy": (logits.argmax(-1) == labels).float().mean().item(),
            "cross_entropy": functional.cross_entropy(logits, labels).item(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Nothing: every draw follows from the step."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back nothing."""
