"""From heard sounds to captions: beam search, or sampling with a stream for each sound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from pydantic import Field as Bound
from pydantic import model_validator
from torch import Tensor
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput

from soundwright.captioner.heard import Heard
from soundwright.captioner.metadata import Field
from soundwright.captioner.model import IGNORED, AutoCap
from soundwright.captioner.task import number_metadata
from soundwright.captioner.words import Words
from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.seeding import torch_stream


class CaptioningConfig(Config):
    """How captions are written."""

    method: Literal["beam", "sample"] = "beam"
    beams: int = Bound(default=3, ge=1)
    """Of beam search; 1 takes the likeliest word each time. The reference's default is 3."""
    temperature: float = Bound(default=1.0, gt=0)
    """Of sampling."""
    top_p: float = Bound(default=0.95, gt=0, le=1)
    """Of sampling: draw among the likeliest words that make up this probability."""
    words: int = Bound(default=30, ge=1)
    """Most of a caption."""
    least: int = Bound(default=2, ge=0)
    """Fewest of a caption."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.least > self.words:
            raise UserError(f"At least {self.least} words, but at most {self.words}, cannot be.")
        return self


@dataclass(frozen=True)
class Written:
    """One caption."""

    text: str
    confidence: float
    """The geometric mean of the probabilities of its words: 1 where the model has no doubt."""


@torch.no_grad()
def write_captions(
    model: AutoCap,
    words: Words,
    heard: Heard,
    metadata: Sequence[Mapping[Field, str]],
    config: CaptioningConfig,
    seeds: Sequence[int] = (),
) -> list[Written]:
    """Caption B sounds; of each the same, up to rounding, whatever the others are.

    Args:
        model: In evaluation mode.
        words: Its tokenizer.
        heard: None of them silent.
        metadata: What is known of each.
        config: How to write.
        seeds: One for each sound, for sampling.
    """
    read = model.embed(heard, number_metadata(metadata, words))
    encoded = model.bart.get_encoder()(
        inputs_embeds=read.states, attention_mask=read.mask.long()
    ).last_hidden_state
    if config.method == "beam":
        rows = _search(model.bart, encoded, read.mask, config, words.unsaid)
    else:
        rows = _sample(model.bart, encoded, read.mask, config, words.unsaid, seeds)
    confidence = _weigh(model.bart, encoded, read.mask, rows)
    texts = [words.decode(row) for row in rows]
    return [Written(*both) for both in zip(texts, confidence, strict=True)]


def _search(
    bart: Any, encoded: Tensor, mask: Tensor, config: CaptioningConfig, unsaid: list[int]
) -> list[list[int]]:
    how = {"early_stopping": True} if config.beams > 1 else {}
    found = bart.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
        attention_mask=mask.long(),
        decoder_input_ids=_begin(encoded),
        num_beams=config.beams,
        do_sample=False,
        # The end counts as a word there.
        max_new_tokens=config.words + 1,
        min_new_tokens=config.least,
        suppress_tokens=unsaid,
        bos_token_id=Words.begin,
        pad_token_id=Words.pad,
        eos_token_id=Words.end,
        forced_eos_token_id=Words.end,
        **how,
    )
    return [_cut(row) for row in found[:, 1:].tolist()]


def _sample(
    bart: Any,
    encoded: Tensor,
    mask: Tensor,
    config: CaptioningConfig,
    unsaid: list[int],
    seeds: Sequence[int],
) -> list[list[int]]:
    """Words drawn one after another."""
    assert len(seeds) == len(encoded), "sampling needs a seed for each sound"
    streams = [torch_stream(seed, "caption") for seed in seeds]
    before = _begin(encoded)
    drawn: list[Tensor] = []
    cache: Any = None
    done = torch.zeros(len(encoded), dtype=torch.bool)
    for number in range(config.words):
        output = bart(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=mask.long(),
            decoder_input_ids=before,
            past_key_values=cache,
            use_cache=True,
        )
        cache = output.past_key_values
        logits = output.logits[:, -1].float().cpu()
        logits[:, unsaid] = -torch.inf
        if number < config.least:
            logits[:, Words.end] = -torch.inf
        chosen = _draw(logits / config.temperature, config.top_p, streams)
        chosen[done] = Words.pad
        drawn.append(chosen)
        done |= chosen == Words.end
        if bool(done.all()):
            break
        before = chosen[:, None].to(encoded.device)
    return [_cut([Words.begin, *row]) for row in torch.stack(drawn, 1).tolist()]


def _begin(encoded: Tensor) -> Tensor:
    """[B, 2]: what BART's decoder is given before the first word."""
    begun = torch.tensor([[Words.end, Words.begin]], device=encoded.device)
    return begun.expand(len(encoded), -1)


def _draw(logits: Tensor, top_p: float, streams: Sequence[torch.Generator]) -> Tensor:
    """[B]: one word each, among the likeliest that make up `top_p`."""
    sorted_, order = logits.softmax(-1).sort(dim=-1, descending=True, stable=True)
    # The first word that reaches the sum still belongs to them.
    sorted_ = sorted_.masked_fill(sorted_.cumsum(-1) - sorted_ >= top_p, 0)
    places = [
        torch.multinomial(row, 1, generator=stream)
        for row, stream in zip(sorted_, streams, strict=True)
    ]
    return order.gather(1, torch.stack(places))[:, 0]


def _cut(row: Sequence[int]) -> list[int]:
    """A row up to its end, which is put there if it has none."""
    kept = list(row[: row.index(Words.end)]) if Words.end in row else list(row)
    return [*kept, Words.end]


def _weigh(bart: Any, encoded: Tensor, mask: Tensor, rows: Sequence[list[int]]) -> list[float]:
    """The geometric mean of the probabilities of each row's words, its end included."""
    longest = max(map(len, rows))
    wanted = torch.full((len(rows), longest), IGNORED)
    for place, row in enumerate(rows):
        wanted[place, : len(row)] = torch.tensor(row)
    before = F.pad(wanted[:, :-1], (1, 0), value=Words.end)
    logits = bart(
        encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
        attention_mask=mask.long(),
        decoder_input_ids=before.masked_fill(before == IGNORED, Words.pad).to(encoded.device),
        use_cache=False,
    ).logits
    # The begin is given and no word.
    logs = logits.float().log_softmax(-1).cpu()[:, 1:]
    later = wanted[:, 1:]
    counts = later != IGNORED
    chosen = logs.gather(-1, later.clamp_min(0)[..., None])[..., 0]
    means = torch.where(counts, chosen, 0).sum(1) / counts.sum(1)
    return [math.exp(mean) for mean in means.tolist()]
