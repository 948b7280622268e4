"""Tiny networks, a text encoder without weights, and batches for both."""

from collections.abc import Callable, Sequence

import pytest
import torch

from soundwright.core.protocols import LatentBatch, TextStates
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditioner import Conditioner
from soundwright.diffusion.dit import Dit, DitConfig
from soundwright.diffusion.fit import Fit, FitConfig
from soundwright.diffusion.network import Network
from soundwright.diffusion.unet import LatentUnet, UnetConfig

TEXT_WIDTH = 12
VECTOR_WIDTH = 6


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


class WordVectors:
    """One fixed random vector of length one a caption."""

    identity = "word vectors"

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        rows = [torch.randn(VECTOR_WIDTH, generator=torch_stream(1, text)) for text in texts]
        return torch.nn.functional.normalize(torch.stack(rows), dim=1)


@pytest.fixture
def encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture
def vectors() -> WordVectors:
    return WordVectors()


@pytest.fixture
def conditioner(encoder) -> Conditioner:
    """Of texts alone."""
    return Conditioner(encoder)


@pytest.fixture
def make_unet() -> Callable[..., LatentUnet]:
    """Two levels of lively weights: the text matters, and so does the time."""

    def make(seed: int = 1, **options) -> LatentUnet:
        shape = {
            "channels": 2, "widths": (8, 16), "attention": (False, True), "heads": (1, 2),
            "layers": 1, "groups": 4, "text_width": TEXT_WIDTH, "cross_width": 8,
        }  # fmt: skip
        return enliven(LatentUnet(UnetConfig.read({**shape, **options}), seed=seed), seed)

    return make


@pytest.fixture
def make_fit() -> Callable[..., Fit]:
    """Groups of four tokens with two latents each, of latents [B, 2, T, 4]."""

    def make(seed: int = 1, **options) -> Fit:
        shape = {
            "channels": 2, "bands": 4, "width": 8, "heads": 2, "text_width": TEXT_WIDTH,
            "blocks": 2, "group": 4, "latents_per_group": 2, "latent_width": 16,
            "latent_heads": 4, "local": 1, "across": 1, "max_frames": 32, "dropout": 0.0,
        }  # fmt: skip
        return enliven(Fit(FitConfig.read({**shape, **options}), seed=seed), seed)

    return make


@pytest.fixture
def make_dit() -> Callable[..., Dit]:
    def make(seed: int = 1, **options) -> Dit:
        shape = {
            "channels": 2, "bands": 4, "width": 16, "heads": 2, "text_width": TEXT_WIDTH,
            "blocks": 2, "max_frames": 32, "dropout": 0.0,
        }  # fmt: skip
        return enliven(Dit(DitConfig.read({**shape, **options}), seed=seed), seed)

    return make


@pytest.fixture(params=["unet", "fit", "dit"])
def make_network(request) -> Callable[..., Network]:
    """Each kind of network, of latents [B, 2, T, 4]."""
    return request.getfixturevalue(f"make_{request.param}")


def enliven(network: Network, seed: int) -> Network:
    """Weights that let text and time matter, where a network begins with next to nothing."""
    stream = torch_stream(seed, "lively")
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.dim() > 1 and "conv" not in name:
                scale = 1.0 / weight.shape[1] ** 0.5
                weight.copy_(scale * torch.randn(weight.shape, generator=stream))
    return network.eval()


@pytest.fixture
def make_batch() -> Callable[..., LatentBatch]:
    def make(texts: Sequence[str], lengths: Sequence[int], *, seed: int = 0, draws=None):
        frames = max(lengths)
        stream = torch_stream(seed, "latents")
        mean = torch.randn(len(texts), 2, frames, 4, generator=stream)
        deviation = 0.1 * torch.rand(mean.shape, generator=stream)
        mask = torch.arange(frames) < torch.tensor(lengths)[:, None]
        draws = range(len(texts)) if draws is None else draws
        return LatentBatch(mean, deviation, mask, tuple(texts), draws=tuple(draws))

    return make
