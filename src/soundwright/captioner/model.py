"""AutoCap: a Q-Former between frozen towers and BART (section 3.1 of arXiv 2406.19388).

BART's encoder reads, in this order, in training as when captions are written,

    [CLAP] [boa] 256 queries [eoa] [bom] title [eom] [bom] tags [eom] [bom] visual caption [eom]

where the delimiters of every field are its own. What is not known of a clip is left out, and what
stands behind the last known field is masked: batch mates change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from pydantic import Field as Bound
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from soundwright.captioner.heard import Heard
from soundwright.captioner.language import BartShape, build_bart
from soundwright.captioner.metadata import FIELDS, Field
from soundwright.captioner.words import Words
from soundwright.core.config import Config
from soundwright.core.seeding import initialising

DELIMITERS = ("sound", "/sound", *(mark + field for field in FIELDS for mark in ("", "/")))
"""An opening and a closing one of what is heard and of each field."""
IGNORED = -100
"""Stands behind the last word of a caption."""


class BridgeConfig(Config):
    """What stands between the towers and BART. The defaults are the paper's."""

    queries: int = Bound(default=256, ge=1)
    width: int = Bound(default=256, ge=1)
    """Of the Q-Former."""
    layers: int = Bound(default=2, ge=1)
    heads: int = Bound(default=8, ge=1)
    hidden: int = Bound(default=3072, ge=1)
    """Of its feed-forward layers."""
    dropout: float = Bound(default=0.2, ge=0, lt=1)
    """Of the states before the Q-Former, and of metadata."""
    fields: tuple[Field, ...] = ("title", "visual")
    """Metadata that is read; empty leaves it out."""
    field_words: int = Bound(default=64, ge=1)
    """Most words of a field; what is longer is cut."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"the width {self.width} is no multiple of heads={self.heads}")
        return self


class AutoCapConfig(BridgeConfig):
    """Shape of an `AutoCap`: the bridge, and what lies on either side of it."""

    state_width: int = Bound(default=768, ge=1)
    """D of the audio tower."""
    frames: int = Bound(default=1024, ge=1)
    """Most that the audio tower gives."""
    vector_width: int | None = 512
    """V of CLAP; null leaves CLAP out."""
    bart: BartShape = BartShape()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        longest = 3 + self.queries + len(self.fields) * (self.field_words + 2)
        if longest > self.bart.positions:
            raise ValueError(
                f"{self.queries} queries and {len(self.fields)} fields of {self.field_words} words "
                f"make {longest} positions, but bart.positions is {self.bart.positions}"
            )
        return self

    def qformer_config(self) -> Blip2QFormerConfig:
        """The Q-Former's: cross-attention in every layer."""
        return Blip2QFormerConfig(
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.hidden,
            cross_attention_frequency=1,
            encoder_hidden_size=self.state_width,
        )


class AutoCap(nn.Module):
    """What is trained: everything behind the towers.

    Args:
        config: See `AutoCapConfig`.
        seed: Of the initial weights.
    """

    def __init__(self, config: AutoCapConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.bart = build_bart(config.bart, seed)
        narrow, wide = config.width, config.bart.width
        with initialising(seed, "autocap"):
            self.entrance = nn.Linear(config.state_width, config.state_width)
            self.places = nn.Embedding(config.frames, config.state_width)
            self.norm = nn.LayerNorm(config.state_width)
            self.queries = nn.Parameter(torch.randn(1, config.queries, narrow) * 0.02)
            self.qformer: Any = Blip2QFormerModel(config.qformer_config())
            self.exit = nn.Linear(narrow, wide)
            self.delimiters = nn.Embedding(len(DELIMITERS), wide)
            if config.vector_width is not None:
                self.clap = nn.Sequential(nn.Linear(config.vector_width, wide), nn.LayerNorm(wide))
            nn.init.normal_(self.places.weight, std=0.02)
        self._frozen: tuple[nn.Module, ...] = ()

    @torch.no_grad()
    def load_bart(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with a trained BART: delimiters become its begin and end, places its positions.

        Args:
            weights: Of a `BartForConditionalGeneration` of the configured shape.
        """
        self.bart.load_state_dict(weights)
        words = self.bart.get_input_embeddings().weight
        for number in range(len(DELIMITERS)):
            self.delimiters.weight[number] = words[Words.end if number % 2 else Words.begin]
        table = self.bart.model.encoder.embed_positions
        learned = table.weight[table.offset :]
        if learned.shape[1] == self.places.weight.shape[1]:
            rows = min(len(learned), len(self.places.weight))
            self.places.weight[:rows] = learned[:rows]

    def freeze(self, *modules: nn.Module) -> None:
        """Freeze parts of this model: no gradients, and never in training mode."""
        self._frozen = modules
        for module in modules:
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch all but what is frozen."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def embed(self, heard: Heard, metadata: Sequence[Mapping[Field, Sequence[int]]]) -> Heard:
        """What BART's encoder reads.

        Args:
            heard: B sounds, none of them silent.
            metadata: Of each sound, the numbers of the words of its known fields.

        Returns:
            States [B, S, D] of BART's width, and their mask.
        """
        states, device = heard.states, heard.states.device
        places = self.places.weight[: states.shape[1]]
        states = self._drop(self.entrance(states)) + places
        found = self.qformer(
            self.queries.expand(len(states), -1, -1),
            encoder_hidden_states=self.norm(states),
            encoder_attention_mask=heard.mask,
        ).last_hidden_state
        opened, closed = self.delimiters.weight[:2]
        around = (len(states), 1, -1)
        parts = [opened.expand(around), self.exit(found), closed.expand(around)]
        if self.config.vector_width is not None:
            assert heard.vector is not None, "the towers give no vector"
            parts.insert(0, self.clap(heard.vector)[:, None])
        sounds = torch.cat(parts, 1)
        texts, mask = self._write(metadata, device)
        whole = torch.ones(sounds.shape[:2], dtype=torch.bool, device=device)
        return Heard(torch.cat([sounds, self._drop(texts)], 1), torch.cat([whole, mask], 1))

    def forward(
        self, heard: Heard, metadata: Sequence[Mapping[Field, Sequence[int]]], captions: Tensor
    ) -> Tensor:
        """Logits of captions, word by word.

        Args:
            heard: B sounds.
            metadata: As for `embed`.
            captions: [B, L] int64 as `number_captions` makes them.

        Returns:
            [B, L, words].
        """
        read = self.embed(heard, metadata)
        before = F.pad(captions[:, :-1], (1, 0), value=Words.end)
        return self.bart(
            inputs_embeds=read.states,
            attention_mask=read.mask.long(),
            decoder_input_ids=before.masked_fill(before == IGNORED, Words.pad),
            use_cache=False,
        ).logits

    def _drop(self, states: Tensor) -> Tensor:
        return F.dropout(states, self.config.dropout, self.training)

    def _write(
        self, metadata: Sequence[Mapping[Field, Sequence[int]]], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Delimited fields [B, M, D] and their mask [B, M]."""
        rows = [self._number(known) for known in metadata]
        longest = max(map(len, rows), default=0)
        numbers = torch.full((len(rows), longest), Words.pad)
        mask = torch.zeros(len(rows), longest, dtype=torch.bool)
        for place, row in enumerate(rows):
            numbers[place, : len(row)] = torch.tensor(row, dtype=torch.long)
            mask[place, : len(row)] = True
        words = self.bart.get_input_embeddings().weight
        table = torch.cat([words, self.delimiters.weight])
        return F.embedding(numbers.to(device), table), mask.to(device)

    def _number(self, known: Mapping[Field, Sequence[int]]) -> list[int]:
        """Numbers of words and, behind them, of delimiters."""
        row: list[int] = []
        first = self.config.bart.words
        for field in self.config.fields:
            words = list(known.get(field, ()))[: self.config.field_words]
            if words:
                opened = first + DELIMITERS.index(field)
                row += [opened, *words, opened + 1]
        return row


def number_captions(captions: Sequence[str], words: Words, most: int) -> Tensor:
    """[B, L] int64: `Words.begin`, the words, `Words.end`, then `IGNORED`.

    Args:
        captions: B texts.
        words: The tokenizer.
        most: Words that are kept of a caption.
    """
    rows = [[words.begin, *words.encode(text)[:most], words.end] for text in captions]
    numbers = torch.full((len(rows), max(map(len, rows))), IGNORED)
    for place, row in enumerate(rows):
        numbers[place, : len(row)] = torch.tensor(row)
    return numbers
