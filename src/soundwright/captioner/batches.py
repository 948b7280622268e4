"""Batches of heard sounds with captions and what else is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field as Bound

from soundwright.captioner.heard import Heard, Memory, join_sounds
from soundwright.captioner.metadata import Field, read_metadata
from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.records import Clip
from soundwright.core.seeding import numpy_stream
from soundwright.data.ordering import DrawOrder

ClipText = Callable[[Clip, np.random.Generator], str]
"""The caption of a clip for one draw; empty where it has none."""


@dataclass(frozen=True)
class CaptionBatch:
    """Sounds, their captions, and what is known of them beside."""

    heard: Heard
    captions: tuple[str, ...]
    metadata: tuple[dict[Field, str], ...]
    draws: tuple[int, ...]
    """Number of each item's draw: names its random streams."""


class CaptionBatchConfig(Config):
    """What a batch holds."""

    batch: int = Bound(default=128, ge=1)
    known: float = Bound(default=1.0, ge=0, le=1)
    """Probability, of each field of each clip, that it is told. Below 1 the model learns to do
    without."""
    invented: float = Bound(default=0.0, ge=0, le=1)
    """Probability that a clip without a title is given one, made of one of its tags. Where few
    clips have titles, the model would learn those by heart instead of their words."""


class CaptionedSounds:
    """`Batches[CaptionBatch]`: clips drawn without end, each with one caption.

    Args:
        clips: With captions, none silent; all of them have been heard by `memory`.
        memory: What the towers made of the clips, by the hash of their samples.
        config: What a batch holds.
        text: Draws a clip's caption.
        seed: Of all draws.
        weights: Of the clips, see `DrawOrder`.
        shuffle: Whether clips come in random order.

    Raises:
        UserError: There are no clips.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        memory: Memory,
        config: CaptionBatchConfig,
        text: ClipText,
        *,
        seed: int,
        weights: Sequence[float] | None = None,
        shuffle: bool = True,
    ) -> None:
        if not clips:
            raise UserError("There is no clip with a caption to learn from.")
        self._clips, self._memory, self._config = tuple(clips), memory, config
        self._text, self._seed = text, seed
        self._order = DrawOrder(len(clips), seed, weights=weights, shuffle=shuffle)

    def __getitem__(self, index: int) -> CaptionBatch:
        """Batch `index` of the endless sequence."""
        draws = range(index * self._config.batch, (index + 1) * self._config.batch)
        clips = [self._clips[self._order[draw]] for draw in draws]
        return CaptionBatch(
            join_sounds(self._memory.read([clip.pcm_hash for clip in clips])),
            tuple(map(self._caption, clips, draws)),
            tuple(map(self._metadata, clips, draws)),
            tuple(draws),
        )

    def _caption(self, clip: Clip, draw: int) -> str:
        return self._text(clip, numpy_stream(self._seed, "caption", draw))

    def _metadata(self, clip: Clip, draw: int) -> dict[Field, str]:
        known = read_metadata(clip)
        if "title" not in known:
            known |= invent_title(clip, self._config.invented, self._seed, draw)
        return tell(known, self._config.known, self._seed, draw)


def invent_title(clip: Clip, probability: float, seed: int, draw: int) -> dict[Field, str]:
    """A title made of one of a clip's tags, or of some of its words; none as often as not drawn."""
    stream = numpy_stream(seed, "title", draw)
    if stream.random() >= probability or not clip.tags:
        return {}
    words = clip.tags[int(stream.integers(len(clip.tags)))].split()
    kept = [word for word in words if stream.random() < 0.8] or words
    return {"title": " ".join(kept)}


def tell(
    metadata: Mapping[Field, str], probability: float, seed: int, draw: int
) -> dict[Field, str]:
    """Those of the fields that one draw tells."""
    stream = numpy_stream(seed, "metadata", draw)
    return {field: text for field, text in metadata.items() if stream.random() < probability}
