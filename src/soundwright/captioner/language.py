"""BART: the language model that writes captions, from the hub or at a size of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field
from torch import Tensor, nn
from transformers import BartConfig, BartForConditionalGeneration

from soundwright.captioner.words import Words
from soundwright.core.config import Config
from soundwright.core.errors import MissingWeightsError
from soundwright.core.hub import PRETRAINED_FILES, fetch_folder
from soundwright.core.seeding import initialising
from soundwright.text.weights import from_folder

WHAT = "BART"
WORD_TABLE = "model.shared.weight"
TIED = (
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
)
"""Other names of `WORD_TABLE`."""


class BartShape(Config):
    """Shape of a BART. The defaults are facebook/bart-base."""

    words: int = Field(default=50_265, ge=1)
    """Of the tokenizer."""
    width: int = Field(default=768, ge=1)
    layers: int = Field(default=6, ge=1)
    """Of the encoder, and of the decoder."""
    heads: int = Field(default=12, ge=1)
    hidden: int = Field(default=3072, ge=1)
    """Of the feed-forward layers."""
    positions: int = Field(default=1024, ge=1)
    """Longest sequence."""
    dropout: float = Field(default=0.1, ge=0, lt=1)

    def transformers_config(self) -> BartConfig:
        """The network's."""
        return BartConfig(
            vocab_size=self.words,
            max_position_embeddings=self.positions,
            d_model=self.width,
            encoder_layers=self.layers,
            decoder_layers=self.layers,
            encoder_attention_heads=self.heads,
            decoder_attention_heads=self.heads,
            encoder_ffn_dim=self.hidden,
            decoder_ffn_dim=self.hidden,
            dropout=self.dropout,
            bos_token_id=Words.begin,
            pad_token_id=Words.pad,
            eos_token_id=Words.end,
            decoder_start_token_id=Words.end,
            forced_eos_token_id=None,
        )


class Language(NamedTuple):
    """A language model to begin with."""

    shape: BartShape
    weights: dict[str, Tensor]
    """Of transformers' BartForConditionalGeneration."""
    words: Words


def build_bart(shape: BartShape, seed: int = 0) -> Any:
    """A `BartForConditionalGeneration` with initial weights.

    Its state dictionary has the word embeddings once, not under the name of each of their users.
    """
    with initialising(seed, "bart"):
        bart: Any = BartForConditionalGeneration(shape.transformers_config())
    bart.register_state_dict_post_hook(_leave_out_tied)
    bart.register_load_state_dict_pre_hook(_fill_in_tied)
    return bart


def _leave_out_tied(_module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for name in TIED:
        state.pop(prefix + name, None)


def _fill_in_tied(_module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    if prefix + WORD_TABLE in state:
        for name in TIED:
            state[prefix + name] = state[prefix + WORD_TABLE]


def fetch_bart(name: str) -> Language:
    """BART by its name on the hub, or in a local folder.

    Raises:
        MissingWeightsError: It is neither here nor reachable, or has no `tokenizer.json`.
        CheckpointError: A file is damaged, or holds something else.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = fetch_folder(name, PRETRAINED_FILES, what=WHAT)
    model, tokenizer = from_folder(BartForConditionalGeneration, folder, what=WHAT)
    if not getattr(tokenizer, "is_fast", False):
        raise MissingWeightsError(
            f"{folder} has no tokenizer.json.", change="Fetch the whole folder of BART."
        )
    config = model.config
    shape = BartShape(
        words=config.vocab_size,
        width=config.d_model,
        layers=config.encoder_layers,
        heads=config.encoder_attention_heads,
        hidden=config.encoder_ffn_dim,
        positions=config.max_position_embeddings,
        dropout=config.dropout,
    )
    return Language(shape, model.state_dict(), Words(tokenizer.backend_tokenizer.to_str()))
