"""Number of channels: down to fewer, up to more."""

from __future__ import annotations

import torch
from torch import Tensor


def to_channels(samples: Tensor, channels: int) -> Tensor:
    """Change the number of channels of `samples`.

    Down: to one channel, the mean of all; to two, the mean of the even and of the odd channels,
    so that a left and right layout stays one. Up: the channels are repeated in turn, so that
    mono sounds alike everywhere and keeps its peak.

    Args:
        samples: [..., C, N] float, C at least one.
        channels: Wanted number of channels.

    Returns:
        [..., channels, N]; the tensor itself where nothing changes.
    """
    assert channels >= 1, f"{channels} channels"
    given = samples.shape[-2]
    if given == channels:
        return samples
    if given > channels:
        groups = [samples[..., first::channels, :].mean(-2) for first in range(channels)]
        return torch.stack(groups, dim=-2)
    return samples[..., [index % given for index in range(channels)], :]
