"""What decoding remembers between steps: keys and values, in buffers that are allocated once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


class LayerCache:
    """The memory of one layer.

    Args:
        rows: R, sequences decoded side by side.
        heads: H.
        capacity: L, the most positions that will be stored.
        head_dim: Width of a head.
        text_keys: [R, H, S, head_dim], computed once from the text.
        text_values: [R, H, S, head_dim].
        text_mask: [R, 1, 1, S] bool, or None where all text positions are visible.
    """

    def __init__(
        self,
        rows: int,
        heads: int,
        capacity: int,
        head_dim: int,
        *,
        text_keys: Tensor,
        text_values: Tensor,
        text_mask: Tensor | None,
    ) -> None:
        self._buffer = text_keys.new_empty(2, rows, heads, capacity, head_dim)
        self.length = 0
        self.text_keys, self.text_values, self.text_mask = text_keys, text_values, text_mask

    def append(self, keys_values: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Store [2, R, H, S, head_dim] behind what is there.

        Returns:
            Keys and values, and which of them are to be seen; None means all.
        """
        start, self.length = self.length, self.length + keys_values.shape[3]
        self._buffer[:, :, :, start : self.length] = keys_values
        keys, values = self._buffer[:, :, :, : self.length]
        return keys, values, None


@dataclass
class DecodingCache:
    """The memory of a whole model for one decoding: made by `AudioLm.start`, fed to `AudioLm.step`.

    It lives as long as its texts: `rewind` empties the audio part for another window over the
    same texts.
    """

    layers: list[LayerCache]
    positions: Tensor
    """[L, D]: the positional vectors of the whole capacity."""
    length: int = 0
    """Number of positions stored."""

    @property
    def capacity(self) -> int:
        """The most positions that can be stored."""
        return self.positions.shape[0]

    def take_positions(self, steps: int) -> Tensor:
        """[steps, D]: vectors of the next `steps` positions, which then count as used."""
        start, self.length = self.length, self.length + steps
        assert self.length <= self.capacity, f"{self.length} positions in {self.capacity}"
        return self.positions[start : self.length]

    def rewind(self) -> None:
        """Forget the audio positions and keep the text."""
        self.length = 0
        for layer in self.layers:
            layer.length = 0


class StaticCache:
    """A `DecodingCache` of fixed shapes at fixed addresses, as a CUDA graph wants it.

    Which position comes next is a number on the device, and attention reads the first `span`
    positions with a mask. Nothing here has to be known when a step is captured but the span.

    Args:
        layers: Number of layers.
        rows: R.
        heads: H.
        capacity: L.
        dim: D.
        text_length: S, text positions.
        like: A tensor of the device and dtype of keys and values.
    """

    def __init__(
        self,
        layers: int,
        rows: int,
        heads: int,
        capacity: int,
        dim: int,
        text_length: int,
        like: Tensor,
    ) -> None:
        self.capacity = capacity
        self.length = 0
        self.span = capacity
        self.visible: Tensor | None = None
        self.text_mask = torch.ones(rows, 1, 1, text_length, dtype=torch.bool, device=like.device)
        self._position = torch.zeros(1, dtype=torch.int64, device=like.device)
        self._numbers = torch.arange(capacity, device=like.device)
        self._table = sinusoidal_positions(capacity, dim, like.device)
        # What no step has written yet is multiplied with a weight of zero: it must be finite.
        stored = like.new_zeros(layers, 2, rows, heads, capacity, dim // heads)
        text = like.new_zeros(layers, 2, rows, heads, text_length, dim // heads)
        self.layers = [
            StaticLayerCache(self, own, told) for own, told in zip(stored, text, strict=True)
        ]

    def place(self, span: int) -> None:
        """Set the device's number of the next position, and how many positions are read."""
        assert self.length < span <= self.capacity
        self._position.fill_(self.length)
        self.span = span

    def take_positions(self, steps: int) -> Tensor:
        """[steps, D]: vectors of the next position, or of the first `steps`. Counts nothing."""
        if steps > 1:
            return self._table[:steps]
        self.visible = (self._numbers[: self.span] <= self._position)[None, None, None]
        return self._table.index_select(0, self._position)


class StaticLayerCache:
    """The memory of one layer of a `StaticCache`."""

    def __init__(self, whole: StaticCache, stored: Tensor, text: Tensor) -> None:
        self._whole, self._stored = whole, stored
        self.text_keys, self.text_values = text

    @property
    def length(self) -> int:
        """Positions stored."""
        return self._whole.length

    @property
    def text_mask(self) -> Tensor:
        """[R, 1, 1, S] bool."""
        return self._whole.text_mask

    def append(self, keys_values: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """As `LayerCache.append`."""
        steps, whole = keys_values.shape[3], self._whole
        if steps > 1:
            self._stored[:, :, :, :steps] = keys_values
            return keys_values[0], keys_values[1], None
        self._stored.index_copy_(3, whole._position, keys_values)
        keys, values = self._stored[:, :, :, : whole.span]
        return keys, values, whole.visible


def sinusoidal_positions(count: int, dim: int, device: torch.device) -> Tensor:
    """[count, dim] fp32: [cos | sin] of period 10000 and divisor dim / 2 - 1, as in MusicGen."""
    half = dim // 2
    exponents = torch.arange(half, device=device, dtype=torch.float32) / (half - 1)
    angles = torch.arange(count, device=device, dtype=torch.float32)[:, None] / 10000.0**exponents
    return torch.cat([angles.cos(), angles.sin()], dim=1)
