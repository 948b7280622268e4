"""Near-copies: sounds in which a stretch of a reference recording comes back.

Two stretches are compared by the correlation of their level spectrograms after the mean of
every band and the mean of every frame have been taken away. What remains is the fine structure
of one recording: neither gain nor equalisation changes it, and neither a common spectrum (two
rains) nor a common envelope (two single barks) gives it away. The similarity of two sounds is
the largest correlation of any telling stretch of one with any place in the other, which makes
it independent of time shifts.

Recordings of one class resemble each other by nature, those of a ticking clock more than those
of rain. What counts as a copy of a recording is therefore read, class by class, from pairs of
real recordings that cannot be copies, since they come from different groups (the folds of a data
set): a near-copy is closer to a recording than any of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.scorers.levels import LevelConfig, Levels, ends


class CopyConfig(Config):
    """How near-copies are sought."""

    levels: LevelConfig = LevelConfig()
    range_db: Annotated[float, Field(gt=0)] = 35.0
    """Levels further than this below a sound's peak count as this far below."""
    patch_frames: Annotated[int, Field(ge=2)] = 100
    """Length of the stretches; shorter sounds are one stretch."""
    silence_frames: Annotated[int, Field(ge=1)] = 10
    """A sound ends by itself if this much silence follows; else the recording was cut there."""
    stride_frames: Annotated[int, Field(ge=1)] = 25
    """Frames from one stretch of a tested sound to the next. References are read at every frame."""
    telling: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Stretches with less structure than this part of the sound's richest are not compared."""
    quantile: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the similarities of real pairs: what lies above is a near-copy. 1 says: more alike than
    any two recordings of different origin."""
    least: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Below this nothing is a copy, however different the real pairs are: two sounds whose fine
    structure correlates by 0.25 share a sixteenth of it."""


@dataclass(frozen=True)
class Reference:
    """A recording that may have been copied."""

    id: str
    waveform: Tensor
    """[C, N] or [N] float."""
    label: str
    group: str
    """Recordings of different groups are never copies of one another."""


@dataclass(frozen=True)
class Match:
    """The reference whose threshold a sound passes by most, or comes closest to."""

    reference: str
    label: str
    similarity: float
    """In [-1, 1]."""
    threshold: float
    """Of the reference's label."""

    @property
    def is_copy(self) -> bool:
        """Whether the sound is a near-copy."""
        return self.similarity > self.threshold


@dataclass(frozen=True)
class _Pattern:
    """The levels [M, F] of a sound from its begin to its end."""

    levels: Tensor
    begins: bool
    """Whether there is silence before it, so that its begin is the sound's own."""
    ends: bool
    """Whether there is silence after it."""


class CopyDetector:
    """Compares sounds with reference recordings.

    Args:
        references: Each label has to occur in at least two groups.
        sample_rate: Of all references.
        config: How copies are sought.

    Raises:
        UserError: No references, a label of one group only, or a silent recording.
        AudioError: A recording without samples, or with some that are not finite.
    """

    def __init__(
        self,
        references: Sequence[Reference],
        sample_rate: int,
        config: CopyConfig = CopyConfig(),  # noqa: B008 (frozen)
    ) -> None:
        if not references:
            raise UserError("There are no recordings to compare with.")
        self.config = config
        self._levels = Levels(config.levels)
        self._references = tuple(references)
        patterns = [self._read(item.waveform, sample_rate) for item in references]
        self._patterns: list[_Pattern] = []
        for item, pattern in zip(references, patterns, strict=True):
            if pattern is None:
                raise UserError(f"The recording {item.id!r} is silent.", change="Leave it out.")
            self._patterns.append(pattern)
        self.thresholds = self._calibrate()

    def similarity(self, waveforms: Sequence[Tensor], sample_rate: int) -> Tensor:
        """Largest correlation of each sound with each reference.

        Args:
            waveforms: [C, N] or [N] each.
            sample_rate: Of all waveforms.

        Returns:
            [G, R] in [-1, 1], R in the order of the references; 0 for digital silence.

        Raises:
            AudioError: A waveform without samples, or with some that are not finite.
        """
        return self._compare([self._read(waveform, sample_rate) for waveform in waveforms])

    def find(self, waveforms: Sequence[Tensor], sample_rate: int) -> list[Match]:
        """The most suspicious reference of each sound; arguments as for `similarity`."""
        similarity = self.similarity(waveforms, sample_rate)
        limits = torch.tensor([self.thresholds[item.label] for item in self._references])
        matches = []
        for row, best in zip(similarity, (similarity - limits).argmax(1).tolist(), strict=True):
            item = self._references[best]
            matches.append(
                Match(item.id, item.label, row[best].item(), self.thresholds[item.label])
            )
        return matches

    def _read(self, waveform: Tensor, sample_rate: int) -> _Pattern | None:
        levels = self._levels.read(waveform, sample_rate, trim=False)
        if levels is None:
            return None
        levels = levels.clamp(min=-self.config.range_db)
        first, last = ends(levels.amax(0) > -self.config.range_db)
        enough = self.config.silence_frames
        return _Pattern(
            levels[:, first : last + 1], first >= enough, levels.shape[1] - 1 - last >= enough
        )

    def _calibrate(self) -> dict[str, float]:
        """The quantile over same-label pairs, or over all pairs with the label if it is higher."""
        similarity = self._compare(list(self._patterns))
        groups = [item.group for item in self._references]
        labels = [item.label for item in self._references]
        strangers = torch.tensor([[row != column for column in groups] for row in groups])
        alike = torch.tensor([[row == column for column in labels] for row in labels])
        thresholds = {}
        for label in sorted(set(labels)):
            columns = strangers & torch.tensor([column == label for column in labels])
            kin = similarity[columns & alike]
            if not kin.numel():
                raise UserError(
                    f"All recordings of {label!r} are of one group.",
                    expected="two groups or more, whose pairs cannot be copies",
                )
            limits = [pairs.quantile(self.config.quantile) for pairs in (kin, similarity[columns])]
            thresholds[label] = max(self.config.least, *(limit.item() for limit in limits))
        return thresholds

    def _compare(self, patterns: Sequence[_Pattern | None]) -> Tensor:
        """[G, R] similarities; one product of matrices a reference."""
        result = torch.zeros(len(patterns), len(self._patterns))
        tested = [
            (number, self._stretches(pattern))
            for number, pattern in enumerate(patterns)
            if pattern is not None
        ]
        if not tested:
            return result
        patches = torch.cat([patch for _, patch in tested])
        owners = torch.cat([torch.full((len(patch),), number) for number, patch in tested])
        lowest = torch.full((len(patterns),), -1.0)
        heard = torch.tensor([number for number, _ in tested])
        for column, pattern in enumerate(self._patterns):
            best = (patches @ self._places(pattern).T).amax(1)
            of_sound = lowest.scatter_reduce(0, owners, best, "amax")
            result[heard, column] = of_sound[heard]
        return result

    def _stretches(self, pattern: _Pattern) -> Tensor:
        """Those of a tested sound; one shorter than a stretch stands early, mid and late in it."""
        lack = max(0, self.config.patch_frames - pattern.levels.shape[1])
        return torch.cat(
            [
                self._cut(pattern.levels, (before, lack - before), self.config.stride_frames)
                for before in sorted({0, lack // 2, lack})
            ]
        )

    def _places(self, pattern: _Pattern) -> Tensor:
        """Those of a reference, at every frame; they reach into silence beyond its ends.

        Where a recording was cut in the midst of its sound there is no silence to reach into: a
        made-up edge would resemble every other edge.
        """
        size = self.config.patch_frames
        before, after = size * pattern.begins, size * pattern.ends
        lack = max(0, size - pattern.levels.shape[1] - before - after)
        return self._cut(pattern.levels, (before + lack // 2, after + lack - lack // 2), 1)

    def _cut(self, levels: Tensor, margins: tuple[int, int], stride: int) -> Tensor:
        """[P, M * patch_frames]: centred stretches of unit norm that have enough structure."""
        levels = pad(levels, margins, value=-self.config.range_db)
        windows = levels.unfold(1, self.config.patch_frames, stride).movedim(1, 0)
        windows = windows - windows.mean(2, keepdim=True)
        windows = (windows - windows.mean(1, keepdim=True)).flatten(1)
        norms = windows.norm(dim=1)
        kept = norms >= self.config.telling * norms.amax()
        return windows[kept] / norms[kept, None].clamp(min=1e-6)
