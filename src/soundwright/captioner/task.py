"""Training a captioner in two stages (section 3.1 of the paper): what is frozen, what is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field as Bound
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.captioner.batches import CaptionBatch
from soundwright.captioner.metadata import Field
from soundwright.captioner.model import IGNORED, AutoCap, number_captions
from soundwright.captioner.words import Words
from soundwright.core.config import Config
from soundwright.core.protocols import StepContext, Turn
from soundwright.nn.dropout import activation_dropout

Frozen = Literal["language", "words", "nothing"]


class CaptionerTaskConfig(Config):
    """What is trained. The towers are frozen in any case."""

    frozen: Frozen = "language"
    """Stage 1 freezes the whole of BART, stage 2 its word embeddings, with which its last layer is
    one."""
    label_smoothing: float = Bound(default=0.1, ge=0, lt=1)
    words: int = Bound(default=30, ge=1)
    """Most of a caption; what is longer is cut."""


class CaptionerTask:
    """A `TrainingTask` over `CaptionBatch` with one player, "captioner".

    Args:
        model: In training.
        words: Its tokenizer.
        config: What is trained.
        seed: Of the run: of dropout.
    """

    def __init__(
        self, model: AutoCap, words: Words, config: CaptionerTaskConfig, seed: int
    ) -> None:
        self.model, self.words, self.config, self.seed = model, words, config, seed
        if config.frozen == "language":
            model.freeze(model.bart)
        elif config.frozen == "words":
            model.freeze(model.bart.get_input_embeddings())

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Everything behind the towers; what is frozen of it stays as it is."""
        return {"captioner": self.model}

    def turns(self, batch: CaptionBatch, context: StepContext) -> Iterator[Turn]:
        """Yield one turn: the cross-entropy of the captions' words, smoothed."""
        stream = ("captioner", "dropout", *batch.draws[:1])
        with activation_dropout(self.seed, *stream, device=context.device):
            logits, wanted = self._predict(batch, context.device)
        loss = cross_entropy(logits, wanted, self.config.label_smoothing)
        metrics = {"loss": loss}
        if context.wants_metrics:
            with torch.no_grad():
                metrics |= {"ce": cross_entropy(logits, wanted), "hit": hits(logits, wanted)}
        yield Turn("captioner", loss, metrics)

    @torch.no_grad()
    def validate(self, batch: CaptionBatch, device: torch.device) -> Mapping[str, float]:
        """Cross-entropy without smoothing, and the share of words that are the likeliest.

        Both also without metadata, where there is any.
        """
        training = self.model.training
        self.model.eval()
        found: dict[str, float] = {}
        known = any(batch.metadata)
        for name, told in (("", True), ("/no_metadata", False))[: 1 + known]:
            logits, wanted = self._predict(batch, device, told=told)
            found[f"ce{name}"] = float(cross_entropy(logits, wanted))
            found[f"hit{name}"] = float(hits(logits, wanted))
        self.model.train(training)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Nothing: all streams are named by the draw."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back nothing."""

    def _predict(
        self, batch: CaptionBatch, device: torch.device, *, told: bool = True
    ) -> tuple[Tensor, Tensor]:
        wanted = number_captions(batch.captions, self.words, self.config.words).to(device)
        known = number_metadata(batch.metadata, self.words) if told else [{}] * len(wanted)
        return self.model(batch.heard.to(device), known, wanted), wanted


def number_metadata(
    metadata: Sequence[Mapping[Field, str]], words: Words
) -> list[dict[Field, list[int]]]:
    """The words of each clip's fields."""
    return [{field: words.encode(text) for field, text in known.items()} for known in metadata]


def cross_entropy(logits: Tensor, wanted: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over all words, in fp32. [B, L, words] and [B, L], in which `IGNORED` does not count."""
    return F.cross_entropy(
        logits.float().flatten(0, 1),
        wanted.flatten(),
        ignore_index=IGNORED,
        label_smoothing=smoothing,
    )


def hits(logits: Tensor, wanted: Tensor) -> Tensor:
    """Share of the words that are the likeliest where they stand."""
    counts = wanted != IGNORED
    return ((logits.argmax(-1) == wanted) & counts).sum() / counts.sum()
