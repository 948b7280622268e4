"""Frozen text encoders: the offline MiniLM and any T5, through transformers."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from transformers import AutoModel, AutoModelForTextEncoding

from soundwright.core.config import Config
from soundwright.core.devices import choose_device
from soundwright.core.protocols import TextStates
from soundwright.text.weights import (
    check_minilm,
    from_folder,
    from_hub,
    hash_folder,
    minilm_folder,
)

BATCH_TOKENS = 4096
REVISION = 1
"""Raised when this file makes other states of the same weights and texts."""


class TextEncoderConfig(Config):
    """Which frozen encoder reads the texts."""

    kind: Literal["minilm", "t5"] = "minilm"
    name: str = "all-MiniLM-L6-v2"
    """For `t5`: a hub name such as t5-base or google/flan-t5-large, or a local folder."""
    revision: str | None = None
    """Commit on the hub; None is the newest."""
    max_tokens: int = Field(default=256, gt=1)
    """Longer texts are cut, with a warning."""


class TransformerTextEncoder:
    """A `core.protocols.TextEncoder` around an encoder model of transformers.

    The model is frozen, in evaluation mode and in float32, also under autocast. It is no
    submodule of whoever holds it, so that checkpoints do not carry it.

    Only texts with equally many tokens share a forward pass: there is no padding, and the
    states of a text differ between batches by rounding only (below 1e-5). Special tokens are
    valid positions. The sentence vector is the mean of the valid states, scaled to length one.

    Args:
        model: Takes `input_ids` and `attention_mask`; gives `last_hidden_state`.
        tokenizer: A tokenizer of transformers.
        identity: As in the protocol.
        max_tokens: Longest sequence, special tokens included.
    """

    def __init__(self, model: Any, tokenizer: Any, identity: str, max_tokens: int) -> None:
        self._model = model.float().eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._identity = f"{identity}/{max_tokens}/{REVISION}"
        self._max_tokens = max_tokens

    @property
    def width(self) -> int:
        """D."""
        return self._model.config.hidden_size

    @property
    def identity(self) -> str:
        """Kind, hash of the weights, `max_tokens` and the revision of this code."""
        return self._identity

    @property
    def device(self) -> torch.device:
        """Where the model is and where states come out."""
        return self._model.device

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> TextStates:
        """Encode texts; see the protocol.

        Returns:
            States [B, S, D] with S the longest text's tokens and at least one.
        """
        tokens = self._tokenize(texts)
        length = max((len(row) for row in tokens), default=0)
        states = torch.zeros(len(texts), max(1, length), self.width, device=self.device)
        mask = torch.zeros(states.shape[:2], dtype=torch.bool, device=self.device)
        for rows in _equally_long(tokens):
            ids = torch.tensor([tokens[row] for row in rows], device=self.device)
            states[rows, : ids.shape[1]] = self._forward(ids)
            mask[rows, : ids.shape[1]] = True
        return TextStates(states, mask, sentence_vectors(states, mask))

    @torch.no_grad()
    def encode_nothing(self) -> Tensor:
        """[S, D]: what the model makes of a text without words, which are special tokens alone.

        `encode` gives no states there. Tango and Stable Diffusion are guided away from these.
        """
        ids = self._tokenizer("", verbose=False)["input_ids"]
        return self._forward(torch.tensor([ids], device=self.device))[0]

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        filled = [row for row, text in enumerate(texts) if text.strip()]
        tokens: list[list[int]] = [[] for _ in texts]
        if not filled:
            return tokens
        full = self._tokenizer([texts[row] for row in filled], verbose=False)["input_ids"]
        cut = sum(len(ids) > self._max_tokens for ids in full)
        if cut:
            warnings.warn(
                f"{cut} of {len(texts)} texts are longer than {self._max_tokens} tokens; "
                "their ends are not read",
                stacklevel=3,
            )
            full = self._tokenizer(
                [texts[row] for row in filled], truncation=True, max_length=self._max_tokens
            )["input_ids"]
        for row, ids in zip(filled, full, strict=True):
            tokens[row] = ids
        return tokens

    def _forward(self, ids: Tensor) -> Tensor:
        with torch.autocast(ids.device.type, enabled=False):
            output = self._model(input_ids=ids, attention_mask=torch.ones_like(ids))
        return output.last_hidden_state


def sentence_vectors(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of the valid states, scaled to length one: [B, S, D] and [B, S] to [B, D].

    A row without valid states gives zeros.
    """
    total = (states * mask.unsqueeze(-1)).sum(1)
    mean = total / mask.sum(1, keepdim=True).clamp(min=1)
    return torch.nn.functional.normalize(mean, dim=-1)


def load_text_encoder(
    config: TextEncoderConfig, device: torch.device | str = "cpu"
) -> TransformerTextEncoder:
    """Load the encoder that `config` names.

    The environment variable SOUNDWRIGHT_OFFLINE, set to anything but 0, forbids the network.

    Raises:
        MissingWeightsError: The weights are neither here nor reachable.
        CheckpointError: The weights are there and are not what they should be.
        UserError: The device is not on this machine.
    """
    chosen = choose_device(str(device))
    if config.kind == "minilm":
        return _load_minilm(config, chosen)
    return _load_t5(config, chosen)


def _load_minilm(config: TextEncoderConfig, device: torch.device) -> TransformerTextEncoder:
    folder = minilm_folder()
    digest = check_minilm(folder)
    model, tokenizer = from_folder(AutoModel, folder, add_pooling_layer=False)
    limit = min(config.max_tokens, model.config.max_position_embeddings)
    return TransformerTextEncoder(model.to(device), tokenizer, f"minilm/{digest[:16]}", limit)


def _load_t5(config: TextEncoderConfig, device: torch.device) -> TransformerTextEncoder:
    folder = Path(config.name).expanduser()
    if folder.is_dir():
        model, tokenizer = from_folder(AutoModelForTextEncoding, folder)
        identity = f"t5/{hash_folder(folder)}"
    else:
        model, tokenizer, commit = from_hub(AutoModelForTextEncoding, config.name, config.revision)
        identity = f"t5/{config.name}@{commit}"
    return TransformerTextEncoder(model.to(device), tokenizer, identity, config.max_tokens)


def _equally_long(tokens: Sequence[Sequence[int]]) -> list[list[int]]:
    """Rows in groups of equal, nonzero length, of at most `BATCH_TOKENS` tokens."""
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for row, ids in enumerate(tokens):
        by_length[len(ids)].append(row)
    groups: list[list[int]] = []
    for length, rows in sorted(by_length.items()):
        if length:
            step = max(1, BATCH_TOKENS // length)
            groups += [rows[begin : begin + step] for begin in range(0, len(rows), step)]
    return groups
