"""The language model's training task: what one step minimises, and what it tells about itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, distributed, nn

from soundwright.core.config import Config
from soundwright.core.errors import ConfigError
from soundwright.core.protocols import StepContext, TextEncoder, TextStates, TokenBatch, Turn
from soundwright.lm.contrastive import ContrastiveConfig, ContrastiveReport, contrast
from soundwright.lm.dropout import TextDropping
from soundwright.lm.model import AudioLm, LmOutput
from soundwright.lm.objective import CrossEntropy, masked_cross_entropy
from soundwright.lm.patterns import TrainingSequence
from soundwright.lm.representations import (
    caption_identities,
    gather_ranks,
    represent,
)
from soundwright.lm.similarity import RrConfig, RrReport, regularize
from soundwright.nn.dropout import activation_dropout

logger = logging.getLogger(__name__)

FEW_ITEMS = 4
"""A batch smaller than this has so few pairs that RR's gradient is mostly noise."""


class LmTaskConfig(Config):
    """What the language model is trained for. The defaults are the paper's."""

    text_dropping: float = Field(default=0.1, ge=0, le=1)
    """Share of steps in which the text is hidden from the whole batch."""
    regularizer: Annotated[RrConfig | ContrastiveConfig, Field(discriminator="kind")] = RrConfig()
    codebook_weights: tuple[float, ...] | None = None
    """Weight of each codebook's cross-entropy in their mean; None weighs all alike."""

    @field_validator("regularizer", mode="before")
    @classmethod
    def _is_rr_unless_said(cls, value: Any) -> Any:
        return {"kind": "rr", **value} if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _weights_are_weights(self) -> Self:
        weights = self.codebook_weights
        if weights is not None and (min(weights, default=0) < 0 or not sum(weights)):
            raise ValueError(f"codebook_weights {weights} must be at least 0, and not all 0")
        return self


class _Prepared(NamedTuple):
    """A batch on the device."""

    sequence: TrainingSequence
    frames: Tensor
    text: TextStates
    captions: Tensor


class LmTask:
    """Equation 6: cross-entropy with text, or cross-entropy without text plus lambda times RR.

    A `core.protocols.TrainingTask` over `TokenBatch` with one player, "lm".

    Args:
        lm: The model in training.
        text_encoder: Frozen; its width is the model's `text_width`.
        config: What is trained.
        seed: Seed of the run: of text dropping and of dropout.

    Raises:
        ConfigError: Encoder, model and configuration do not fit together.
    """

    def __init__(
        self, lm: AudioLm, text_encoder: TextEncoder, config: LmTaskConfig, seed: int
    ) -> None:
        _check_fit(lm, text_encoder, config)
        self.lm = lm
        self.text_encoder = text_encoder
        self.config = config
        self.seed = seed
        self.text_dropping = TextDropping(config.text_dropping, seed)
        self._warned = False

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The language model alone: the text encoder is frozen."""
        return {"lm": self.lm}

    @property
    def is_bound_to_ranks(self) -> bool:
        """Whether the regularizer compares the items of each rank apart from the others'."""
        regularizer = self.config.regularizer
        trains = regularizer.where != "none" and regularizer.weight > 0
        return trains and regularizer.gather == "rank"

    def turns(self, batch: TokenBatch, context: StepContext) -> Iterator[Turn]:
        """Yield one turn with the loss of equation 6."""
        # In a method of its own: a turn waits until all micro-batches have moved, and would keep
        # the logits of each of them in memory.
        loss, metrics = self._lose(batch, context)
        yield Turn("lm", loss, {"loss": loss, **metrics})

    def _lose(self, batch: TokenBatch, context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and its metrics."""
        dropped = self.text_dropping.decide(context.step)
        prepared = self._prepare(batch, context.device)
        rank = distributed.get_rank() if _is_distributed() else 0
        stream = ("lm", "dropout", rank, context.step, context.micro)
        with activation_dropout(self.seed, *stream, device=context.device):
            output = self._run(prepared, dropped)
        entropy = self._cross_entropy(output, prepared)
        loss, metrics = entropy.loss, _entropy_metrics(entropy, dropped)
        regularizer = self.config.regularizer
        if regularizer.where == "all" or (regularizer.where == "cfg" and dropped):
            self._warn_of_few(len(batch.texts))
            report = self._regularize(output, prepared)
            loss = loss + regularizer.weight * report.loss
            metrics |= _report_metrics(report, regularizer.kind, dropped)
        elif context.wants_metrics:
            with torch.no_grad():
                report = self._regularize(output, prepared)
            metrics |= _report_metrics(report, regularizer.kind, dropped)
        return loss, metrics

    @torch.no_grad()
    def validate(self, batch: TokenBatch, device: torch.device) -> Mapping[str, float]:
        """Cross-entropy and regularizer without and with text, under the names of training.

        What is not named by its kind of step ("ce", "ce/codebook_1" ...) is with text.
        """
        prepared = self._prepare(batch, device)
        was_training = self.lm.training
        self.lm.eval()
        metrics: dict[str, Tensor] = {}
        for dropped in (True, False):
            output = self._run(prepared, dropped)
            metrics |= _entropy_metrics(self._cross_entropy(output, prepared), dropped)
            report = self._regularize(output, prepared)
            metrics |= _report_metrics(report, self.config.regularizer.kind, dropped)
        self.lm.train(was_training)
        return {name: float(value) for name, value in metrics.items()}

    def state_dict(self) -> dict[str, Any]:
        """The stream of text dropping; dropout's streams are named by the step."""
        return {"text_dropping": self.text_dropping.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.text_dropping.load_state_dict(state["text_dropping"])

    def _prepare(self, batch: TokenBatch, device: torch.device) -> _Prepared:
        tokens, frames = batch.tokens.to(device), batch.mask.to(device)
        with torch.no_grad():
            text = self.text_encoder.encode(batch.texts)
        return _Prepared(
            sequence=self.lm.pattern.for_training(tokens, frames, self.lm.special),
            frames=frames,
            text=TextStates(text.states.to(device), text.mask.to(device), text.sentence.to(device)),
            captions=caption_identities(batch.texts, device),
        )

    def _run(self, prepared: _Prepared, dropped: bool) -> LmOutput:
        return self.lm(
            prepared.sequence.inputs,
            prepared.text.states,
            prepared.text.mask,
            drop_text=dropped,
            hidden_layer=self.config.regularizer.layer,
        )

    def _cross_entropy(self, output: LmOutput, prepared: _Prepared) -> CrossEntropy:
        weights = self.config.codebook_weights
        return masked_cross_entropy(
            output.logits,
            prepared.sequence.targets,
            prepared.sequence.mask,
            None if weights is None else output.logits.new_tensor(weights, dtype=torch.float32),
        )

    def _regularize(self, output: LmOutput, prepared: _Prepared) -> RrReport | ContrastiveReport:
        config = self.config.regularizer
        if isinstance(config, RrConfig):
            text = prepared.text.states if config.text == "encoder" else output.projected_text
            text = text.detach() if config.detach_text else text
        else:
            text = output.projected_text
        batch = represent(
            text, prepared.text.mask, output.hidden, prepared.frames, prepared.captions, config
        )
        batch = gather_ranks(batch) if config.gather == "all" else batch
        if isinstance(config, RrConfig):
            return regularize(batch, config)
        return contrast(batch, config)

    def _warn_of_few(self, items: int) -> None:
        if self.config.regularizer.gather == "all" and _is_distributed():
            items *= distributed.get_world_size()
        if items < FEW_ITEMS and not self._warned:
            self._warned = True
            logger.warning("RR has only %d items to compare in a batch; use 12 or more", items)


def _check_fit(lm: AudioLm, text_encoder: TextEncoder, config: LmTaskConfig) -> None:
    if text_encoder.width != lm.config.text_width:
        raise ConfigError(
            f"The text encoder gives states of width {text_encoder.width}, "
            f"the language model reads {lm.config.text_width}.",
            change=f"Set lm.text_width={text_encoder.width}.",
        )
    weights, layer = config.codebook_weights, config.regularizer.layer
    if weights is not None and len(weights) != lm.config.codebooks:
        raise ConfigError(
            f"There are {len(weights)} codebook_weights for {lm.config.codebooks} codebooks."
        )
    if layer is not None and layer >= lm.config.layers:
        raise ConfigError(
            f"The regularizer's layer is {layer}, but there are {lm.config.layers}.",
            expected=f"0 to {lm.config.layers - 1}, or null for the output of the last norm",
        )


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _kind(dropped: bool) -> str:
    return "cfg" if dropped else "conditional"


def _entropy_metrics(entropy: CrossEntropy, dropped: bool) -> dict[str, Tensor]:
    metrics = {"ce": entropy.loss, f"ce/{_kind(dropped)}": entropy.loss}
    for number, loss in enumerate(entropy.codebooks, start=1):
        metrics[f"ce/codebook_{number}"] = loss
    return metrics


def _report_metrics(
    report: RrReport | ContrastiveReport, name: str, dropped: bool
) -> dict[str, Tensor]:
    values = report._asdict().items()
    return {f"{name}/{_kind(dropped)}/{field}": value for field, value in values}
