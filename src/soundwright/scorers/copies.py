"""Near-copies: sounds in which a stretch of a reference recording comes back.

What is compared is the contrast of the level spectrogram: how far each cell stands above the mean
of its surroundings, in time and then over frequency, large differences compressed. What remains is
the fine structure of one recording: neither gain nor equalisation changes it, neither a common
spectrum (two rains) nor a slow common envelope (two waves) gives it away, and a lossy codec leaves
enough of it. The similarity of two sounds is the largest correlation of any stretch of one with any
place in the other, which makes it independent of time shifts; the references are also played slower
and faster, since a copy may be.

A bark resembles every bark, and a short sound resembles anything more easily than a long one. What
is judged is therefore by how many standard deviations a similarity exceeds those that the sound has
with the other references, and those that the reference has with recordings that cannot be its
copies, since they come from other groups (the folds of a data set). The mean of both is the
symmetric normalisation of speaker verification. The threshold is a quantile over the best matches
of real recordings with those of other groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

from soundwright.audio.mel import MelConfig
from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.scorers.levels import LevelConfig, Levels

COPY_MEL = MelConfig(
    n_fft=1280,
    win_length=1280,
    hop_length=640,
    n_mels=32,
    f_min=50.0,
    scale="htk",
    power=2,
    log="decibel",
    floor=1e-20,
)
"""32 bands at 16 kHz, 25 frames a second: no finer than what a codec of few bits keeps."""

SMALLEST = 1e-4
"""The least standard deviation: many similarities of one sound are 0 where it is nearly silent."""

SPEEDS = tuple(round(1.04**step, 4) for step in range(-8, 7))
"""0.73 to 1.27, so that no speed between is further than 2 % from one of these."""


class CopyConfig(Config):
    """How near-copies are sought."""

    levels: LevelConfig = LevelConfig(mel=COPY_MEL)
    range_db: Annotated[float, Field(gt=0)] = 50.0
    """Levels further than this below a sound's peak count as this far below."""
    beside_frames: Annotated[int, Field(ge=1)] = 12
    """The surroundings of a cell: so many frames before and after it, then ..."""
    beside_bands: Annotated[int, Field(ge=1)] = 7
    """... so many bands below and above it."""
    contrast_db: Annotated[float, Field(gt=0)] = 6.0
    """Contrasts hardly count for more than this: a few large ones would decide alone."""
    faint_db: Annotated[float, Field(ge=0)] = 0.5
    """Stretches whose contrast is not well above this resemble nothing."""
    speeds: Annotated[tuple[float, ...], Field(min_length=1)] = SPEEDS
    """At which the references are played, so much faster and higher."""
    patch_frames: Annotated[int, Field(ge=2)] = 50
    """Length of the stretches; shorter sounds are one stretch."""
    silence_frames: Annotated[int, Field(ge=1)] = 5
    """A sound ends by itself if this much silence follows; else the recording was cut there."""
    stride_frames: Annotated[int, Field(ge=1)] = 12
    """Frames from one stretch of a tested sound to the next. References are read at every frame."""
    false_alarms: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Accepted chance that a real sound of other origin than all references passes for a copy."""


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
    """The reference with which the similarity of a sound stands out most."""

    reference: str
    label: str
    similarity: float
    """In [-1, 1]."""
    score: float
    """By how many standard deviations the similarity stands out."""
    threshold: float
    """The score above which a sound is a near-copy."""

    @property
    def is_copy(self) -> bool:
        """Whether the sound is a near-copy."""
        return self.score > self.threshold


class CopyDetector:
    """Compares sounds with reference recordings.

    Args:
        references: Each label has to occur in at least two groups, and each recording needs three
            or more of other groups.
        sample_rate: Of all references.
        config: How copies are sought.

    Raises:
        UserError: No references, a label of one group only, too few recordings of other groups, or
            a silent recording.
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
        _check_groups(references)
        self.config = config
        self._levels = Levels(config.levels)
        self._references = tuple(references)
        self._patterns = [self._read_played(item, sample_rate) for item in references]
        similarity = self.similarity([item.waveform for item in references], sample_rate)
        groups = [item.group for item in references]
        strangers = torch.tensor([[row != column for column in groups] for row in groups])
        self._usual = _spread(similarity, strangers, 0)
        self.threshold = self._calibrate(similarity, strangers)

    def similarity(self, waveforms: Sequence[Tensor], sample_rate: int) -> Tensor:
        """Largest correlation of each sound with each reference, at any speed.

        Args:
            waveforms: [C, N] or [N] each.
            sample_rate: Of all waveforms.

        Returns:
            [G, R] in [-1, 1], R in the order of the references; 0 for digital silence.

        Raises:
            AudioError: A waveform without samples, or with some that are not finite.
        """
        result = torch.zeros(len(waveforms), len(self._references))
        tested: dict[int, Tensor] = {}
        for number, waveform in enumerate(waveforms):
            levels = self._read(waveform, sample_rate)
            if levels is not None:
                tested[number] = self._stretches(levels)
        if not tested:
            return result
        stretches, counts = torch.cat([*tested.values()]), [len(part) for part in tested.values()]
        for column, played in enumerate(self._patterns):
            places = torch.cat([self._places(levels) for levels in played])
            best = (stretches @ places.T).amax(1).split(counts)
            result[[*tested], column] = torch.stack([part.amax() for part in best])
        return result

    def find(self, waveforms: Sequence[Tensor], sample_rate: int) -> list[Match]:
        """The most suspicious reference of each sound; arguments as for `similarity`."""
        similarity = self.similarity(waveforms, sample_rate)
        own = _spread_without(similarity, torch.ones_like(similarity, dtype=torch.bool), 1)
        score = _stand_out(similarity, own, self._usual)
        matches = []
        for number, best in enumerate(score.argmax(1).tolist()):
            item = self._references[best]
            values = similarity[number, best].item(), score[number, best].item()
            matches.append(Match(item.id, item.label, *values, self.threshold))
        return matches

    def _calibrate(self, similarity: Tensor, strangers: Tensor) -> float:
        """The score that the best match of a real sound passes as rarely as is accepted.

        A recording is compared with those of other groups only, a tested sound with all: where it
        has more references to resemble, it passes that much more often.
        """
        spreads = [_spread_without(similarity, strangers, axis) for axis in (1, 0)]
        score = _stand_out(similarity, *spreads)
        best = score.masked_fill(~strangers, -torch.inf).amax(1)
        return best.quantile(1 - self.config.false_alarms * strangers.float().mean().item()).item()

    def _read(self, waveform: Tensor, sample_rate: int) -> Tensor | None:
        """Levels [M, F] from -range_db to 0, or None for digital silence."""
        levels = self._levels.read(waveform, sample_rate, trim=False)
        return None if levels is None else levels.clamp(min=-self.config.range_db)

    def _read_played(self, item: Reference, sample_rate: int) -> list[Tensor]:
        """Levels [M, F] of a recording at each speed."""
        played = []
        for speed in self.config.speeds:
            # What is read as if it had a higher rate is played faster.
            levels = self._read(item.waveform, round(sample_rate * speed))
            if levels is None:
                raise UserError(f"The recording {item.id!r} is silent.", change="Leave it out.")
            played.append(levels)
        return played

    def _stretches(self, levels: Tensor) -> Tensor:
        """Those of a tested sound; one shorter than a stretch stands early, mid and late in it."""
        lack = max(0, self.config.patch_frames - levels.shape[1])
        return torch.cat(
            [
                self._cut(levels, (before, lack - before), self.config.stride_frames)
                for before in sorted({0, lack // 2, lack})
            ]
        )

    def _places(self, levels: Tensor) -> Tensor:
        """Those of a reference, at every frame; they reach into silence beyond its ends.

        Where a recording was cut in the midst of its sound there is no silence to reach into: a
        made-up edge would resemble every other edge.
        """
        size, enough = self.config.patch_frames, self.config.silence_frames
        silent = levels.amax(0) == -self.config.range_db
        before, after = size * bool(silent[:enough].all()), size * bool(silent[-enough:].all())
        lack = max(0, size - levels.shape[1] - before - after)
        return self._cut(levels, (before + lack // 2, after + lack - lack // 2), 1)

    def _cut(self, levels: Tensor, margins: tuple[int, int], stride: int) -> Tensor:
        """[P, M * patch_frames]: stretches of contrast, of a norm just below 1 or far below."""
        contrast = self._contrast(pad(levels, margins, value=-self.config.range_db))
        windows = contrast.unfold(1, self.config.patch_frames, stride).movedim(1, 0).flatten(1)
        power = windows.square().mean(1, keepdim=True) + self.config.faint_db**2
        return windows / (windows.shape[1] * power).sqrt().clamp(min=1e-6)

    def _contrast(self, levels: Tensor) -> Tensor:
        """[M, F] dB in the midst of what is around, compressed."""
        contrast = levels - _mean_around(levels, self.config.beside_frames)
        contrast = contrast - _mean_around(contrast.T, self.config.beside_bands).T
        limit = self.config.contrast_db
        return limit * torch.tanh(contrast / limit)


Spread = tuple[Tensor, Tensor]
"""Means and standard deviations."""


def _spread(values: Tensor, counted: Tensor, axis: int) -> Spread:
    """Over the entries of [G, R] that count, with that axis kept at length 1."""
    number = counted.sum(axis, keepdim=True)
    mean = (values * counted).sum(axis, keepdim=True) / number
    square = (values.square() * counted).sum(axis, keepdim=True) / number
    return mean, (square - mean.square()).clamp(min=SMALLEST**2).sqrt()


def _spread_without(values: Tensor, counted: Tensor, axis: int) -> Spread:
    """[G, R]: for each entry, over those others along the axis that count.

    A copy would else be measured by a spread that it has widened itself.
    """
    kept = values * counted
    number = counted.sum(axis, keepdim=True) - counted.long()
    mean = (kept.sum(axis, keepdim=True) - kept) / number
    square = (kept.square().sum(axis, keepdim=True) - kept.square()) / number
    return mean, (square - mean.square()).clamp(min=SMALLEST**2).sqrt()


def _stand_out(similarity: Tensor, of_sound: Spread, of_reference: Spread) -> Tensor:
    """Mean of the standard scores within the sound's and within the reference's similarities."""
    scores = [(similarity - mean) / deviation for mean, deviation in (of_sound, of_reference)]
    return (scores[0] + scores[1]) / 2


def _check_groups(references: Sequence[Reference]) -> None:
    for label in sorted({item.label for item in references}):
        if len({item.group for item in references if item.label == label}) == 1:
            raise UserError(
                f"All recordings of {label!r} are of one group.",
                expected="two groups or more, whose pairs cannot be copies",
            )
    for group in sorted({item.group for item in references}):
        others = sum(item.group != group for item in references)
        if others < 3:
            raise UserError(
                f"There are {others} recordings of other groups than {group!r}.",
                expected="3 or more, from which it is read what similarity is usual",
            )


def _mean_around(values: Tensor, beside: int) -> Tensor:
    """Means [A, B] over each place of the last axis and `beside` ones on both sides, if any."""
    return avg_pool1d(values[None], 2 * beside + 1, 1, beside, count_include_pad=False)[0]
