"""The tagger: a small convolutional network that names what is heard.

Two ship. One is the project's judge: it measures generated sounds and has no other use. It must
never be a reward, a filter or what selects a checkpoint, or its figures would mean nothing. The
other one, trained apart from it, describes sounds by embeddings and class probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from soundwright.core.config import Config
from soundwright.core.protocols import Encoded
from soundwright.scorers.levels import LevelConfig, Levels
from soundwright.scorers.modes import evaluating, full_precision
from soundwright.scorers.residual import ResidualBlock
from soundwright.scorers.weights import FolderFormat, identity_of

FORMAT = FolderFormat("soundwright-tagger", 1, "tagger.json", "a tagger")


def judge_folder() -> Path:
    """Where the judge that ships stands: ten classes of ESC-10, never trained on fold 4."""
    return Path(__file__).parent / "judge"


def tagger2_folder() -> Path:
    """Where the second tagger that ships stands: for embeddings and class probabilities."""
    return Path(__file__).parent / "tagger2"


class TaggerConfig(Config):
    """Labels, front end and size of a `Tagger`."""

    name: str = "tagger-1"
    """Stable name with version, under which scores are reported."""
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    levels: LevelConfig = LevelConfig()
    range_db: Annotated[float, Field(gt=0)] = 70.0
    """Levels further than this below a clip's peak are all the same to the network."""
    widths: Annotated[tuple[int, ...], Field(min_length=1)] = (32, 48, 64, 96)
    """Channels of the residual blocks; every block but the first halves both axes."""


class Tagger(nn.Module):
    """Residual network over a level spectrogram with one attention over time for each label.

    A label's score is the weighted mean of its evidence in every frame of the network, so that a
    clip may have any length; frames that are no sound have no weight.
    """

    def __init__(self, config: TaggerConfig) -> None:
        super().__init__()
        self.config = config
        self.levels = Levels(config.levels)
        widths = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        blocks = [ResidualBlock(widths[0], widths[0], stride=1)]
        blocks += [ResidualBlock(below, above, stride=2) for below, above in pairwise(widths)]
        self.blocks = nn.Sequential(*blocks)
        self.attention = nn.Linear(widths[-1], len(config.labels))
        self.evidence = nn.Linear(widths[-1], len(config.labels))

    @property
    def name(self) -> str:
        """Stable name with version."""
        return self.config.name

    @property
    def labels(self) -> tuple[str, ...]:
        """What can be told apart, in the order of the logits."""
        return self.config.labels

    def forward(self, levels: Tensor, mask: Tensor) -> Tensor:
        """Logits of a batch.

        Args:
            levels: [B, M, F] dB relative to each clip's peak, as `Levels` gives them.
            mask: [B, F], True where there is sound; at least one frame a clip.

        Returns:
            [B, L] fp32.
        """
        return self._logits(*self._hidden(levels, mask))

    @torch.no_grad()
    def score(
        self,
        waveforms: Sequence[Tensor],
        sample_rate: int,
        texts: Sequence[str] | None = None,  # noqa: ARG002 (of the protocol)
    ) -> list[dict[str, float]]:
        """Probability of every label for each sound.

        A sound's scores depend neither on its loudness, nor on silence around it, nor on the
        other sounds. Digital silence is no label: all of them get the same probability.

        Args:
            waveforms: [C, N] or [N] each, of any length.
            sample_rate: Of all waveforms; they are resampled to the tagger's own rate.
            texts: Not used.

        Raises:
            AudioError: A waveform without samples, or with some that are not finite.
        """
        return [
            dict(zip(self.labels, self._probabilities(waveform, sample_rate), strict=True))
            for waveform in waveforms
        ]

    @torch.no_grad()
    def embed(self, waveforms: Sequence[Tensor], sample_rate: int) -> Tensor:
        """[B, D] fp32: the mean of the last hidden states over time; zeros for digital silence.

        Raises:
            AudioError: As for `score`.
        """
        found = [self.states(waveform, sample_rate) for waveform in waveforms]
        return torch.stack([rows.mean(0) if len(rows) else rows.sum(0) for rows in found])

    @torch.no_grad()
    def states(self, waveform: Tensor, sample_rate: int, *, trim: bool = True) -> Tensor:
        """[T, D] fp32: the last hidden states of one sound; none, T = 0, of digital silence.

        Args:
            waveform: [C, N] or [N].
            sample_rate: Of the waveform.
            trim: Leave out the silence before and after the sound.

        Raises:
            AudioError: As for `score`.
        """
        levels = self.levels.read(waveform, sample_rate, trim=trim)
        if levels is None:
            return torch.zeros(0, self.config.widths[-1])
        with evaluating(self):
            return self._hidden(levels[None], _everywhere(levels))[0][0].cpu()

    def recognise(self, waveforms: Sequence[Tensor], sample_rate: int) -> list[str]:
        """The likeliest label of each sound; arguments as for `score`."""
        scores = self.score(waveforms, sample_rate)
        return [max(self.labels, key=score.__getitem__) for score in scores]

    def save(self, folder: Path, *, notes: dict[str, Any] | None = None) -> None:
        """Write weights in fp16 and a description to a new folder.

        Args:
            folder: Must not exist.
            notes: Plain values to keep beside the configuration: how it was trained, scores.

        Raises:
            UserError: The folder exists or cannot be written.
        """
        FORMAT.write(folder, self, self.config, notes)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; the weights become fp32 and the tagger is in evaluation mode.

        Raises:
            CheckpointError: No tagger, one of a newer format, or damaged weights.
            UserError: The description is missing or is not JSON.
        """
        return FORMAT.read(
            folder, lambda values: cls(TaggerConfig.read(values, origin=str(folder)))
        )

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
        """Weights, gain, window, embedding, logits."""
        return {
            "weights": f"{self.name}, trained by Soundwright",
            "channels": "mean of all",
            "gain": "peak of each sound",
            "window": "the whole sound without the silence around it",
            "embedding": f"mean of the last hidden states over time, {self.config.widths[-1]} wide",
            "logits": f"{len(self.labels)} classes, before the softmax",
            "digital silence": "zeros",
            "precision": "fp32",
        }

    @full_precision()
    def encode(self, waveforms: Sequence[Tensor]) -> list[Encoded]:
        """Describe mono sounds [N] at `sample_rate`: one window, the whole sound.

        Raises:
            AudioError: As for `score`.
        """
        return [self._encoded(waveform) for waveform in waveforms]

    def _probabilities(self, waveform: Tensor, sample_rate: int) -> list[float]:
        levels = self.levels.read(waveform, sample_rate)
        if levels is None:
            return [1 / len(self.labels)] * len(self.labels)
        with evaluating(self):
            return self(levels[None], _everywhere(levels))[0].softmax(-1).tolist()

    def _encoded(self, waveform: Tensor) -> Encoded:
        levels = self.levels.read(waveform, self.sample_rate)
        if levels is None:
            zeros = torch.zeros(1, self.config.widths[-1])
            return Encoded(zeros, zeros[0], torch.zeros(1, len(self.labels)))
        with evaluating(self):
            hidden, inside = self._hidden(levels[None], _everywhere(levels))
            logits = self._logits(hidden, inside).cpu()
        embedding = hidden.mean(1).cpu()
        return Encoded(embedding, embedding[0], logits)

    def _logits(self, hidden: Tensor, inside: Tensor) -> Tensor:
        weight = self.attention(hidden).masked_fill(~inside[:, :, None], -torch.inf).softmax(1)
        return (weight * self.evidence(hidden)).sum(1)

    def _hidden(self, levels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [B, T, D] fp32 and where there is sound [B, T], T = ceil(F / stride)."""
        # Nothing is 0, which is also what convolutions see beyond the edges.
        heights = (levels / self.config.range_db + 1).clamp(min=0) * mask[:, None]
        image = heights[:, None].contiguous(memory_format=torch.channels_last)
        hidden = self.blocks(self.stem(image)).float().mean(2).transpose(1, 2)
        stride = 2 ** len(self.config.widths)
        inside = functional.max_pool1d(mask.float()[:, None], stride, ceil_mode=True)[:, 0] > 0
        return hidden, inside


def _everywhere(levels: Tensor) -> Tensor:
    """[1, F], True for every frame of [M, F]."""
    return torch.ones(1, levels.shape[-1], dtype=torch.bool, device=levels.device)
