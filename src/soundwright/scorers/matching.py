"""The matcher: a small text-audio model that tells how well a sound fits a text.

It puts sounds and texts into one space, in which those that belong together are near each other.
Trained here on scenes and their captions; its cosines are no CLAP scores and are never called so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from soundwright.core.config import Config
from soundwright.core.protocols import Encoded, TextEncoder, TextStates
from soundwright.scorers.levels import LevelConfig, Levels
from soundwright.scorers.modes import evaluating, full_precision
from soundwright.scorers.trunk import Trunk, TrunkConfig
from soundwright.scorers.weights import FolderFormat, identity_of
from soundwright.text.encoders import TextEncoderConfig, load_text_encoder

FORMAT = FolderFormat("soundwright-matcher", 1, "matcher.json", "a matcher")
Count = Annotated[int, Field(ge=1)]


def matcher_folder() -> Path:
    """Where the matcher that ships stands."""
    return Path(__file__).parent / "matcher1"


class MatcherConfig(Config):
    """Front end and sizes of a `Matcher`."""

    name: str = "soundwright-matcher-1"
    """Stable name with version, under which similarities are reported."""
    levels: LevelConfig = LevelConfig()
    trunk: TrunkConfig = TrunkConfig(strides=(2, 2, 1, 1), width=96, dilations=(1, 2, 4, 8))
    width: Count = 128
    """Of the common space."""
    text: TextEncoderConfig = TextEncoderConfig()
    """The frozen encoder of the texts."""
    text_width: Count = 384
    """Of its states."""
    text_hidden: Count = 192


class Matcher(nn.Module):
    """A trunk over levels, pooled over time in four ways, beside a projection of text vectors.

    What is pooled by slope, early against late, tells the order of sounds, and of words.

    The frozen text encoder is no part of the weights; it is loaded when the first text comes.
    """

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__()
        self.config = config
        self.levels = Levels(config.levels)
        self.trunk = Trunk(config.trunk, config.levels.mel.n_mels)
        self.attention = nn.Conv1d(config.trunk.width, 1, 1)
        self.sound = nn.Linear(4 * config.trunk.width, config.width)
        self.words = nn.Sequential(
            nn.Linear(2 * config.text_width, config.text_hidden),
            nn.GELU(),
            nn.Linear(config.text_hidden, config.width),
        )
        self.scale = nn.Parameter(torch.tensor(2.5))
        """Natural logarithm of the factor that makes logits of cosines."""

    @property
    def name(self) -> str:
        """Stable name with version."""
        return self.config.name

    @property
    def width(self) -> int:
        """D of the embeddings."""
        return self.config.width

    @property
    def sample_rate(self) -> int:
        """At which it hears."""
        return self.config.levels.mel.sample_rate

    @property
    def identity(self) -> str:
        """Hash of weights and configuration."""
        return identity_of(self, self.config)

    @property
    def facts(self) -> Mapping[str, str]:
        """Weights, gain, window, text, embedding."""
        return {
            "weights": f"{self.name}, trained by Soundwright on scenes; no CLAP",
            "channels": "mean of all",
            "gain": "peak of each sound",
            "window": "the whole sound, silence included",
            "text": f"states of {self.config.text.name}, pooled and projected",
            "embedding": f"{self.config.width} wide, of length one",
            "digital silence": "zeros, a similarity of 0 to every text",
            "precision": "fp32",
        }

    @cached_property
    def text_encoder(self) -> TextEncoder:
        """The frozen encoder.

        Raises:
            MissingWeightsError: Its weights are not here.
        """
        return load_text_encoder(self.config.text)

    def embed_levels(self, levels: Tensor) -> Tensor:
        """[B, M, F] dB, untrimmed, relative to each clip's peak, to [B, D] of length one."""
        hidden = self.trunk(levels)
        weight = self.attention(hidden).softmax(2)
        late = torch.linspace(-1, 1, hidden.shape[2], device=hidden.device)
        slope = (late * hidden).mean(2)
        pooled = [hidden.mean(2), hidden.amax(2), (weight * hidden).sum(2), slope]
        return functional.normalize(self.sound(torch.cat(pooled, 1)).float(), dim=1)

    def embed_vectors(self, vectors: Tensor) -> Tensor:
        """What `text_vectors` makes of texts, [B, 2 * text_width], to [B, D] of length one."""
        return functional.normalize(self.words(vectors).float(), dim=1)

    @full_precision()
    def encode(self, waveforms: Sequence[Tensor]) -> list[Encoded]:
        """Describe mono sounds [N] at `sample_rate`: one window, the whole sound.

        What it says depends neither on a sound's loudness nor on the other sounds.

        Raises:
            AudioError: A waveform without samples, or with some that are not finite.
        """
        return [self._encoded(waveform) for waveform in waveforms]

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """[B, D] fp32 on the CPU, of length one: dot products with `Encoded.vector` are cosines.

        Raises:
            MissingWeightsError: The text encoder's weights are not here.
        """
        vectors = text_vectors(self.text_encoder.encode(texts))
        # The text encoder stays on the CPU, wherever the matcher works.
        return self.embed_vectors(vectors.to(self.scale.device)).cpu()

    def save(self, folder: Path, *, notes: dict[str, Any] | None = None) -> None:
        """Write weights in fp16 and a description to a new folder; as `Tagger.save`."""
        FORMAT.write(folder, self, self.config, notes)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; the weights become fp32 and the matcher evaluates.

        Raises:
            CheckpointError: No matcher, one of a newer format, or damaged weights.
            UserError: The description is missing or is not JSON.
        """
        return FORMAT.read(
            folder, lambda values: cls(MatcherConfig.read(values, origin=str(folder)))
        )

    def _encoded(self, waveform: Tensor) -> Encoded:
        levels = self.levels.read(waveform, self.sample_rate, trim=False)
        if levels is None:
            embedding = torch.zeros(1, self.config.width)
        else:
            with evaluating(self):
                embedding = self.embed_levels(levels[None]).cpu()
        return Encoded(embedding, embedding[0])


def text_vectors(encoded: TextStates) -> Tensor:
    """Sentence vectors beside the slopes of their states, from the first word to the last.

    Returns:
        [B, 2 D].
    """
    mask = encoded.mask.float()
    lengths = mask.sum(1, keepdim=True)
    places = torch.arange(mask.shape[1], device=mask.device)
    late = (2 * places / (lengths - 1).clamp(min=1) - 1) * mask
    slope = (late[:, :, None] * encoded.states).sum(1) / lengths.clamp(min=1)
    return torch.cat([encoded.sentence, slope], 1)
