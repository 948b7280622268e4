"""The training task of preference optimisation: first winners alone, then pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from soundwright.core.protocols import StepContext, Turn
from soundwright.preference.losses import LossConfig, anchored, lose
from soundwright.preference.pair_data import PairBatch
from soundwright.preference.policies import ScoredPolicy, Sounds
from soundwright.preference.references import Reference


class PreferenceTask:
    """A `core.protocols.TrainingTask` over `PairBatch` with the policy's module as its one player.

    Everything random is named by pair and epoch, and there is no dropout: a resumed run needs no
    state. Metrics:

    | name           | what it is                                                                |
    |----------------|---------------------------------------------------------------------------|
    | `accuracy`     | share of pairs whose winner has moved up more than the loser              |
    | `margin`       | mean of Δw - Δl, in the unit of the scores                                |
    | `drift/winner` | mean of Δw: below zero, winners themselves have become less likely        |
    | `drift/loser`  | mean of Δl                                                                |
    | `own`          | the winners' own loss, that of the model's plain training                 |

    Args:
        policy: In training.
        reference: What it is compared with.
        config: Which loss.
        tuning_steps: Steps, at the beginning, that lower the winners' own loss alone (SFT).
    """

    def __init__(
        self,
        policy: ScoredPolicy[Any],
        reference: Reference,
        config: LossConfig,
        tuning_steps: int = 0,
    ) -> None:
        self.policy, self.reference = policy, reference
        self.config, self.tuning_steps = config, tuning_steps

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The module of the policy: reference, text encoder and codec are frozen."""
        return {self.policy.player: self.policy.module}

    def turns(self, batch: PairBatch[Any], context: StepContext) -> Iterator[Turn]:
        """Yield one turn: of the winners' own loss first, then of the pairs'."""
        # In a method of its own, so that the graphs of micro-batches are not all kept in memory.
        step = self._tune if context.step < self.tuning_steps else self._prefer
        loss, metrics = step(batch)
        yield Turn(self.policy.player, loss, {"loss": loss, **metrics})

    @torch.no_grad()
    def validate(self, batch: PairBatch[Any], device: torch.device) -> Mapping[str, float]:  # noqa: ARG002
        """The loss of the pairs and all metrics, of pairs that were held out."""
        loss, metrics = self._prefer(batch)
        return {name: float(value) for name, value in {"loss": loss, **metrics}.items()}

    def state_dict(self) -> dict[str, Any]:
        """Nothing: all streams are named by pair and epoch."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back nothing."""

    def _tune(self, batch: PairBatch[Any]) -> tuple[Tensor, dict[str, Tensor]]:
        winners = batch.winners
        own = self.policy.own_losses(winners, self.policy.score(winners)).mean()
        return own, {"own": own}

    def _prefer(self, batch: PairBatch[Any]) -> tuple[Tensor, dict[str, Tensor]]:
        sounds = batch.sounds
        scores = self.policy.score(sounds)
        winner, loser = self._move(sounds, scores).chunk(2)
        losses = lose(self.config, winner, loser, self._mismatch(batch))
        own = self.policy.own_losses(sounds, scores)[: len(winner)]
        if self.config.anchor:
            losses = anchored(losses, own, self.config.anchor)
        metrics = {
            "accuracy": (winner > loser).float().mean(),
            "margin": (winner - loser).mean(),
            "drift/winner": winner.mean(),
            "drift/loser": loser.mean(),
            "own": own.mean(),
        }
        return losses.mean(), metrics

    @torch.no_grad()
    def _mismatch(self, batch: PairBatch[Any]) -> Tensor | None:
        """Δ of winners with other prompts, where the loss asks for it."""
        sounds = batch.mismatched if self.config.kind == "kto" else None
        return None if sounds is None else self._move(sounds, self.policy.score(sounds))

    def _move(self, sounds: Sounds[Any], scores: Tensor) -> Tensor:
        """Δ: how far scores are from the reference's."""
        return scores - self.reference.score(sounds).to(scores.device)
