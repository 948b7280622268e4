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

    def append(self, keys_values: Tensor) -> tuple[Tensor, Tensor]:
        """Store [2, R, H, S, head_dim] behind what is there; give all keys and all values."""
        start, self.length = self.length, self.length + keys_values.shape[3]
        self._buffer[:, :, :, start : self.length] = keys_values
        keys, values = self._buffer[:, :, :, : self.length]
        return keys, values


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


def sinusoidal_positions(count: int, dim: int, device: torch.device) -> Tensor:
    """[count, dim] fp32: [cos | sin] of period 10000 and divisor dim / 2 - 1, as in MusicGen."""
    half = dim // 2
    exponents = torch.arange(half, device=device, dtype=torch.float32) / (half - 1)
    angles = torch.arange(count, device=device, dtype=torch.float32)[:, None] / 10000.0**exponents
    return torch.cat([angles.cos(), angles.sin()], dim=1)
