"""The tagger: a small convolutional network that names what is heard.

It is the project's judge: it measures generated sounds and has no other use. It must never be a
reward, a filter or what selects a checkpoint, or its figures would mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from soundwright.core.config import Config
from soundwright.core.errors import CheckpointError
from soundwright.core.files import folder_atomic, hash_bytes, read_json, write_bytes, write_json
from soundwright.scorers.levels import LevelConfig, Levels

FORMAT = "soundwright-tagger"
FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
DESCRIPTION_FILE = "tagger.json"


def judge_folder() -> Path:
    """Where the judge that ships stands: ten classes of ESC-10, never trained on fold 4."""
    return Path(__file__).parent / "judge"


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
        blocks = [_Block(widths[0], widths[0], stride=1)]
        blocks += [_Block(below, above, stride=2) for below, above in pairwise(widths)]
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
        hidden, inside = self._hidden(levels, mask)
        weight = self.attention(hidden).masked_fill(~inside[:, :, None], -torch.inf).softmax(1)
        return (weight * self.evidence(hidden)).sum(1)

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
        return torch.stack([self._embedding(waveform, sample_rate) for waveform in waveforms])

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
        tensors = {
            name: value.half().contiguous() if value.is_floating_point() else value
            for name, value in self.state_dict().items()
        }
        weights = save(tensors)
        description = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "config": self.config.plain(),
            "weights_sha256": hash_bytes(weights),
            "notes": notes or {},
        }
        with folder_atomic(folder) as building:
            write_bytes(building / WEIGHTS_FILE, weights)
            write_json(building / DESCRIPTION_FILE, description)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; the weights become fp32 and the tagger is in evaluation mode.

        Raises:
            CheckpointError: No tagger, one of a newer format, or damaged weights.
            UserError: The description is missing or is not JSON.
        """
        description = read_json(folder / DESCRIPTION_FILE)
        _check_format(description, folder)
        try:
            weights = (folder / WEIGHTS_FILE).read_bytes()
        except OSError as error:
            raise CheckpointError(f"{folder / WEIGHTS_FILE} cannot be read.") from error
        if hash_bytes(weights) != description["weights_sha256"]:
            raise CheckpointError(
                f"{folder / WEIGHTS_FILE} is damaged: its hash is not the one that was saved.",
                change="Copy or download the folder again.",
            )
        tagger = cls(TaggerConfig.read(description["config"], origin=str(folder)))
        try:
            tagger.load_state_dict(load(weights))
        except (RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                f"The weights in {folder} do not fit the configuration beside them."
            ) from error
        return tagger.eval()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A block in which the tagger is in evaluation mode; afterwards it is as it was."""
        training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(training)

    def _probabilities(self, waveform: Tensor, sample_rate: int) -> list[float]:
        levels = self.levels.read(waveform, sample_rate)
        if levels is None:
            return [1 / len(self.labels)] * len(self.labels)
        with self.evaluating():
            return self(levels[None], _everywhere(levels))[0].softmax(-1).tolist()

    def _embedding(self, waveform: Tensor, sample_rate: int) -> Tensor:
        levels = self.levels.read(waveform, sample_rate)
        if levels is None:
            return torch.zeros(self.config.widths[-1])
        with self.evaluating():
            return self._hidden(levels[None], _everywhere(levels))[0].mean(1)[0].cpu()

    def _hidden(self, levels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [B, T, D] fp32 and where there is sound [B, T], T = ceil(F / stride)."""
        # Nothing is 0, which is also what convolutions see beyond the edges.
        heights = (levels / self.config.range_db + 1).clamp(min=0) * mask[:, None]
        image = heights[:, None].contiguous(memory_format=torch.channels_last)
        hidden = self.blocks(self.stem(image)).float().mean(2).transpose(1, 2)
        stride = 2 ** len(self.config.widths)
        inside = functional.max_pool1d(mask.float()[:, None], stride, ceil_mode=True)[:, 0] > 0
        return hidden, inside


class _Block(nn.Module):
    """Two convolutions and a skip connection; a stride halves both axes, rounding up."""

    def __init__(self, below: int, above: int, *, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(below, above, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(above),
            nn.ReLU(),
            nn.Conv2d(above, above, 3, padding=1, bias=False),
            nn.BatchNorm2d(above),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or below != above:
            self.skip = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(below, above, 1, bias=False),
                nn.BatchNorm2d(above),
            )

    def forward(self, image: Tensor) -> Tensor:
        return functional.relu(self.main(image) + self.skip(image))


def _everywhere(levels: Tensor) -> Tensor:
    """[1, F], True for every frame of [M, F]."""
    return torch.ones(1, levels.shape[-1], dtype=torch.bool, device=levels.device)


def _check_format(description: Any, folder: Path) -> None:
    wanted = {"format", "version", "config", "weights_sha256"}
    if not isinstance(description, dict) or not wanted <= description.keys():
        raise CheckpointError(f"{folder / DESCRIPTION_FILE} does not describe a tagger.")
    if description["format"] != FORMAT:
        raise CheckpointError(
            f"{folder} holds {description['format']!r}.", expected=f"a folder of {FORMAT}"
        )
    if description["version"] != FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} has format version {description['version']!r}.",
            expected=f"version {FORMAT_VERSION}",
            change="Update soundwright.",
        )
