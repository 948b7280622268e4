"""Weights put together from the pieces of other weights, one by one and only when asked for.

The weights of a model of 3.3 billion parameters take 13 GB. Translated as a whole, they would be
in memory several times over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from soundwright.core.errors import CheckpointError


class Piece(NamedTuple):
    """One of `of` equal parts of a tensor's rows; all of the tensor unless said otherwise."""

    name: str
    part: int = 0
    of: int = 1


class Assembled(Mapping[str, Tensor]):
    """Each tensor is made of its pieces, stacked along the rows, whenever it is asked for.

    Args:
        source: Where the pieces come from.
        pieces: Name here to the pieces, in their order.
        constants: Further tensors, which come from nowhere.
        origin: What `source` is, for messages.

    Raises:
        CheckpointError: `source` lacks a piece; a tensor that cannot be cut or stacked is found
            when it is asked for.
    """

    def __init__(
        self,
        source: Mapping[str, Tensor],
        pieces: Mapping[str, tuple[Piece, ...]],
        *,
        constants: Mapping[str, Tensor] | None = None,
        origin: str = "weights",
    ) -> None:
        self._source, self._pieces, self._origin = source, pieces, origin
        self._constants = dict(constants or {})
        needed = (piece.name for parts in pieces.values() for piece in parts)
        missing = [name for name in dict.fromkeys(needed) if name not in source]
        if missing:
            more = f", and {len(missing) - 1} others" if len(missing) > 1 else ""
            raise CheckpointError(f"The {origin} lack {missing[0]!r}{more}.")

    def __getitem__(self, name: str) -> Tensor:
        if name in self._constants:
            return self._constants[name]
        pieces = self._pieces[name]
        parts = [self._cut(piece) for piece in pieces]
        try:
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        except RuntimeError as error:
            shapes = ", ".join(
                f"{p.name} {tuple(t.shape)}" for p, t in zip(pieces, parts, strict=True)
            )
            raise CheckpointError(
                f"The {self._origin} do not fit together: {shapes} for {name!r}."
            ) from error

    def __contains__(self, name: object) -> bool:
        # Mapping's own would read the tensor.
        return name in self._pieces or name in self._constants

    def __iter__(self) -> Iterator[str]:
        return iter((*self._pieces, *self._constants))

    def __len__(self) -> int:
        return len(self._pieces) + len(self._constants)

    def _cut(self, piece: Piece) -> Tensor:
        tensor = self._source[piece.name]
        if piece.of == 1:
            return tensor
        rows = tensor.shape[0] if tensor.dim() else 0
        if rows % piece.of:
            raise CheckpointError(
                f"{piece.name!r} has {rows} rows.", expected=f"a multiple of {piece.of}"
            )
        return tensor.chunk(piece.of)[piece.part]


def refuse_leftovers(
    source: Iterable[str], pieces: Mapping[str, tuple[Piece, ...]], ignored: Collection[str] = ()
) -> None:
    """Refuse weights that have no place here: without them the model would say something else.

    Args:
        source: Names of the checkpoint's weights, as far as they are the model's own.
        pieces: What is taken from it.
        ignored: Endings of names that do not matter.

    Raises:
        CheckpointError: Names the first that is left over.
    """
    taken = {piece.name for parts in pieces.values() for piece in parts}
    left = sorted(
        name for name in source if name not in taken and not name.endswith(tuple(ignored))
    )
    if left:
        raise CheckpointError(
            f"The checkpoint has {len(left)} tensors that this architecture has no place for; "
            f"the first is {left[0]!r}.",
            expected="MusicGen or AudioGen, of the shape that its configuration says",
        )
