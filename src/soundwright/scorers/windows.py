"""Sounds cut into windows, windows run in batches of one fixed size, results given back by sound.

Every pretrained audio encoder goes through here, so that what it says of a sound depends on that
sound alone: the last batch is filled up to the fixed size, and the precision is the same
everywhere. Our own tagger and matcher hear sounds whole and one at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal, Self, TypeAlias

import torch
from pydantic import Field, model_validator
from torch import Tensor

from soundwright.core.config import Config
from soundwright.core.errors import AudioError
from soundwright.core.protocols import Encoded
from soundwright.scorers.modes import full_precision

Forward: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""A network in evaluation mode: inputs [B, ...] to embeddings [B, D] and class logits [B, L]."""


class WindowRule(Config):
    """How a sound is cut. Window w begins at sample w * hop."""

    size: Annotated[int, Field(gt=0)]
    """Samples of a window."""
    hop: Annotated[int, Field(gt=0)]
    """Samples from one beginning to the next; at most `size`."""
    tail: Literal["drop", "pad", "repeat", "keep"] = "drop"
    """Whole windows only; or as few as hold every sample, the last one filled up with zeros, with
    itself over and over, or left as short as it is."""
    least: Annotated[int, Field(gt=0)] = 1
    """A last window with fewer samples of the sound is left out; has no meaning with `drop`."""

    @model_validator(mode="after")
    def _covers(self) -> Self:
        if self.hop > self.size:
            raise ValueError(f"hop {self.hop} exceeds size {self.size}: samples would be skipped")
        return self

    def count(self, samples: int) -> int:
        """Number of windows of a sound of `samples` samples."""
        whole = max(0, 1 + (samples - self.size) // self.hop)
        covered = (whole - 1) * self.hop + self.size if whole else 0
        incomplete = samples > covered and samples - whole * self.hop >= self.least
        return whole + (incomplete and self.tail != "drop")

    def cut(self, waveform: Tensor) -> list[Tensor]:
        """The windows of a sound [N], each [size]; with `keep` the last may be shorter."""
        begins = range(0, self.count(len(waveform)) * self.hop, self.hop)
        return [self._fill(waveform[begin : begin + self.size]) for begin in begins]

    def _fill(self, window: Tensor) -> Tensor:
        if len(window) == self.size or self.tail == "keep":
            return window
        if self.tail == "repeat":
            return window.repeat(-(-self.size // len(window)))[: self.size]
        return torch.nn.functional.pad(window, (0, self.size - len(window)))


def encode_windows(
    waveforms: Sequence[Tensor], rule: WindowRule, forward: Forward, *, batch_size: int, width: int
) -> list[Encoded]:
    """Describe each sound by its windows; its vector is the mean of their embeddings.

    Args:
        waveforms: Mono sounds [N] float, of any length.
        rule: How they are cut.
        forward: Takes windows [B, size] on the CPU and moves them where it works.
        batch_size: B, of every batch.
        width: D.

    Returns:
        One for each sound. A sound without windows has no rows, and NaN for a vector: there is
        nothing that could stand for it, and no metric takes it.

    Raises:
        AudioError: A sound without samples, or with some that are not finite.
    """
    cut = [rule.cut(check_sound(waveform)) for waveform in waveforms]
    rows = run_in_batches([window for windows in cut for window in windows], forward, batch_size)
    found = iter(rows)
    return [_gather([next(found) for _ in windows], width) for windows in cut]


def run_in_batches(
    inputs: Sequence[Tensor], forward: Forward, batch_size: int
) -> list[tuple[Tensor, Tensor | None]]:
    """Embedding [D] and logits [L] of every input, fp32 on the CPU.

    Only inputs of one shape share a batch. Every batch has `batch_size` rows: the last is filled
    up with copies of its last row, since kernels, and with them the last bits, change with B.
    """
    results: dict[int, tuple[Tensor, Tensor | None]] = {}
    with full_precision():
        for places in _batches(inputs, batch_size):
            rows = [inputs[place] for place in places]
            rows += rows[-1:] * (batch_size - len(rows))
            embeddings, logits = forward(torch.stack(rows).float())
            embeddings = embeddings.float().cpu()
            logits = None if logits is None else logits.float().cpu()
            for row, place in enumerate(places):
                results[place] = embeddings[row], None if logits is None else logits[row]
    return [results[place] for place in range(len(inputs))]


def check_sound(waveform: Tensor) -> Tensor:
    """The sound [N], as given.

    Raises:
        AudioError: It has no samples, or some that are not finite.
    """
    if waveform.ndim != 1:
        raise ValueError(f"a mono sound [N] is wanted, not {list(waveform.shape)}")
    if len(waveform) == 0:
        raise AudioError("A sound without samples cannot be described.", reason="no-samples")
    if not waveform.isfinite().all():
        raise AudioError("A sound has samples that are not finite.", reason="not-finite")
    return waveform


def _batches(inputs: Sequence[Tensor], size: int) -> Iterator[list[int]]:
    by_shape: defaultdict[torch.Size, list[int]] = defaultdict(list)
    for place, tensor in enumerate(inputs):
        by_shape[tensor.shape].append(place)
    for places in by_shape.values():
        yield from (places[first : first + size] for first in range(0, len(places), size))


def _gather(rows: list[tuple[Tensor, Tensor | None]], width: int) -> Encoded:
    if not rows:
        return Encoded(torch.zeros(0, width), torch.full((width,), torch.nan))
    embeddings = torch.stack([embedding for embedding, _ in rows])
    logits = [row for _, row in rows if row is not None]
    return Encoded(
        embeddings,
        embeddings.double().mean(0).float(),
        torch.stack(logits) if logits else None,
    )
