"""The endless shuffled order of a corpus: which clip is drawn at which position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream


class DrawOrder:
    """Position p -> clip number, epoch after epoch, as a pure function of (seed, p).

    Without weights, each epoch is a shuffle of all clips. With weights w, an epoch of n draws
    has each clip floor(n w / sum w) or ceil(n w / sum w) times (systematic resampling), shuffled;
    over the epochs the mean is exactly n w / sum w.

    Args:
        count: Number of clips, n.
        seed: Of the streams ("order", epoch).
        weights: One per clip, not negative; None draws each clip once an epoch.
        shuffle: False goes through the clips as they stand; then there are no weights.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        *,
        weights: Sequence[float] | None = None,
        shuffle: bool = True,
    ) -> None:
        if count == 0:
            raise UserError("There are no clips to draw from.", expected="at least one clip")
        assert shuffle or weights is None, "weights need a shuffled order"
        self.count, self.seed, self.shuffle = count, seed, shuffle
        self._edges = None if weights is None else _edges(weights, count)
        # The last epochs: prefetching workers stand on both sides of a boundary.
        self._epoch = lru_cache(maxsize=4)(self._compute_epoch)

    def __getitem__(self, position: int) -> int:
        """The number of the clip at `position`."""
        epoch, place = divmod(position, self.count)
        return int(self._epoch(epoch)[place]) if self.shuffle else place

    def candidates(self, position: int) -> Iterator[int]:
        """The clip at `position`, then its stand-ins: the next ones in the same epoch's order.

        The order is taken as a circle, and each clip comes once.
        """
        epoch, place = divmod(position, self.count)
        start = epoch * self.count
        seen: set[int] = set()
        for step in range(self.count):
            number = self[start + (place + step) % self.count]
            if number not in seen:
                seen.add(number)
                yield number

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_epoch"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._epoch = lru_cache(maxsize=4)(self._compute_epoch)

    def _compute_epoch(self, epoch: int) -> np.ndarray:
        stream = numpy_stream(self.seed, "order", epoch)
        if self._edges is None:
            return stream.permutation(self.count)
        points = (np.arange(self.count) + stream.random()) / self.count
        drawn = np.searchsorted(self._edges, points, side="right")
        return stream.permutation(np.minimum(drawn, self.count - 1))


def bucket_by_length(
    lengths: Sequence[int], size: int, stream: np.random.Generator
) -> list[list[int]]:
    """Deal items to batches of `size` so that those of one batch are about as long.

    Returns:
        The numbers of each batch's items; the batches come in random order.
    """
    by_length = np.argsort(np.asarray(lengths), kind="stable").reshape(-1, size)
    return stream.permutation(by_length, axis=0).tolist()


def _edges(weights: Sequence[float], count: int) -> np.ndarray:
    values = np.asarray(weights, dtype=np.float64)
    if len(values) != count:
        raise UserError(f"{len(values)} clip weights are given for {count} clips.")
    if not np.isfinite(values).all() or (values < 0).any() or values.sum() <= 0:
        raise UserError(
            "The clip weights cannot be used.", expected="finite, not negative, not all zero"
        )
    # The cumulative shares end at exactly 1, whatever the rounding of the sum.
    edges = np.cumsum(values / values.sum())
    edges[edges >= edges[-1]] = 1.0
    return edges
