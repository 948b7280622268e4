"""Training of the detector: every frame's labels and onsets, on varied clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn import functional

from soundwright.core.config import Config
from soundwright.core.protocols import StepContext, Turn
from soundwright.core.seeding import torch_stream
from soundwright.scorers.augmentation import (
    AugmentationConfig,
    Probability,
    colour,
    equalise,
    relative_to_peak,
    shifted,
)
from soundwright.scorers.detector import Detector
from soundwright.scorers.levels import EMPTY_DB, add_powers
from soundwright.scorers.marked_clips import MarkedBatch
from soundwright.scorers.modes import evaluating


class DetectorTaskConfig(Config):
    """How a detector is trained, beside what the loop settles."""

    seed: int = 0
    """Of the variations."""
    onset_weight: Annotated[float, Field(ge=0)] = 2.0
    """Weight of the onsets' loss beside the activity's."""
    positive_weight: Annotated[float, Field(gt=0)] = 2.0
    """Weight of frames that have a label, or an onset, over those that have not."""
    shift_frames: Annotated[int, Field(ge=0)] = 30
    """How far a clip is moved at most, either way."""
    mixture: Probability = 0.25
    """How often another clip is added."""
    mixture_db: tuple[float, float] = (-9.0, 3.0)
    """Range of its peak relative to that of the first."""
    transpose_bands: Annotated[int, Field(ge=0)] = 2
    """How many mel bands a clip is moved at most, either way."""
    augmentation: AugmentationConfig = AugmentationConfig(bars=1)
    """Its equaliser, noise, band limit and bars; the rest does not concern a detector."""


class DetectorTask:
    """Implements `TrainingTask[MarkedBatch]` with one player, the detector.

    As in `TaggerTask`, the variations of a step follow from its number.
    """

    def __init__(self, detector: Detector, config: DetectorTaskConfig) -> None:
        self.detector, self.config = detector, config

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The detector."""
        return {"detector": self.detector}

    def turns(self, batch: MarkedBatch, context: StepContext) -> Iterator[Turn]:
        """Yield the one loss of a batch."""
        generator = torch_stream(
            self.config.seed, "events", context.step, context.micro, device=str(context.device)
        )
        levels, activity, onset = vary(
            batch.levels.to(context.device),
            batch.activity.to(context.device),
            batch.onset.to(context.device),
            self.config,
            generator,
        )
        told, begun = self.detector(levels)
        sounds, begins = self._loss(told, activity), self._loss(begun, onset)
        loss = sounds + self.config.onset_weight * begins
        yield Turn("detector", loss, {"activity": sounds, "onset": begins})

    @torch.no_grad()
    def validate(self, batch: MarkedBatch, device: torch.device) -> Mapping[str, float]:
        """Both losses on whole, unvaried clips, and how often all onsets of a label are counted.

        The latter is over the labels that each clip has; of a batch without events over all
        labels, none of which may begin.
        """
        with evaluating(self.detector):
            told, begun = self.detector(batch.levels.to(device))
        activity, onset = batch.activity.to(device), batch.onset.to(device)
        present = activity.amax(2) > 0
        asked = present if present.any() else torch.ones_like(present)
        found = _tops(begun.sigmoid(), self.detector.config.rule.onset)
        exact = (found == _tops(onset, 0.9))[asked]
        return {
            "activity": self._loss(told, activity).item(),
            "onset": self._loss(begun, onset).item(),
            "counted": exact.float().mean().item(),
        }

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of every label, summed over labels; mean over frames."""
        weight = torch.tensor(self.config.positive_weight, device=logits.device)
        losses = functional.binary_cross_entropy_with_logits(
            logits, targets, pos_weight=weight, reduction="none"
        )
        return losses.sum(1).mean()

    def state_dict(self) -> dict[str, Any]:
        """Nothing: every draw follows from the step."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back nothing."""


def vary(
    levels: Tensor,
    activity: Tensor,
    onset: Tensor,
    config: DetectorTaskConfig,
    generator: Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one variation of every clip of a batch, and what it does to the targets.

    Args:
        levels: [B, M, F] dB, untrimmed.
        activity: [B, L, F].
        onset: [B, L, F].
        config: How far to go.
        generator: On the device of `levels`.

    Returns:
        The same three, of the same shapes.
    """
    batch, device = levels.shape[0], levels.device

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, generator=generator, device=device)

    frames = draw(-config.shift_frames, config.shift_frames).round().long()
    bands = draw(-config.transpose_bands, config.transpose_bands).round().long()
    levels = shifted(levels.clamp(min=EMPTY_DB), frames, 2, EMPTY_DB)
    levels = shifted(levels, bands, 1, EMPTY_DB)
    activity, onset = shifted(activity, frames, 2, 0.0), shifted(onset, frames, 2, 0.0)
    levels = relative_to_peak(equalise(levels, config.augmentation, generator))

    other = torch.randperm(batch, generator=generator, device=device)
    chosen = draw(0, 1) < config.mixture
    gain = torch.where(chosen, draw(*config.mixture_db), EMPTY_DB)
    levels = add_powers(torch.stack([levels, levels[other] + gain[:, None, None]]), 0)
    joined = chosen[:, None, None]
    activity = torch.maximum(activity, activity[other] * joined)
    onset = torch.maximum(onset, onset[other] * joined)

    return colour(levels, config.augmentation, generator), activity, onset


def _tops(values: Tensor, threshold: float) -> Tensor:
    """How many local maxima of [B, L, F] reach a threshold: [B, L]."""
    highest = functional.max_pool1d(values, 3, stride=1, padding=1)
    top = (values == highest) & (values >= threshold)
    return (top & ~functional.pad(top, (1, 0))[..., :-1]).sum(2)
