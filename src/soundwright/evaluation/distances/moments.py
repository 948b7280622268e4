"""Mean and covariance of a stream of embeddings, in float64 and in memory that does not grow.

The stream is cut into blocks of a fixed number of rows, whatever the pieces in which it arrives.
Each block is measured on its own, and blocks are merged in their order (Chan, Golub and LeVeque
1979). So neither the pieces nor the number of workers that measure blocks moves a digit:

    merge_all(pool.map(measure_moments, cut_blocks(pieces))) == accumulate_moments(pieces)

The order of rows does count in the last digits; whoever calls goes through the clips in the order
of their keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soundwright.core.errors import UserError

BLOCK_ROWS = 512
"""Rows of a block. Part of the result's last digits."""


@dataclass(frozen=True)
class Moments:
    """How many embeddings there were, their mean, and how they scatter around it."""

    n: int
    """Number of embeddings, at least 1."""
    mean: NDArray[np.float64]
    """[D]."""
    scatter: NDArray[np.float64]
    """[D, D]: the sum of (x - mean)(x - mean)ᵀ."""

    @property
    def width(self) -> int:
        """D."""
        return len(self.mean)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """[D, D]: the unbiased estimate.

        Raises:
            UserError: There is only one embedding.
        """
        if self.n < 2:
            raise UserError(
                "A covariance was asked of one embedding.",
                expected="at least 2 embeddings",
                change="Give more or longer sounds.",
            )
        return self.scatter / (self.n - 1)

    @property
    def effective_dimension(self) -> float:
        """In how many directions embeddings vary: (Σ λ)² / Σ λ² over the variances λ, 1 to D.

        D where all are alike; 0 where nothing varies.
        """
        squares = float((self.scatter**2).sum())
        return float(np.trace(self.scatter)) ** 2 / squares if squares else 0.0


def as_rows(embeddings: ArrayLike) -> NDArray[np.float64]:
    """Embeddings as [N, D] float64.

    Raises:
        UserError: They have another number of axes, or some number is not finite.
    """
    rows = np.asarray(embeddings, np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise UserError(
            f"Embeddings have shape {rows.shape}.",
            expected="two axes, [number, width]",
            change="Give one row for each window or clip.",
        )
    if not np.isfinite(rows).all():
        bad = int((~np.isfinite(rows)).any(1).sum())
        raise UserError(
            f"{bad} of {len(rows)} embeddings hold a number that is not finite.",
            expected="finite numbers only",
            change="Find the sounds that they come from and leave them out.",
        )
    return rows


def measure_moments(embeddings: ArrayLike) -> Moments:
    """The moments of embeddings [N, D] that are in memory together.

    Raises:
        UserError: There are none, they have another number of axes, or some is not finite.
    """
    rows = as_rows(embeddings)
    if len(rows) == 0:
        raise no_embeddings()
    mean = rows.mean(0)
    centred = rows - mean
    return Moments(len(rows), mean, centred.T @ centred)


def merge_moments(first: Moments, second: Moments) -> Moments:
    """The moments of both sets together.

    Raises:
        UserError: Their widths differ.
    """
    if first.width != second.width:
        raise UserError(
            f"Embeddings of widths {first.width} and {second.width} were to be merged.",
            expected="one width",
            change="Take embeddings of one encoder.",
        )
    n = first.n + second.n
    step = second.mean - first.mean
    scatter = np.outer(step, step * (first.n * second.n / n))
    scatter += first.scatter
    scatter += second.scatter
    return Moments(n, first.mean + step * (second.n / n), scatter)


def round_moments(moments: Moments) -> Moments:
    """Mean and covariance rounded to float32, as Google's code for FAD keeps them.

    Raises:
        UserError: There is only one embedding.
    """
    covariance = moments.covariance.astype(np.float32).astype(np.float64)
    mean = moments.mean.astype(np.float32).astype(np.float64)
    return Moments(moments.n, mean, covariance * (moments.n - 1))


def cut_blocks(
    pieces: Iterable[ArrayLike], rows: int = BLOCK_ROWS
) -> Iterator[NDArray[np.float64]]:
    """Cut a stream of embeddings [N, D] into blocks of `rows`, the last one what remains.

    Pieces may have any number of rows, none included.

    Raises:
        UserError: As `as_rows`, or widths differ.
    """
    block = np.empty((0, 0))
    filled = 0
    for piece in pieces:
        added = as_rows(piece)
        if len(added) and not len(block):
            block = np.empty((rows, added.shape[1]))
        if len(added) and added.shape[1] != block.shape[1]:
            raise UserError(
                f"Embeddings of width {added.shape[1]} follow some of width {block.shape[1]}.",
                expected="one width",
                change="Take embeddings of one encoder.",
            )
        while len(added):
            taken = added[: rows - filled]
            block[filled : filled + len(taken)] = taken
            filled, added = filled + len(taken), added[len(taken) :]
            if filled == rows:
                yield block
                block, filled = np.empty_like(block), 0
    if filled:
        yield block[:filled]


def merge_all(parts: Iterable[Moments]) -> Moments:
    """Merge in the given order.

    Raises:
        UserError: There are no parts, or their widths differ.
    """
    total: Moments | None = None
    for part in parts:
        total = part if total is None else merge_moments(total, part)
        del part  # else a matrix would be kept while the next one is measured
    if total is None:
        raise no_embeddings()
    return total


def accumulate_moments(pieces: Iterable[ArrayLike]) -> Moments:
    """The moments of a stream of embeddings [N, D], such as the windows of one clip after another.

    Memory is that of a block, a piece and a few matrices [D, D].

    Raises:
        UserError: There are no embeddings, widths differ, or some number is not finite.
    """
    return merge_all(map(measure_moments, cut_blocks(pieces)))


def no_embeddings() -> UserError:
    """What to say where nothing can be measured."""
    return UserError(
        "There are no embeddings.",
        expected="at least one",
        change="Give sounds that are at least one window of the encoder long.",
    )
