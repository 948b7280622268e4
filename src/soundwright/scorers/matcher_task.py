"""Training of the matcher: each sound picks its text among many, and each text its sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from soundwright.core.config import Config
from soundwright.core.protocols import StepContext, Turn
from soundwright.core.seeding import torch_stream
from soundwright.scorers.augmentation import AugmentationConfig, colour, equalise, shifted
from soundwright.scorers.levels import EMPTY_DB
from soundwright.scorers.matched_clips import MatchedBatch
from soundwright.scorers.matching import Matcher
from soundwright.scorers.modes import evaluating

HIGHEST_SCALE = 4.6
"""Logarithm of the largest factor on cosines, about 100."""


class MatcherTaskConfig(Config):
    """How a matcher is trained, beside what the loop settles."""

    seed: int = 0
    """Of the variations."""
    contrast_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the loss that sets a sound's text above its contrast alone."""
    shift_frames: Annotated[int, Field(ge=0)] = 20
    """How far a clip is moved at most, either way."""
    transpose_bands: Annotated[int, Field(ge=0)] = 2
    """How many mel bands a clip is moved at most, either way."""
    augmentation: AugmentationConfig = AugmentationConfig(bars=1)
    """Its equaliser, noise, band limit and bars; the rest does not concern a matcher."""


class MatcherTask:
    """Implements `TrainingTask[MatchedBatch]` with one player, the matcher.

    As in `TaggerTask`, the variations of a step follow from its number.
    """

    def __init__(self, matcher: Matcher, config: MatcherTaskConfig) -> None:
        self.matcher, self.config = matcher, config

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The matcher."""
        return {"matcher": self.matcher}

    def turns(self, batch: MatchedBatch, context: StepContext) -> Iterator[Turn]:
        """Yield the one loss of a batch."""
        levels = self._varied(batch.levels.to(context.device), context)
        chosen, margin = self._losses(*self._cosines(levels, batch), batch)
        loss = chosen + self.config.contrast_weight * margin
        yield Turn("matcher", loss, {"choice": chosen, "contrast": margin})

    @torch.no_grad()
    def validate(self, batch: MatchedBatch, device: torch.device) -> Mapping[str, float]:
        """Losses, and how often a sound's own text is the nearest, and nearer than its contrast."""
        with evaluating(self.matcher):
            cosines = self._cosines(batch.levels.to(device), batch)
        chosen, margin = self._losses(*cosines, batch)
        forth, _ = cosines
        own, contrast = forth.diagonal(), forth[:, len(forth) :].diagonal()
        return {
            "choice": chosen.item(),
            "contrast": margin.item(),
            "first": (forth[:, : len(forth)].amax(1) == own).float().mean().item(),
            "above_contrast": (own > contrast).float().mean().item(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Nothing: every draw follows from the step."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back nothing."""

    def _varied(self, levels: Tensor, context: StepContext) -> Tensor:
        config, device = self.config, levels.device
        generator = torch_stream(
            config.seed, "matches", context.step, context.micro, device=str(device)
        )

        def draw(most: int) -> Tensor:
            drawn = torch.rand(levels.shape[0], generator=generator, device=device)
            return ((2 * drawn - 1) * most).round().long()

        levels = shifted(levels.clamp(min=EMPTY_DB), draw(config.shift_frames), 2, EMPTY_DB)
        levels = shifted(levels, draw(config.transpose_bands), 1, EMPTY_DB)
        levels = equalise(levels, config.augmentation, generator)
        return colour(levels, config.augmentation, generator)

    def _cosines(self, levels: Tensor, batch: MatchedBatch) -> tuple[Tensor, Tensor]:
        """Of sounds with texts and contrasts [B, 2B], and of texts with sounds [B, B]."""
        sounds = self.matcher.embed_levels(levels)
        both = torch.cat([batch.texts, batch.contrasts]).to(levels.device)
        texts = self.matcher.embed_vectors(both)
        return sounds @ texts.T, texts[: len(sounds)] @ sounds.T

    def _losses(self, forth: Tensor, back: Tensor, batch: MatchedBatch) -> tuple[Tensor, Tensor]:
        """InfoNCE in both directions, and the logistic loss of own text against contrast."""
        scale = self.matcher.scale.clamp(max=HIGHEST_SCALE).exp()
        count = len(back)
        own = torch.arange(count, device=forth.device)
        same = batch.same.to(forth.device).clone()
        same[own, own] = False
        # Texts that tell the same are no wrong answers.
        chosen = functional.cross_entropy((scale * forth).masked_fill(same, -torch.inf), own)
        masked = (scale * back).masked_fill(same[:, :count], -torch.inf)
        chosen = (chosen + functional.cross_entropy(masked, own)) / 2
        difference = scale * (forth[own, own] - forth[own, own + count])
        return chosen, functional.softplus(-difference).mean()
