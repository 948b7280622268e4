"""Sorting more numbers than fit into memory: bucket files of ranges, each sorted alone.

A row is one 64-bit number: a key in the upper 32 bits, a value in the lower ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint64]
BUCKETS = 64
READ_ROWS = 1 << 16


def pack(keys: NDArray[np.integer], values: NDArray[np.integer]) -> Rows:
    """Rows [R] of keys and values [R], all from 0 to 2 ** 32 - 1."""
    return keys.astype(np.uint64) << np.uint64(32) | values.astype(np.uint64)


def unpack(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys and values [R]."""
    return (rows >> np.uint64(32)).astype(np.int64), (rows & np.uint64(0xFFFFFFFF)).astype(np.int64)


def sort_rows(
    pieces: Iterable[Rows], folder: Path | None, *, keys: range, limit: int
) -> Iterator[Rows]:
    """Sort rows that come in pieces of any size, through files in `folder`.

    Args:
        pieces: Rows whose keys lie in `keys`.
        folder: For temporary files, about as large as all rows, which are gone afterwards; None is
            the system's.
        keys: The range of keys, over which rows should be spread evenly.
        limit: Rows that may be in memory at a time.

    Yields:
        Rows in ascending order. A piece has at most `limit` of them unless they have one key: the
        rows of a key are never divided.
    """
    with TemporaryDirectory(dir=folder, prefix="bucket-") as name:
        step = max(1, -(-len(keys) // BUCKETS))
        ranges = [keys[begin : begin + step] for begin in range(0, len(keys), step)]
        paths = [Path(name) / str(number) for number in range(len(ranges))]
        _scatter(pieces, paths, keys.start, step)
        for path, part in zip(paths, ranges, strict=True):
            if not path.exists():
                continue
            count = path.stat().st_size // 8
            if count > limit and len(part) > 1:
                yield from sort_rows(_read(path), Path(name), keys=part, limit=limit)
            else:
                yield np.sort(np.fromfile(path, np.uint64))
            path.unlink()


def _scatter(pieces: Iterable[Rows], paths: list[Path], start: int, step: int) -> None:
    for piece in pieces:
        buckets = (unpack(piece)[0] - start) // step
        order = np.argsort(buckets, kind="stable")
        ends = np.cumsum(np.bincount(buckets, minlength=len(paths)))
        for path, part in zip(paths, np.split(piece[order], ends[:-1]), strict=True):
            if len(part):
                with path.open("ab") as file:
                    file.write(part.tobytes())


def _read(path: Path) -> Iterator[Rows]:
    with path.open("rb") as file:
        while content := file.read(8 * READ_ROWS):
            yield np.frombuffer(content, np.uint64)
