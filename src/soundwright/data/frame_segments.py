"""Batches of crops of stored frames, tokens or latents, with captions.

Draws, crops, shares and texts are the same for both, whatever is stored; see `segments.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import numpy as np
from pydantic import Field

from soundwright.core.errors import UserError
from soundwright.core.protocols import LatentBatch, TokenBatch
from soundwright.core.records import Clip
from soundwright.core.seeding import numpy_stream
from soundwright.data.ordering import DrawOrder, bucket_by_length
from soundwright.data.segments import (
    SegmentConfig,
    Share,
    crop_start,
    share_batches,
    stack_crops,
)
from soundwright.data.selection import CaptionChoice, choose_caption
from soundwright.data.store import FrameStore, LatentStore, TokenStore

ClipText = Callable[[Clip, np.random.Generator], str]
"""The text of a clip for one draw."""
Store = TypeVar("Store", bound=FrameStore[Any])


class FrameSegmentConfig(SegmentConfig):
    """What a batch of tokens or latents holds."""

    duration: float | None = Field(default=10.0, gt=0)
    captions: CaptionChoice = CaptionChoice()
    bucket: int = Field(default=1, ge=1)
    """So many batches are drawn together and dealt by length, so that a batch needs little padding
    and is no longer than its longest clip; 1 leaves the draws as they come. RR then compares sounds
    of like length only."""


@dataclass(frozen=True)
class _Draw:
    """What one item of a batch is."""

    number: int
    """Of the draw, over all ranks and batches."""
    clip: Clip
    start: int
    """First frame of the crop."""
    stop: int
    text: str


class FrameSegments(Generic[Store]):
    """Stored frames cut to one length, with captions: what segments of each kind share.

    Args:
        store: Where the frames are.
        config: What a batch holds.
        seed: Of all streams.
        clips: The clips to draw from, all in `store`; None draws from all of it.
        rank: Number of this process.
        ranks: Number of processes.
        weights: Of the clips, see `DrawOrder`.
        text: Makes the text of a draw; None chooses a caption by `config.captions`.
    """

    def __init__(
        self,
        store: Store,
        config: FrameSegmentConfig,
        *,
        seed: int,
        clips: Sequence[Clip] | None = None,
        rank: int = 0,
        ranks: int = 1,
        weights: Sequence[float] | None = None,
        text: ClipText | None = None,
    ) -> None:
        self.store, self.config, self.seed, self.text = store, config, seed, text
        self.clips = tuple(store.manifest.clips if clips is None else clips)
        missing = [clip.id for clip in self.clips if clip.id not in store]
        if missing:
            raise UserError(
                f"{len(missing)} clips, such as {missing[0]}, have no {store.info.kind}s in "
                f"{store.folder}.",
                change="Tokenize the manifest that they belong to.",
            )
        self.share = Share(config.batch, rank, ranks)
        self.order = DrawOrder(len(self.clips), seed, weights=weights, shuffle=config.shuffle)

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

    def _draw(self, index: int) -> tuple[list[_Draw], int]:
        """This rank's share of batch `index`, and the length of its items in frames."""
        wanted = self.config.duration
        length = None if wanted is None else round(wanted * self.store.info.frame_rate)
        batch = self._positions(index, length)
        draws: list[_Draw] = []
        for position in self.share.of(batch):
            clip = self.clips[self.order[position]]
            start, stop = self._crop(clip, length, position)
            draws.append(_Draw(position, clip, start, stop, self._text(clip, position)))
        if length is None or self.config.bucket > 1:
            # Over the batches of all ranks, so that their shapes are the same.
            length = max(self._frames(position, length) for position in batch)
        return draws, length

    def _positions(self, index: int, length: int | None) -> Sequence[int]:
        """The draws of batch `index`, over all ranks."""
        size, bucket = self.config.batch, self.config.bucket
        if bucket == 1:
            return range(index * size, (index + 1) * size)
        window, number = divmod(index, bucket)
        first = window * bucket * size
        lengths = [self._frames(first + place, length) for place in range(bucket * size)]
        stream = numpy_stream(self.seed, "bucket", window)
        return [first + place for place in bucket_by_length(lengths, size, stream)[number]]

    def _frames(self, position: int, length: int | None) -> int:
        """At most so many frames has the crop of a draw."""
        frames = self.store.frames(self.clips[self.order[position]].id)
        return frames if length is None else min(frames, length)

    def _crop(self, clip: Clip, length: int | None, position: int) -> tuple[int, int]:
        """First frame of a draw's crop, and the one behind its last."""
        start, total = 0, self.store.frames(clip.id)
        if length is None:
            return 0, total
        if self.config.crop == "random":
            start = crop_start(total, length, self.config.min_ratio, self.seed, position)
        return start, min(start + length, total)

    def _text(self, clip: Clip, position: int) -> str:
        stream = numpy_stream(self.seed, "caption", position)
        if self.text is not None:
            return self.text(clip, stream)
        return choose_caption(clip, self.config.captions, stream)


class TokenSegments(FrameSegments[TokenStore]):
    """Stored codec tokens cut to one length, with captions: `Batches[TokenBatch]`."""

    def __getitem__(self, index: int) -> TokenBatch:
        """This rank's share of batch `index`."""
        draws, length = self._draw(index)
        crops = [self.store.read(draw.clip.id, draw.start, draw.stop) for draw in draws]
        tokens, mask = stack_crops(crops, length)
        texts = tuple(draw.text for draw in draws)
        return TokenBatch(tokens, mask, texts, tuple(draw.clip.id for draw in draws))


class LatentSegments(FrameSegments[LatentStore]):
    """Stored latents cut to one length, with captions: `Batches[LatentBatch]`.

    Beyond a clip's end stand the latents of silence.
    """

    def __getitem__(self, index: int) -> LatentBatch:
        """This rank's share of batch `index`."""
        draws, length = self._draw(index)
        crops = [self.store.read(draw.clip.id, draw.start, draw.stop) for draw in draws]
        silent_mean, silent_deviation = self.store.silence
        mean, mask = stack_crops([mean for mean, _ in crops], length, silent_mean)
        deviation, _ = stack_crops([spread for _, spread in crops], length, silent_deviation)
        return LatentBatch(
            mean,
            deviation,
            mask,
            tuple(draw.text for draw in draws),
            tuple(draw.clip.id for draw in draws),
            tuple(draw.number for draw in draws),
            tuple(draw.clip.source.dataset for draw in draws),
        )
