"""Batches of crops: waveforms for codecs; `frame_segments.py` has those of tokens and latents.

A batch is a pure function of (seed, index, rank, ranks). Draw number p = index * batch + place is
the same whatever the number of ranks, and each rank takes its share of the places. What a draw
needs to choose (crop, caption, augmentation) comes from streams named by p.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from soundwright.core.config import Config
from soundwright.core.errors import AudioError, UserError
from soundwright.core.protocols import AudioBatch
from soundwright.core.records import Clip
from soundwright.core.seeding import numpy_stream, torch_stream
from soundwright.data.bad_clips import BadClips
from soundwright.data.manifest import Manifest, read_clip
from soundwright.data.ordering import DrawOrder

Transform = Callable[[Tensor, torch.Generator], Tensor]
"""Augments one item [C, N], drawing only from the generator; keeps the shape."""


class SegmentConfig(Config):
    """What a batch holds."""

    batch: int = Field(default=16, ge=1)
    """Items over all ranks."""
    duration: float | None = Field(default=1.0, gt=0)
    """Length of a segment in seconds; None takes clips whole."""
    crop: Literal["random", "start"] = "random"
    """Where a segment is cut from a longer clip."""
    min_ratio: float = Field(default=1.0, gt=0, le=1)
    """Least part of a segment that lies within a clip that is long enough. Below 1, a crop may
    run over the clip's end, as far as the mask says (AudioGen 1.0, MusicGen 0.8)."""
    shuffle: bool = True
    """False goes through the clips in the manifest's order, for validation."""
    memory_mb: float = Field(default=0.0, ge=0)
    """Keep decoded clips in memory where the whole corpus fits into this many megabytes."""
    max_bad_rate: float = Field(default=0.05, ge=0, le=1)
    """Bad files, as a part of all clips, above which the work stops; one is always borne, unless
    this is 0."""


@dataclass(frozen=True)
class Share:
    """Which part of each batch this process takes.

    Raises:
        UserError: The batch cannot be divided by the number of ranks.
    """

    batch: int
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.ranks, f"rank {self.rank} of {self.ranks}"
        if self.batch % self.ranks:
            below = self.batch // self.ranks * self.ranks
            sizes = [str(size) for size in (below, below + self.ranks) if size]
            fitting = max(ranks for ranks in range(1, self.ranks) if self.batch % ranks == 0)
            raise UserError(
                f"A batch of {self.batch} cannot be divided over {self.ranks} ranks.",
                expected=f"a multiple of {self.ranks}",
                change=f"Set segments.batch to {' or '.join(sizes)}, or start {fitting} of them.",
            )

    def positions(self, index: int) -> Sequence[int]:
        """The draws of this rank in batch `index`."""
        first = index * self.batch
        return self.of(range(first, first + self.batch))

    def of(self, batch: Sequence[int]) -> Sequence[int]:
        """This rank's part of a whole batch."""
        size = self.batch // self.ranks
        return batch[self.rank * size : (self.rank + 1) * size]


class AudioSegments:
    """Waveforms cut to one length: `Batches[AudioBatch]`.

    A clip shorter than the segment is masked beyond its end. A bad file is named in the log,
    counted in `bad`, and replaced by the next clip of the same shuffled order.

    Args:
        manifest: The clips to draw from; see `select_clips`.
        config: What a batch holds.
        sample_rate: Rate of the waveforms, usually the codec's.
        channels: C, usually the codec's.
        seed: Of all streams.
        rank: Number of this process.
        ranks: Number of processes.
        weights: Of the clips, see `DrawOrder`.
        transform: Waveform augmentation of each item.
    """

    def __init__(
        self,
        manifest: Manifest,
        config: SegmentConfig,
        *,
        sample_rate: int,
        channels: int = 1,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        weights: Sequence[float] | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.manifest, self.config, self.seed = manifest, config, seed
        self.sample_rate, self.channels, self.transform = sample_rate, channels, transform
        self.share = Share(config.batch, rank, ranks)
        self.order = DrawOrder(len(manifest.clips), seed, weights=weights, shuffle=config.shuffle)
        self.bad = BadClips(len(manifest.clips), config.max_bad_rate)
        seconds = sum(clip.duration for clip in manifest.clips)
        self._keeps = seconds * sample_rate * channels * 4e-6 <= config.memory_mb
        self._kept: dict[str, Tensor] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_kept": {}}

    def for_rank(self, rank: int, ranks: int) -> Self:
        """The same batches, of which one of `ranks` processes takes its share.

        Raises:
            UserError: A batch cannot be divided by the number of ranks.
        """
        return share_batches(self, rank, ranks)

    @property
    def per_epoch(self) -> int:
        """Batches in which every clip has been drawn once."""
        return -(-self.order.count // self.config.batch)

    def __getitem__(self, index: int) -> AudioBatch:
        """This rank's share of batch `index`.

        Raises:
            UserError: More files are bad than `max_bad_rate` allows.
        """
        drawn = [self._draw(position) for position in self.share.positions(index)]
        length = (
            max(samples.shape[1] for _, samples in drawn)
            if self.config.duration is None
            else round(self.config.duration * self.sample_rate)
        )
        waveform, mask = stack_crops([samples for _, samples in drawn], length)
        return AudioBatch(waveform, mask, tuple(clip.id for clip, _ in drawn))

    def _draw(self, position: int) -> tuple[Clip, Tensor]:
        for number in self.order.candidates(position):
            clip = self.manifest.clips[number]
            if clip.id in self.bad:
                continue
            try:
                samples = self._read(clip, position)
            except AudioError as error:
                self.bad.add(clip, error)
                continue
            return clip, samples
        raise UserError("None of the clips can be read.", change="Run `soundwright data verify`.")

    def _read(self, clip: Clip, position: int) -> Tensor:
        total = round(clip.duration * clip.sample_rate)
        wanted, start = self.config.duration, 0
        if wanted is not None and self.config.crop == "random":
            length = round(wanted * clip.sample_rate)
            start = crop_start(total, length, self.config.min_ratio, self.seed, position)
        samples = self._samples(clip, start / clip.sample_rate, wanted)
        if self.transform is None:
            return samples
        stream = torch_stream(self.seed, "transform", position)
        changed = self.transform(samples, stream)
        assert changed.shape == samples.shape, "a transform keeps the shape"
        return changed

    def _samples(self, clip: Clip, start: float, duration: float | None) -> Tensor:
        """[C, N] of a part of a clip, from the file or from memory."""
        rate, channels = self.sample_rate, self.channels
        if not self._keeps:
            return read_clip(
                self.manifest,
                clip,
                start=start,
                duration=duration,
                sample_rate=rate,
                channels=channels,
            ).samples
        if clip.id not in self._kept:
            whole = read_clip(self.manifest, clip, sample_rate=rate, channels=channels)
            self._kept[clip.id] = whole.samples
        first = round(start * rate)
        last = None if duration is None else first + round(duration * rate)
        return self._kept[clip.id][:, first:last].clone()


def share_batches(batches: Any, rank: int, ranks: int) -> Any:
    """A copy of segments with another share."""
    shared = copy.copy(batches)
    shared.share = Share(batches.config.batch, rank, ranks)
    return shared


def crop_start(total: int, length: int, min_ratio: float, seed: int, position: int) -> int:
    """A uniform start for a crop of `length` units, `min_ratio` of which lie before the end."""
    last = total - int(np.ceil(length * min_ratio))
    return int(numpy_stream(seed, "crop", position).integers(0, last + 1)) if last > 0 else 0


def stack_crops(
    crops: Sequence[Tensor], length: int, beyond: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """[C, n, ...] each to [B, C, length, ...], and the mask [B, length] of what lies in a crop.

    Behind a crop's end stands `beyond` [C, 1, ...], or zeros.
    """
    first = crops[0]
    stacked = first.new_zeros(len(crops), first.shape[0], length, *first.shape[2:])
    if beyond is not None:
        stacked += beyond
    mask = torch.zeros(len(crops), length, dtype=torch.bool)
    for number, crop in enumerate(crops):
        valid = min(crop.shape[1], length)
        stacked[number, :, :valid] = crop[:, :valid]
        mask[number, :valid] = True
    return stacked, mask
