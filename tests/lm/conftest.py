"""A tiny language model, a text encoder without weights, and batches for both."""

from collections.abc import Callable, Sequence

import pytest
import torch

from soundwright.core.protocols import TextStates, TokenBatch
from soundwright.core.seeding import torch_stream
from soundwright.lm.model import AudioLm, LmConfig

TEXT_WIDTH = 12


class WordEncoder:
    """One fixed random vector a word; a caption's states are those of its words."""

    width = TEXT_WIDTH
    identity = "words"

    def encode(self, texts: Sequence[str]) -> TextStates:
        words = [text.split() for text in texts]
        length = max(map(len, words))
        states = torch.zeros(len(texts), length, TEXT_WIDTH)
        mask = torch.zeros(len(texts), length, dtype=torch.bool)
        for row, sentence in enumerate(words):
            for column, word in enumerate(sentence):
                states[row, column] = torch.randn(TEXT_WIDTH, generator=torch_stream(0, word))
                mask[row, column] = True
        return TextStates(states, mask, states.sum(1))


@pytest.fixture
def encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture
def make_lm() -> Callable[..., AudioLm]:
    def make(seed: int = 1, **options) -> AudioLm:
        shape = {"dim": 16, "layers": 2, "heads": 2, "codebooks": 3, "codebook_size": 11}
        return AudioLm(LmConfig(**{**shape, "text_width": TEXT_WIDTH, **options}), seed=seed)

    return make


@pytest.fixture
def make_batch() -> Callable[..., TokenBatch]:
    def make(texts: Sequence[str], lengths: Sequence[int], *, seed: int = 0, books: int = 3):
        frames = max(lengths)
        tokens = torch.randint(
            11, (len(texts), books, frames), generator=torch_stream(seed, "tokens")
        )
        mask = torch.arange(frames) < torch.tensor(lengths)[:, None]
        return TokenBatch(tokens, mask, tuple(texts))

    return make
