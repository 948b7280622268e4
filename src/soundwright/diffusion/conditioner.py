"""Who turns prompts, or the captions of a training batch, into conditions.

Nothing is drawn when a prompt is read. In training all that is drawn about an item comes from a
stream named by the number of its draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from soundwright.core.config import Config
from soundwright.core.protocols import LatentBatch, TextEncoder
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditions import NO_SOURCE, Conditions


class ConditionsConfig(Config):
    """What a diffusion model reads besides the text."""

    vector: str | None = None
    """Whose vectors of sounds and texts: matcher, which ships, or a CLAP by the name of its
    checkpoint; null reads none."""
    clap_text: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How often, in training, the vector is that of the caption and not that of the sound."""
    sources: tuple[str, ...] = ()
    """Names of the data sets that the model tells apart; all others are none."""
    source: str | None = None
    """The one of them that generated sounds shall seem to be of; null is none."""

    @model_validator(mode="after")
    def _knows_its_source(self) -> Self:
        if self.source is not None and self.source not in self.sources:
            raise ValueError(f"source: {self.source!r} is not among sources")
        return self


class VectorEncoder(Protocol):
    """Puts texts into the space of the vectors."""

    @property
    def identity(self) -> str:
        """Changes whenever some vector would."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """[B, V] fp32, of length one."""
        ...


class ClipVectors(Protocol):
    """The vectors of the clips of a corpus."""

    def read(self, clip_ids: Sequence[str]) -> Tensor:
        """[B, V] fp32; NaN for a clip that has none."""
        ...


class Conditioner:
    """Reads prompts and captions.

    Args:
        text_encoder: Frozen.
        config: What else is read.
        vectors: Puts texts into the space of sounds; needed where `config.vector` is said.
        clips: The vectors of the clips to train on; without them all vectors are of captions.
    """

    def __init__(
        self,
        text_encoder: TextEncoder,
        config: ConditionsConfig | None = None,
        vectors: VectorEncoder | None = None,
        clips: ClipVectors | None = None,
    ) -> None:
        self.text_encoder, self.config = text_encoder, config or ConditionsConfig()
        if (vectors is None) != (self.config.vector is None):
            raise ValueError("vectors need an encoder, and an encoder is for vectors")
        self._vectors, self._clips = vectors, clips

    @property
    def vector_width(self) -> int | None:
        """V; None where no vectors are read."""
        return None if self._vectors is None else self._vectors.embed_texts(["sound"]).shape[1]

    def describe(self) -> Mapping[str, Any]:
        """JSON values that decide on conditions."""
        found: dict[str, Any] = {"text": self.text_encoder.identity}
        if self._vectors is not None:
            found["vector"] = self._vectors.identity
        if self.config.sources:
            found |= {"sources": list(self.config.sources), "source": self.config.source}
        return found

    def read(self, prompts: Sequence[str]) -> Conditions:
        """The conditions of prompts: what a generated sound is made by."""
        return self._read(prompts, [self.config.source or ""] * len(prompts))

    def read_negative(self, prompts: Sequence[str]) -> Conditions:
        """What is not wanted: texts and their vectors, of no data set."""
        return self._read(prompts, [""] * len(prompts))

    def read_batch(self, batch: LatentBatch, seed: int | None = None) -> Conditions:
        """The conditions of the items of a batch, on the device of the text encoder.

        Args:
            batch: With the data sets of its items, where they are told apart.
            seed: Of the draws between vectors of captions and of sounds; None takes captions, as
                for prompts.

        Raises:
            ValueError: There is something to draw, and the batch does not say the draws' numbers.
        """
        sources = batch.sources or ("",) * len(batch.texts)
        found = self._read(batch.texts, sources)
        if self._clips is None or seed is None:
            return found
        if len(batch.draws) != len(batch.texts):
            raise ValueError("the batch does not say the numbers of its items' draws")
        assert found.vector is not None
        assert found.vector_mask is not None
        device = found.vector.device
        sounds = self._clips.read(batch.clip_ids).to(device)
        drawn = torch.tensor([_is_heard(seed, draw, self.config.clap_text) for draw in batch.draws])
        # Of a sound without a window there is no vector, and that of its caption stays.
        heard = drawn.to(device) & sounds.isfinite().all(1)
        return Conditions(
            found.text,
            torch.where(heard[:, None], sounds, found.vector),
            found.vector_mask | heard,
            found.source,
        )

    @torch.no_grad()
    def _read(self, texts: Sequence[str], sources: Sequence[str]) -> Conditions:
        text = self.text_encoder.encode(texts)
        device, source = text.states.device, None
        if self.config.sources:
            numbers = {name: number for number, name in enumerate(self.config.sources)}
            found = [numbers.get(name, NO_SOURCE) for name in sources]
            source = torch.tensor(found, device=device)
        if self._vectors is None:
            return Conditions(text, source=source)
        # Of an empty text there is no vector, as there are no states.
        said = torch.tensor([bool(one.strip()) for one in texts], device=device)
        return Conditions(text, self._vectors.embed_texts(texts).to(device), said, source)


def _is_heard(seed: int, draw: int, clap_text: float) -> bool:
    """Whether an item's vector is that of its sound."""
    stream = torch_stream(seed, "conditions", draw)
    return float(torch.rand((), generator=stream, dtype=torch.float64)) >= clap_text
