"""The event detector: what is heard when, and how many times.

Trained on scenes whose events are known to the sample. It measures how well sounds obey their
prompts; like the judge it must never be a reward, a filter or what selects a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from soundwright.core.config import Config
from soundwright.core.errors import UserError, nearest
from soundwright.core.records import Event
from soundwright.scorers.events import EventRule, drop_twins, find_events, find_peaks
from soundwright.scorers.levels import LevelConfig, Levels
from soundwright.scorers.modes import evaluating
from soundwright.scorers.trunk import Trunk, TrunkConfig
from soundwright.scorers.weights import FolderFormat

FORMAT = FolderFormat("soundwright-detector", 1, "detector.json", "a detector")


def detector_folder() -> Path:
    """Where the detector that ships stands."""
    return Path(__file__).parent / "detector1"


class DetectorConfig(Config):
    """Labels, front end and size of a `Detector`."""

    name: str = "detector-1"
    """Stable name with version, under which figures are reported."""
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    counted: tuple[str, ...] = ()
    """Those of the labels whose events are single happenings, each with an onset of its own; the
    others are textures that go on."""
    levels: LevelConfig = LevelConfig()
    trunk: TrunkConfig = TrunkConfig()
    rule: EventRule = EventRule()

    @model_validator(mode="after")
    def _counts_what_it_knows(self) -> Self:
        for label in self.counted:
            if label not in self.labels:
                raise ValueError(f"{label!r} is counted and no label")
        return self


class Detector(nn.Module):
    """Convolutions over a level spectrogram, then over time; two heads for every label and frame.

    One head tells whether the label sounds, the other whether an event of it begins.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.levels = Levels(config.levels)
        self.trunk = Trunk(config.trunk, config.levels.mel.n_mels)
        # One step of the trunk tells of each of its frames.
        self._stride = prod(config.trunk.strides)
        count = self._stride * len(config.labels)
        self.activity = nn.Conv1d(config.trunk.width, count, 1)
        self.onset = nn.Conv1d(config.trunk.width, count, 1)
        for head in (self.activity, self.onset):
            nn.init.constant_(head.bias, -3.0)  # pyright: ignore[reportArgumentType]

    @property
    def name(self) -> str:
        """Stable name with version."""
        return self.config.name

    @property
    def labels(self) -> tuple[str, ...]:
        """What can be detected, in the order of the logits."""
        return self.config.labels

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        mel = self.config.levels.mel
        return mel.sample_rate / mel.hop_length

    def forward(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of a batch.

        Args:
            levels: [B, M, F] dB relative to each clip's peak, as `Levels` gives them untrimmed.

        Returns:
            Of activity and of onsets, each [B, L, F] fp32.
        """
        hidden = self.trunk(levels)
        frames = levels.shape[2]
        return self._unfold(self.activity(hidden), frames), self._unfold(self.onset(hidden), frames)

    @torch.no_grad()
    def probabilities(self, waveform: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
        """How likely every label sounds, and begins, in every frame of one sound.

        Args:
            waveform: [C, N] or [N], of any length.
            sample_rate: Of the waveform.

        Returns:
            Activity and onsets, each [L, F] fp32 in [0, 1]; frame f is about second
            f / `frame_rate`. Zeros for digital silence.

        Raises:
            AudioError: A waveform without samples, or with some that are not finite.
        """
        levels = self.levels.read(waveform, sample_rate, trim=False)
        if levels is None:
            seconds = waveform.shape[-1] / sample_rate
            empty = torch.zeros(len(self.labels), 1 + int(seconds * self.frame_rate))
            return empty, empty.clone()
        with evaluating(self):
            activity, onset = self(levels[None])
        return activity[0].sigmoid().cpu(), onset[0].sigmoid().cpu()

    @property
    def width(self) -> int:
        """D of the states."""
        return self.config.trunk.width + 2 * len(self.labels)

    @torch.no_grad()
    def states(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """[T, D] fp32: the trunk's hidden states of one sound, and what they say of every label.

        Behind the hidden states stand how likely each label sounds, and begins, at most within
        the step. None of them, T = 0, for digital silence.

        Raises:
            AudioError: A waveform without samples, or with some that are not finite.
        """
        levels = self.levels.read(waveform, sample_rate, trim=False)
        if levels is None:
            return torch.zeros(0, self.width)
        with evaluating(self):
            hidden = self.trunk(levels[None])
            said = [self._loudest(head(hidden)) for head in (self.activity, self.onset)]
        return torch.cat([hidden.float(), *said], 1)[0].T.cpu()

    def detect(self, waveforms: Sequence[Tensor], sample_rate: int) -> list[list[Event]]:
        """The events of each sound, sorted by onset.

        What is found depends neither on a sound's loudness nor on the other sounds.

        Args:
            waveforms: [C, N] or [N] each, of any length.
            sample_rate: Of all waveforms.

        Raises:
            AudioError: A waveform without samples, or with some that are not finite.
        """
        return [self._events(waveform, sample_rate) for waveform in waveforms]

    def count_onsets(self, waveforms: Sequence[Tensor], sample_rate: int, label: str) -> list[int]:
        """How many events of one label begin in each sound, whatever else they sound like.

        Args:
            waveforms: As for `detect`.
            sample_rate: Of all waveforms.
            label: One of `labels`.

        Raises:
            UserError: The label is unknown.
            AudioError: As for `detect`.
        """
        if label not in self.labels:
            raise UserError(
                f"{self.name} knows no {label!r}.", expected=nearest(label, self.labels)
            )
        row = self.labels.index(label)
        rule = self.config.rule
        return [
            len(
                find_peaks(self.probabilities(waveform, sample_rate)[1][row], rule, self.frame_rate)
            )
            for waveform in waveforms
        ]

    def save(self, folder: Path, *, notes: dict[str, Any] | None = None) -> None:
        """Write weights in fp16 and a description to a new folder; as `Tagger.save`."""
        FORMAT.write(folder, self, self.config, notes)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; the weights become fp32 and the detector evaluates.

        Raises:
            CheckpointError: No detector, one of a newer format, or damaged weights.
            UserError: The description is missing or is not JSON.
        """
        return FORMAT.read(
            folder, lambda values: cls(DetectorConfig.read(values, origin=str(folder)))
        )

    def _events(self, waveform: Tensor, sample_rate: int) -> list[Event]:
        activity, onset = self.probabilities(waveform, sample_rate)
        end = waveform.shape[-1] / sample_rate
        onsets = {label: onset[self.labels.index(label)] for label in self.config.counted}
        own = drop_twins(onsets, self.config.rule, self.frame_rate)
        events = [
            event
            for row, label in enumerate(self.labels)
            if label in own or label not in onsets
            for event in find_events(
                label,
                activity[row],
                onsets.get(label),
                self.config.rule,
                self.frame_rate,
                end,
            )
        ]
        return sorted(events, key=lambda event: (event.onset, event.label))

    def _loudest(self, logits: Tensor) -> Tensor:
        """[B, stride * L, T] to probabilities [B, L, T], the highest of each step's frames."""
        apart = logits.float().unflatten(1, (len(self.labels), self._stride))
        return apart.amax(2).sigmoid()

    def _unfold(self, logits: Tensor, frames: int) -> Tensor:
        """[B, stride * L, T] to [B, L, F]: the frames of a step one after another."""
        apart = logits.float().unflatten(1, (len(self.labels), self._stride))
        return apart.transpose(2, 3).flatten(2)[:, :, :frames]
