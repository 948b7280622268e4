"""A small BART learns to write before it learns to hear: text infilling (Lewis et al. 2020).

Where no pretrained BART can be had, this stands for its pretraining: spans of captions become one
mask each, and the captions are written out again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import Field as Bound
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.captioner.model import IGNORED, number_captions
from soundwright.captioner.task import cross_entropy, hits
from soundwright.captioner.words import Words
from soundwright.core.config import Config
from soundwright.core.protocols import StepContext, Turn
from soundwright.core.seeding import numpy_stream
from soundwright.data.ordering import DrawOrder
from soundwright.nn.dropout import activation_dropout


class DenoisingConfig(Config):
    """How texts are spoilt."""

    batch: int = Bound(default=64, ge=1)
    masked: float = Bound(default=0.3, ge=0, le=1)
    """Share of the words that are masked."""
    span: float = Bound(default=3.0, gt=0)
    """Mean of a span's words, which are Poisson distributed."""
    words: int = Bound(default=62, ge=1)
    """Most of a text."""


@dataclass(frozen=True)
class TextBatch:
    """Texts as they are, and their draws."""

    texts: tuple[str, ...]
    draws: tuple[int, ...]


class Texts:
    """`Batches[TextBatch]`: texts drawn without end."""

    def __init__(self, texts: Sequence[str], batch: int, *, seed: int) -> None:
        self._texts, self._batch = tuple(texts), batch
        self._order = DrawOrder(len(texts), seed)

    def __getitem__(self, index: int) -> TextBatch:
        """Batch `index`."""
        draws = range(index * self._batch, (index + 1) * self._batch)
        return TextBatch(tuple(self._texts[self._order[draw]] for draw in draws), tuple(draws))


class DenoisingTask:
    """A `TrainingTask` over `TextBatch` with one player, "language".

    Args:
        bart: In training.
        words: Its tokenizer.
        config: How texts are spoilt.
        seed: Of the run.
    """

    def __init__(self, bart: nn.Module, words: Words, config: DenoisingConfig, seed: int) -> None:
        self.bart, self.words, self.config, self.seed = bart, words, config, seed

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """All of BART."""
        return {"language": self.bart}

    def turns(self, batch: TextBatch, context: StepContext) -> Iterator[Turn]:
        """Yield one turn: the cross-entropy of the whole texts."""
        stream = ("denoising", "dropout", *batch.draws[:1])
        with activation_dropout(self.seed, *stream, device=context.device):
            logits, wanted = self._predict(batch, context.device)
        loss = cross_entropy(logits, wanted)
        yield Turn("language", loss, {"loss": loss, "hit": hits(logits, wanted)})

    @torch.no_grad()
    def validate(self, batch: TextBatch, device: torch.device) -> Mapping[str, float]:
        """Cross-entropy, and the share of words that are the likeliest."""
        training = self.bart.training
        self.bart.eval()
        logits, wanted = self._predict(batch, device)
        self.bart.train(training)
        return {"ce": float(cross_entropy(logits, wanted)), "hit": float(hits(logits, wanted))}

    def state_dict(self) -> dict[str, Any]:
        """Nothing: all streams are named by the draw."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back nothing."""

    def _predict(self, batch: TextBatch, device: torch.device) -> tuple[Tensor, Tensor]:
        wanted = number_captions(batch.texts, self.words, self.config.words).to(device)
        spoilt = [
            self._spoil(text, draw) for text, draw in zip(batch.texts, batch.draws, strict=True)
        ]
        longest = max(map(len, spoilt))
        read = torch.tensor([row + [Words.pad] * (longest - len(row)) for row in spoilt]).to(device)
        before = F.pad(wanted[:, :-1], (1, 0), value=Words.end)
        bart: Any = self.bart
        logits = bart(
            input_ids=read,
            attention_mask=(read != Words.pad).long(),
            decoder_input_ids=before.masked_fill(before == IGNORED, Words.pad),
            use_cache=False,
        ).logits
        return logits, wanted

    def _spoil(self, text: str, draw: int) -> list[int]:
        stream = numpy_stream(self.seed, "infilling", draw)
        numbers = self.words.encode(text)[: self.config.words]
        kept = infill(numbers, self.words.mask, self.config, stream)
        return [Words.begin, *kept, Words.end]


def infill(
    numbers: Sequence[int], mask: int, config: DenoisingConfig, stream: np.random.Generator
) -> list[int]:
    """A text with spans of its words behind one mask each; a span of no word is a mask put in.

    Args:
        numbers: Of its words.
        mask: Number of the mask.
        config: How many words, in which spans.
        stream: Of the draws.
    """
    left = round(config.masked * len(numbers))
    hidden = [False] * len(numbers)
    begins = [False] * (len(numbers) + 1)
    while left > 0:
        length = min(int(stream.poisson(config.span)), left)
        first = int(stream.integers(len(numbers) - length + 1))
        begins[first] = True
        hidden[first : first + length] = [True] * length
        # A span of none takes a turn all the same, or there would be no end.
        left -= max(length, 1)
    kept: list[int] = []
    for place, number in enumerate(numbers):
        if begins[place]:
            kept.append(mask)
        if not hidden[place]:
            kept.append(number)
    return [*kept, mask] if begins[-1] else kept
