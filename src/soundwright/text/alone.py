"""Texts encoded one by one, for what has to come out the same alone and in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from soundwright.core.protocols import TextEncoder, TextStates


def encode_alone(encoder: TextEncoder, texts: Sequence[str]) -> TextStates:
    """Encode texts so that the states of each are those that it has alone, bit by bit.

    In a batch they are rounded otherwise, which may decide a draw of a language model.
    """
    found = {text: encoder.encode([text]) for text in dict.fromkeys(texts)}
    parts = [found[text] for text in texts]
    return TextStates(
        pad_sequence([part.states[0] for part in parts], batch_first=True),
        pad_sequence([part.mask[0] for part in parts], batch_first=True),
        torch.cat([part.sentence for part in parts]),
    )
