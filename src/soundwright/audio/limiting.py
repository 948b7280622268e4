"""A limiter that looks ahead: peaks are turned down smoothly, and nothing else is touched."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def limit(samples: Tensor, ceiling: float, reach: int) -> Tensor:
    """Turn down what is beyond the ceiling.

    The gain is the least that any sample within `reach / 2` needs, averaged over as far with a
    Hann window: it moves slowly and never exceeds what a sample needs. Samples further than
    `reach` from every peak stay exactly as they are where no such peak is in `samples`, and up to
    rounding elsewhere.

    Args:
        samples: [C, N] float; all channels get one gain.
        ceiling: Highest absolute value of the result.
        reach: In samples, even.

    Returns:
        [C, N].
    """
    peaks = samples.abs().amax(dim=0)
    if not bool((peaks > ceiling).any()):
        return samples
    half = reach // 2
    needed = (ceiling / peaks.clamp_min(ceiling))[None, None]
    least = -F.max_pool1d(-needed, 2 * half + 1, stride=1, padding=half)
    window = torch.hann_window(2 * half + 3, periodic=False, dtype=samples.dtype)[1:-1]
    window = (window / window.sum()).to(samples.device)
    gain = F.conv1d(F.pad(least, (half, half), mode="replicate"), window[None, None])[0, 0]
    return (samples * gain).clamp(-ceiling, ceiling)
