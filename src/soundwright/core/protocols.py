"""The protocols at which rooms meet.

Two rooms that must not import each other agree on a protocol here and are joined in
`pipelines`. Axes: B batch, C channels, N samples, K codebooks, T frames, S text positions,
D width. Masks are boolean, and True means valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from soundwright.core.records import Caption

BatchIn = TypeVar("BatchIn", contravariant=True)
BatchOut = TypeVar("BatchOut", covariant=True)


@dataclass(frozen=True)
class AudioBatch:
    """Waveforms cut to one length, for training a codec."""

    waveform: Tensor
    """[B, C, N] float in [-1, 1]; zero where the mask is False."""
    mask: Tensor
    """[B, N] bool: False beyond the end of a clip shorter than the segment."""
    clip_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class TokenBatch:
    """Codec tokens cut to one length, with their texts, for training a language model."""

    tokens: Tensor
    """[B, K, T] int64; any value where the mask is False."""
    mask: Tensor
    """[B, T] bool: False beyond the end of a clip shorter than the segment."""
    texts: tuple[str, ...]
    """One caption an item; empty where a clip has none."""
    clip_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextStates:
    """What a text encoder makes of a batch of texts."""

    states: Tensor
    """[B, S, D] float: one vector a token; zero where the mask is False."""
    mask: Tensor
    """[B, S] bool."""
    sentence: Tensor
    """[B, D] float: one vector a text."""


@dataclass(frozen=True)
class LatentBatch:
    """Latents cut to one length, with their texts, for training a diffusion model."""

    mean: Tensor
    """[B, C, T, ...] float: means of the posteriors, already in the scale of the diffusion."""
    deviation: Tensor
    """[B, C, T, ...] float: their standard deviations, in the same scale."""
    mask: Tensor
    """[B, T] bool: False beyond the end of a clip shorter than the segment, where latents are
    those of silence."""
    texts: tuple[str, ...]
    """One caption an item; empty where a clip has none."""
    clip_ids: tuple[str, ...] = ()
    draws: tuple[int, ...] = ()
    """Number of each item's draw, over all ranks and steps: names its random streams."""
    sources: tuple[str, ...] = ()
    """Name of each item's data set."""


@runtime_checkable
class TextEncoder(Protocol):
    """A frozen text encoder. Users: the language model, RR, later diffusion and scorers."""

    @property
    def width(self) -> int:
        """D."""
        ...

    @property
    def identity(self) -> str:
        """Changes whenever the states of some text would change: the key of caches."""
        ...

    def encode(self, texts: Sequence[str]) -> TextStates:
        """Encode texts; the states of one do not depend on its batch mates.

        An empty text gives a row with an all-False mask and zero states.
        """
        ...


@runtime_checkable
class TokenCodec(Protocol):
    """Waveform to discrete tokens and back."""

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        ...

    @property
    def channels(self) -> int:
        """C."""
        ...

    @property
    def hop_length(self) -> int:
        """Samples a frame; the frame rate is `sample_rate / hop_length`."""
        ...

    @property
    def codebooks(self) -> int:
        """K."""
        ...

    @property
    def codebook_size(self) -> int:
        """Number of codes in each codebook."""
        ...

    def encode(self, waveform: Tensor) -> Tensor:
        """[B, C, N] float to [B, K, T] int64, T = ceil(N / hop_length)."""
        ...

    def decode(self, tokens: Tensor) -> Tensor:
        """[B, K, T] int64 to [B, C, T * hop_length] float."""
        ...


@dataclass(frozen=True)
class Posterior:
    """What a variational autoencoder says of a batch of sounds; diagonal Gaussians."""

    mean: Tensor
    """[B, C, T, ...] float, in the scale in which diffusion works."""
    deviation: Tensor
    """[B, C, T, ...] float, standard deviations in the same scale."""

    def sample(self, noise: Tensor) -> Tensor:
        """Latents for standard normal noise of the same shape."""
        return self.mean + self.deviation * noise


@runtime_checkable
class LatentCodec(Protocol):
    """Waveform to continuous latents and back: a variational autoencoder, scaled."""

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        ...

    @property
    def channels(self) -> int:
        """Of the waveform."""
        ...

    @property
    def hop_length(self) -> int:
        """Samples a latent frame."""
        ...

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one latent frame: (C, F) for [B, C, T, F], (C,) for [B, C, T]."""
        ...

    @property
    def autoencoder(self) -> nn.Module:
        """The part that alone decides on the latents: a vocoder behind it has no say in them."""
        ...

    def encode(self, waveform: Tensor) -> Posterior:
        """[B, channels, N] float to a posterior of T = ceil(N / hop_length) frames."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """[B, C, T, ...] to [B, channels, T * hop_length] float."""
        ...


class Batches(Protocol[BatchOut]):
    """Training batches as a pure function of their number, so that a position is one integer.

    The loop asks for batches 0, 1, 2, ... and, when it resumes, simply for the next one.
    """

    def __getitem__(self, index: int) -> BatchOut:
        """Batch `index` of an endless, shuffled sequence; this rank's share of it."""
        ...


@dataclass(frozen=True)
class Turn:
    """One player's part of a training step: the loss that its optimizer lowers now."""

    player: str
    loss: Tensor
    metrics: Mapping[str, float | Tensor] = field(default_factory=dict)
    """Scalars to log. Tensors are detached and read only when the loop logs."""


@dataclass(frozen=True)
class StepContext:
    """What the loop tells a task about the step."""

    step: int
    """Number of the step, from 0; the same on all ranks and for all micro-batches."""
    micro: int
    """Number of the micro-batch within the step."""
    device: torch.device
    wants_metrics: bool = True
    """False where this step is not logged, so that a task may skip costly diagnostics."""


class TrainingTask(Protocol[BatchIn]):
    """A system in training: what the one loop needs to know of it.

    Most tasks have one player. A codec has two, generator and discriminator, each with an
    optimizer of its own, and yields a turn for each in every step.
    """

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The trained modules by name; each gets an optimizer. The first one gets the EMA."""
        ...

    def turns(self, batch: BatchIn, context: StepContext) -> Iterator[Turn]:
        """Yield losses, one player after another.

        The loop backpropagates each loss when it is yielded. The player's optimizer has moved
        before the next turn is asked for. With accumulation the turns of all micro-batches
        run side by side.
        """
        ...

    def validate(self, batch: BatchIn, device: torch.device) -> Mapping[str, float]:
        """Scalars of one validation batch, without gradients and without random draws."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything besides weights that a resumed run needs: random streams, averages.

        Tensors and plain values only; nested dictionaries are fine.
        """
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        ...


@runtime_checkable
class RankBound(Protocol):
    """A task, or another part of a run, that may depend on the number of ranks."""

    @property
    def is_bound_to_ranks(self) -> bool:
        """Whether another number of ranks changes what a step computes beyond rounding."""
        ...


@runtime_checkable
class Shareable(Protocol):
    """`Batches` that can be divided over ranks."""

    def for_rank(self, rank: int, ranks: int) -> Any:
        """The same batches, of which rank number `rank` takes its share."""
        ...


class Captioner(Protocol):
    """Something that tells what is heard. Users: the corpus builder."""

    @property
    def name(self) -> str:
        """What it calls itself."""
        ...

    @property
    def identity(self) -> str:
        """Changes whenever it may say something else."""
        ...

    def describe(
        self,
        waveforms: Sequence[Tensor],
        sample_rate: int,
        metadata: Sequence[Mapping[str, str]] | None = None,
    ) -> list[Caption]:
        """One caption for each sound [C, N], with its confidence.

        Args:
            waveforms: Of any length.
            sample_rate: Of all of them.
            metadata: What is known of each: texts by `title`, `tags` or `visual`.
        """
        ...


class Scorer(Protocol):
    """Something that puts numbers on sounds: a tagger, CLAP, an onset counter."""

    @property
    def name(self) -> str:
        """Stable name with version."""
        ...

    def score(
        self, waveforms: Sequence[Tensor], sample_rate: int, texts: Sequence[str] | None = None
    ) -> list[dict[str, float]]:
        """One mapping of numbers per sound; waveforms are [C, N]."""
        ...


@dataclass(frozen=True)
class Encoded:
    """What an audio encoder makes of one sound."""

    embeddings: Tensor
    """[W, D] fp32: one row a window; no rows for a sound shorter than a window."""
    vector: Tensor
    """[D] fp32: the encoder's one vector for the sound, for most the mean of its windows; NaN where
    there are none."""
    logits: Tensor | None = None
    """[W, L] fp32: class logits of each window, where the encoder is a classifier."""


@runtime_checkable
class AudioEncoder(Protocol):
    """A frozen network that describes sounds. Users: evaluation, corpus, later preference.

    What it says of a sound depends on that sound alone, not on its batch mates.
    """

    @property
    def name(self) -> str:
        """Stable name with version."""
        ...

    @property
    def identity(self) -> str:
        """Hash of weights and front end; changes whenever some embedding would: key of caches."""
        ...

    @property
    def sample_rate(self) -> int:
        """At which it hears."""
        ...

    @property
    def facts(self) -> Mapping[str, str]:
        """What a metric card tells of it: gain rule, window, hop, weights ..."""
        ...

    def encode(self, waveforms: Sequence[Tensor]) -> list[Encoded]:
        """Describe mono sounds [N] float at `sample_rate`, each of any length."""
        ...


@runtime_checkable
class TextAudioEncoder(AudioEncoder, Protocol):
    """An audio encoder that puts texts into the same space."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """[B, D] fp32, each of length one; comparable with `Encoded.vector`."""
        ...
