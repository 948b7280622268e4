"""A function of a whole signal, applied piece by piece with the same result."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Overlapped:
    """Applies a function to a signal that arrives in pieces, holding no more than it needs.

    The function maps [..., n] to [..., n * factor]. Its result at position t may depend on
    positions t - reach ... t + reach and, at the ends of what it is given, on where these are:
    every piece is therefore worked on together with `reach` positions of its neighbours, and only
    the first and the last one meet an end. Which calls are made, and so every bit of the result,
    depends on how the signal is divided into pieces.

    Args:
        function: What to apply.
        reach: In positions of the input; None is no limit: all is held until the end.
        factor: Output positions for one of the input.
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], reach: int | None, factor: int = 1
    ) -> None:
        self._function, self._reach, self._factor = function, reach, factor
        self._held: Tensor | None = None
        """The end of the input so far."""
        self._begin = self._done = 0
        """Position of the first one held, and of the first one whose result is not given yet."""

    def push(self, piece: Tensor | None, *, last: bool = False) -> Tensor | None:
        """Take the next piece and give what it decides.

        Args:
            piece: [..., n]; None is nothing.
            last: Whether the signal ends here.

        Returns:
            [..., m * factor], or None where nothing is decided yet.
        """
        if piece is not None:
            self._held = piece if self._held is None else torch.cat([self._held, piece], dim=-1)
        if self._held is None:
            return None
        there = self._begin + self._held.shape[-1]
        reach = there if self._reach is None else self._reach
        ready = there if last else there - reach
        if ready <= self._done:
            return None
        result = self._function(self._held)
        first, stop = ((position - self._begin) * self._factor for position in (self._done, ready))
        kept = max(self._begin, ready - reach)
        self._held = self._held[..., kept - self._begin :].clone()
        self._begin, self._done = kept, ready
        return result[..., first:stop]
