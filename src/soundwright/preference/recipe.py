"""What a recipe of preference optimisation says, and what follows from its model and its pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from soundwright.core.config import Config, merge
from soundwright.core.errors import CheckpointError, ConfigError
from soundwright.core.files import hash_file
from soundwright.diffusion.scoring import ScoringConfig
from soundwright.nn.lora import LoraConfig
from soundwright.pipelines.models import find_model, verify_model
from soundwright.pipelines.recipe import Recipe
from soundwright.preference.losses import LossConfig
from soundwright.preference.pair_data import hold_out
from soundwright.preference.policies import TokenScoring
from soundwright.preference.record_files import PAIRS_NAME, read_pairs
from soundwright.preference.records import STRATEGIES, Pair, Strategy
from soundwright.preference.rollouts import RolloutChoice

KINDS = ("lm", "diffusion")


class ReferenceConfig(Config):
    """What the model in training is compared with."""

    model: str | None = None
    """A model of the same shape and codec, by name or folder; null is the one that training starts
    from, before any tuning on winners, as in Tango 2's released code."""
    scores: Literal["cached", "live"] = "cached"
    """cached: computed once, before the first step. live: asked for in every step, of a copy, or
    with an adapter of the model with the adapter off."""


class StoppingConfig(Config):
    """A reward of sounds for held-out prompts, every `training.sample_every` steps.

    The model keeps the weights with the highest reward, those of the beginning included.
    """

    judge: str = "matcher"
    """As in `prefer pair --judge`; one that had no part in choosing the pairs."""
    patience: int | None = Field(default=None, ge=1)
    """Training ends after so many measurements without a higher reward; null goes to the end."""
    prompts: int = Field(default=32, ge=1)
    """Held-out captions that are generated, at most."""
    samples: int = Field(default=1, ge=1)
    """Sounds for each of them."""
    batch: int = Field(default=8, ge=1)
    """Sounds made at once."""
    seed: int = 0


class LoopConfig(Config):
    """Rounds of making sounds, choosing pairs and training on them: `soundwright prefer loop`."""

    captions: Path | None = None
    """What `prefer captions` wrote."""
    perturbed: Path | None = None
    """What `prefer perturb` wrote; needed for S2 and S3."""
    rounds: int = Field(default=5, ge=1)
    prompts: int | None = Field(default=None, ge=1)
    """Captions of a round, drawn anew for each; null takes all."""
    rollout: dict[str, Any] = Field(default_factory=dict)
    """As `prefer rollout --set`: strategies, samples, steps, cfg_scale, duration ..."""
    thresholds: str = "matcher"
    """As in `prefer pair`."""
    limits: tuple[str, ...] = ()
    """As `prefer pair --set`."""
    judges: dict[str, str] = Field(default_factory=dict)
    """Where a judge's weights are, by its name; as `prefer pair --judge NAME=PLACE`."""

    @model_validator(mode="after")
    def _rolls_out(self) -> Self:
        RolloutChoice.read(self.rollout, origin="loop.rollout")
        return self


class PreferenceRecipe(Recipe):
    """Align a model with pairs of its sounds: first on winners, then on pairs."""

    kind: Literal["preference"]  # type: ignore[assignment]
    from_model: str | None = None
    """The model to start from, by name or folder: a language model or a diffusion model."""
    from_hash: str | None = None
    """That model's hash, found by itself, so that a run is not resumed over another model."""
    pairs: Path | None = None
    """What `prefer pair` wrote: the file or its folder."""
    pairs_hash: str | None = None
    """That file's hash, found by itself."""
    strategies: tuple[Strategy, ...] = STRATEGIES
    """Pairs that are trained on; leaving some out is Table 3's ablation."""
    widest: bool = False
    """Of all pairs of one prompt and strategy take only that with the greatest difference, as CRPO
    does: the best sound against the worst."""
    held_out: float = Field(default=0.05, ge=0, lt=1)
    """Share of the captions whose pairs are not trained on."""
    batch: int = Field(default=32, ge=1)
    """Pairs; a step has so many times `training.accumulate`."""
    sft_epochs: float = Field(default=1.0, ge=0)
    """Passes over the winners alone, with the model's own loss."""
    epochs: float = Field(default=4.0, ge=0)
    """Passes over the pairs. Both together make `training.steps`, unless that is given."""
    loss: LossConfig = LossConfig()
    tokens: TokenScoring = TokenScoring()
    """What a score is, of a language model."""
    noise: ScoringConfig = ScoringConfig()
    """What a score is, of a diffusion model."""
    reference: ReferenceConfig = ReferenceConfig()
    adapter: LoraConfig | None = None
    """Train a small addition to the model instead of all its weights; merged in at the end."""
    checkpointing: bool = False
    """Recompute activations in the backward pass, to save memory."""
    stopping: StoppingConfig | None = None
    """Null keeps the last weights."""
    loop: LoopConfig | None = None
    """For `soundwright prefer loop`, which gives the pairs of each round itself."""

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if not self.sft_epochs + self.epochs:
            raise ValueError("sft_epochs and epochs are both 0: there is nothing to train")
        if self.loss.kind == "kto" and self.batch < 2:
            raise ValueError("kto compares prompts within a batch: batch must be at least 2")
        if self.adapter is not None and self.adapter.dropout:
            raise ValueError("adapter.dropout must be 0: scores are compared without dropout")
        if self.adapter is not None and self.reference.model is not None:
            raise ValueError("with an adapter the reference is the model without it")
        if self.stopping is not None:
            self._check_stopping()
        return self

    def _check_stopping(self) -> None:
        if not self.held_out:
            raise ValueError("stopping needs held-out prompts: held_out above 0")
        if self.training.sample_every is None:
            raise ValueError("stopping needs training.sample_every: how often it measures")

    def tuning_steps(self, pairs: int) -> int:
        """Steps on winners alone, of a run over so many pairs."""
        return math.ceil(self.sft_epochs * pairs / (self.batch * self.training.accumulate))

    def select(self, pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
        """Pairs to train on, and held-out ones.

        Raises:
            ConfigError: None is left to train on.
        """
        chosen = [pair for pair in pairs if pair.strategy in self.strategies]
        chosen = keep_widest(chosen) if self.widest else chosen
        train, held = hold_out(chosen, self.held_out, self.training.seed)
        if not train:
            raise ConfigError(
                f"None of {len(pairs)} pairs is of {', '.join(self.strategies)}.",
                change="Choose other strategies, or make such pairs: soundwright prefer pair.",
            )
        return train, held


def inherit_preference(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill a recipe with what follows from its model and its pairs, where they are given.

    Raises:
        UserError: There is no such model, or the pairs cannot be read.
        CheckpointError: It is neither a language model nor a diffusion model.
    """
    taken: dict[str, Any] = dict(values)
    name, place = values.get("from_model"), values.get("pairs")
    if name:
        record = verify_model(find_model(str(name)))
        if record.kind not in KINDS:
            raise CheckpointError(
                f"{name} is a {record.kind}.", expected="a language model or a diffusion model"
            )
        taken = merge({"licence": record.licence}, taken) | {"from_hash": record.hash}
    if place:
        path = Path(str(place))
        found = read_pairs(path)
        taken["pairs_hash"] = hash_file(path / PAIRS_NAME if path.is_dir() else path)[:16]
        training = dict(values.get("training") or {})
        if "steps" not in training:
            recipe = PreferenceRecipe.read(taken)
            count = len(recipe.select(found.items)[0])
            each = recipe.batch * recipe.training.accumulate
            steps = math.ceil((recipe.sft_epochs + recipe.epochs) * count / each)
            taken["training"] = {**training, "steps": steps}
    return taken


def keep_widest(pairs: Sequence[Pair]) -> list[Pair]:
    """Of all pairs of one caption and strategy that one on which the first judge is surest."""
    widest: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        key = (pair.caption, pair.strategy)
        if key not in widest or _width(pair) > _width(widest[key]):
            widest[key] = pair
    return list(widest.values())


def _width(pair: Pair) -> float:
    return next((scores.delta for scores in pair.scores.values()), 0.0)
