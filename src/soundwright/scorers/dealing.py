"""Which clips a batch holds: an endless sequence of shuffled passes over all of them."""

from __future__ import annotations

import torch

from soundwright.core.seeding import torch_stream


def deal(index: int, *, count: int, batch_size: int, seed: int) -> list[int]:
    """The clips of batch `index`. Each comes once a pass; a batch may reach over the end of one.

    Args:
        index: Number of the batch.
        count: Of the clips.
        batch_size: Clips a batch.
        seed: Of the order.
    """
    first = index * batch_size
    places = range(first, first + batch_size)
    orders = {
        number: _order(number, count, seed) for number in {place // count for place in places}
    }
    return [orders[place // count][place % count] for place in places]


def deal_once(count: int, batch_size: int) -> list[list[int]]:
    """The clips of every batch of one pass in the order given; the last batch may be smaller."""
    return [
        list(range(first, min(first + batch_size, count))) for first in range(0, count, batch_size)
    ]


def _order(number: int, count: int, seed: int) -> list[int]:
    generator = torch_stream(seed, "labelled clips", number)
    return torch.randperm(count, generator=generator).tolist()
