"""Whole frames: how lengths and masks in samples become lengths and masks in codec frames."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def frame_count(samples: int, hop_length: int) -> int:
    """Frames that hold `samples` samples: T = ceil(N / hop_length)."""
    return -(-samples // hop_length)


def pad_to_frames(waveform: Tensor, hop_length: int) -> Tensor:
    """Append zeros until the last axis is a whole number of frames: [..., N] to [..., T * hop]."""
    samples = waveform.shape[-1]
    missing = frame_count(samples, hop_length) * hop_length - samples
    return F.pad(waveform, (0, missing)) if missing else waveform


def frame_mask(mask: Tensor, hop_length: int) -> Tensor:
    """[B, N] bool over samples to [B, T] bool over frames: valid where any sample is."""
    padded = pad_to_frames(mask, hop_length)
    return padded.unflatten(-1, (-1, hop_length)).any(-1)
