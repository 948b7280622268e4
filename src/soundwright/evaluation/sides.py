"""Two sets of sounds as metrics see them, and what a metric says of them.

Whatever the order of files, sounds are taken in the order of their content's hashes, so that sums
come out the same to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
from numpy.typing import NDArray

from soundwright.core.protocols import AudioEncoder, Encoded
from soundwright.evaluation.cache import Recalled
from soundwright.evaluation.statistics.intervals import Interval

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """A generated sound, and what it is compared with."""

    name: str
    key: str
    """Hash of its samples: that of its embeddings."""
    group: str
    """Its prompt, or what else makes it a pair."""
    prompt: str = ""
    partners: tuple[str, ...] = ()
    """Keys of its references."""
    labels: frozenset[str] = frozenset()
    """The tags of its references."""


@dataclass(frozen=True)
class Sides:
    """Two sets of sounds, each in the order of keys."""

    generated: tuple[Sample, ...]
    reference: tuple[str, ...]
    """Keys."""

    @classmethod
    def of(cls, generated: Sequence[Sample], reference: Sequence[str]) -> Sides:
        """In the order of keys."""
        order = sorted(generated, key=lambda sample: (sample.key, sample.name))
        return cls(tuple(order), tuple(sorted(reference)))

    @property
    def keys(self) -> set[str]:
        """Of all sounds."""
        return {*self.reference, *(sample.key for sample in self.generated)}


class Windows(Sequence[Rows]):
    """[W, D] of each of some sounds, read when it is asked for.

    Args:
        encoded: What an encoder makes of them.
        keys: Of the sounds, in their order.
    """

    def __init__(self, encoded: Mapping[str, Encoded], keys: Sequence[str]) -> None:
        self._encoded, self._keys = encoded, keys

    @overload
    def __getitem__(self, index: int) -> Rows: ...

    @overload
    def __getitem__(self, index: slice) -> Windows: ...

    def __getitem__(self, index: int | slice) -> Rows | Windows:
        if isinstance(index, slice):
            return Windows(self._encoded, self._keys[index])
        return self._encoded[self._keys[index]].embeddings.double().numpy()

    def __len__(self) -> int:
        return len(self._keys)

    def counts(self) -> list[int]:
        """Windows of each."""
        return [len(self._encoded[key].embeddings) for key in self._keys]

    def stack(self) -> Rows:
        """[W, D] of all together."""
        counts = self.counts()
        width = self._encoded[self._keys[0]].embeddings.shape[1] if counts else 1
        rows = np.empty((sum(counts), width))
        stop = 0
        for count, own in zip(counts, self, strict=True):
            rows[stop : stop + count] = own
            stop += count
        return rows


@dataclass(frozen=True)
class Described:
    """What one encoder makes of both sides."""

    sides: Sides
    encoder: AudioEncoder
    encoded: Recalled
    """By key."""
    references: Described | None = None
    """What another encoder makes of the references; None where one hears both sides."""

    @property
    def reference(self) -> Described:
        """What is made of the references."""
        return self.references or self

    def rows_of(self, keys: Sequence[str]) -> Windows:
        """[W, D] of each sound that has a window."""
        return Windows(self.encoded, [key for key in keys if self.has_windows(key)])

    def has_windows(self, key: str) -> bool:
        """Whether the encoder says anything of the sound."""
        return self.encoded.has_windows(key)

    def vectors_of(self, keys: Sequence[str]) -> Rows:
        """[N, D] of the sounds that have a window."""
        return stack_vectors(self.encoded, [key for key in keys if self.has_windows(key)])

    def logits_of(self, key: str) -> Rows:
        """[W, L]."""
        logits = self.encoded[key].logits
        assert logits is not None, f"{self.encoder.name} gives no logits"
        return logits.double().numpy()

    @property
    def samples(self) -> list[Sample]:
        """Generated sounds that have a window."""
        return [sample for sample in self.sides.generated if self.has_windows(sample.key)]


def stack_vectors(encoded: Mapping[str, Encoded], keys: Sequence[str]) -> Rows:
    """[N, D]: each sound's one vector."""
    if not keys:
        return np.zeros((0, 1))
    rows = np.empty((len(keys), len(encoded[keys[0]].vector)))
    for row, key in zip(rows, keys, strict=True):
        row[:] = encoded[key].vector.numpy()
    return rows


def no_interval() -> None:
    """Of a number that has none."""


@dataclass(frozen=True)
class Measured:
    """A number and what it comes from."""

    value: float
    estimator: str
    rows: str
    """What is a row."""
    generated_rows: int
    reference_rows: int
    generated_clips: int
    reference_clips: int
    interval: Callable[[], Interval | None] = no_interval
    """Bootstraps when it is asked."""
    clips: Mapping[str, float] = field(default_factory=dict)
    """By name of the generated sound."""
    direction: str = ""
    epsilon: float = 0.0
    remark: str = ""
