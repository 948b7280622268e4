"""Variations of labelled level spectrograms, so that a tagger learns sounds and not recordings.

Everything works on levels [B, M, F] in dB relative to each clip's loudest cell, which is 0; a
mask [B, F] says which frames are sound. Levels are mel powers, so that equalisation is an
offset, noise and mixtures are sums of powers, and speed and pitch are scales of the two axes.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn import functional

from soundwright.core.config import Config
from soundwright.scorers.levels import EMPTY_DB, add_powers

Probability = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]


class AugmentationConfig(Config):
    """How far a clip may be varied. Zero switches a variation off."""

    crop_frames: Annotated[int, Field(ge=1)] = 150
    """Length of what the tagger sees; shorter clips are placed at random within it."""
    stretch: NotNegative = 0.25
    """Largest absolute logarithm of the speed."""
    transpose: NotNegative = 0.12
    """Largest absolute logarithm of the factor on the mel axis."""
    equaliser_db: NotNegative = 3.0
    """Standard deviation of four gains, spread over the mel axis and interpolated."""
    mixture: Probability = 0.7
    """How often a second clip is mixed in, with its share of the label (mixup of powers)."""
    noise: Probability = 0.5
    """How often noise with a tilted spectrum is added."""
    noise_db: tuple[float, float] = (-70.0, -30.0)
    """Range of its level."""
    band_limit: Probability = 0.2
    """How often everything above a mel band is removed."""
    lowest_band: Probability = 0.55
    """The lowest such band as a part of the mel axis."""
    bars: Annotated[int, Field(ge=0)] = 2
    """How many bars of bands, and of frames, are blanked."""
    bar_bands: Probability = 1 / 6
    """Largest width of a bar of bands as a part of all bands."""
    bar_frames: Probability = 1 / 8
    """Largest width of a bar of frames as a part of all frames."""


def augment(
    levels: Tensor,
    mask: Tensor,
    targets: Tensor,
    config: AugmentationConfig,
    generator: Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one variation of every clip of a batch.

    Args:
        levels: [B, M, F] dB; any value where the mask is False.
        mask: [B, F], True from frame 0 to the clip's last.
        targets: [B, L] parts of each label.
        config: How far to go.
        generator: On the device of `levels`.

    Returns:
        Levels [B, M, crop_frames] (the loudest cell at 0), mask [B, crop_frames], targets [B, L].
    """
    levels = levels.masked_fill(~mask[:, None], EMPTY_DB)
    levels, mask = _crop_and_warp(levels, mask, config, generator)
    levels = equalise(levels, config, generator)
    levels, mask, targets = _mix(levels, mask, targets, config, generator)
    levels = _add_noise(levels, config, generator)
    levels = _limit_band(levels, config, generator)
    levels = relative_to_peak(levels)
    return _blank_bars(levels, config, generator), mask, targets


def colour(levels: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """Vary [B, M, F] without a change in time: noise, band limit and bars; the peak is at 0."""
    levels = _add_noise(relative_to_peak(levels), config, generator)
    levels = relative_to_peak(_limit_band(levels, config, generator))
    return _blank_bars(levels, config, generator)


def shifted(values: Tensor, by: Tensor, axis: int, empty: float) -> Tensor:
    """Move each item of [B, A, F] along an axis; what comes in from beyond the edge is `empty`."""
    size = values.shape[axis]
    places = torch.arange(size, device=values.device) - by[:, None]
    inside = (places >= 0) & (places < size)
    shape = [values.shape[0], 1, 1]
    shape[axis] = size
    index = places.clamp(0, size - 1).view(shape).expand_as(values)
    return values.gather(axis, index).masked_fill(~inside.view(shape), empty)


def relative_to_peak(levels: Tensor) -> Tensor:
    """Shift every clip of [..., M, F] so that its loudest cell is at 0 dB."""
    return levels - levels.amax((-2, -1), keepdim=True)


def _crop_and_warp(
    levels: Tensor, mask: Tensor, config: AugmentationConfig, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Read a window at a random place with a random speed and transposition."""
    batch, bands, frames = levels.shape
    lengths = mask.sum(1)
    speed = torch.exp(config.stretch * _symmetric(generator, batch))
    factor = torch.exp(config.transpose * _symmetric(generator, batch))
    start = _uniform(generator, batch) * (lengths - config.crop_frames * speed)
    steps = torch.arange(config.crop_frames, device=levels.device)
    at_frame = start[:, None] + steps * speed[:, None]
    at_band = torch.arange(bands, device=levels.device) / factor[:, None]
    grid = torch.stack(
        torch.broadcast_tensors(
            (2 * at_frame / max(frames - 1, 1) - 1)[:, None, :],
            (2 * at_band / max(bands - 1, 1) - 1)[:, :, None],
        ),
        -1,
    )
    # grid_sample reads 0 beyond the edges, so that 0 has to stand for "nothing".
    heights = (levels - EMPTY_DB).clamp(min=0)[:, None]
    warped = functional.grid_sample(heights, grid, align_corners=True)[:, 0] + EMPTY_DB
    inside = (at_frame > -0.5) & (at_frame < lengths[:, None] - 0.5)
    return warped.masked_fill(~inside[:, None], EMPTY_DB), inside


def equalise(levels: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """Add a smooth curve over the mel axis."""
    gains = config.equaliser_db * _normal(generator, levels.shape[0], 1, 4)
    curve = functional.interpolate(gains, levels.shape[1], mode="linear", align_corners=True)
    return levels + curve.transpose(1, 2)


def _mix(
    levels: Tensor,
    mask: Tensor,
    targets: Tensor,
    config: AugmentationConfig,
    generator: Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Add the powers of a second clip; each counts from its own peak."""
    batch = levels.shape[0]
    chosen = _uniform(generator, batch) < config.mixture
    # From a half to all, more often near all.
    share = 1 - 0.5 * _uniform(generator, batch).square() * chosen
    other = torch.randperm(batch, generator=generator, device=levels.device)
    below = 10 * torch.log10((1 - share) / share)
    levels = relative_to_peak(levels)
    mixed = add_powers(torch.stack([levels, levels[other] + below[:, None, None]]), 0)
    audible = (share < 0.95)[:, None]
    targets = share[:, None] * targets + (1 - share)[:, None] * targets[other]
    return relative_to_peak(mixed), mask | (mask[other] & audible), targets


def _add_noise(levels: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """Add the powers of noise with a tilted spectrum to some clips."""
    batch, bands, frames = levels.shape
    chosen = _uniform(generator, batch) < config.noise
    low, high = config.noise_db
    level = low + (high - low) * _uniform(generator, batch)
    slope = 8.0 * _normal(generator, batch, 1) * torch.linspace(-0.5, 0.5, bands).to(levels.device)
    grain = 4.0 * _normal(generator, batch, bands, frames)
    noise = level[:, None, None] + slope[:, :, None] + grain
    return torch.where(chosen[:, None, None], add_powers(torch.stack([levels, noise]), 0), levels)


def _limit_band(levels: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """Leave some clips nothing above a band."""
    batch, bands, _ = levels.shape
    chosen = _uniform(generator, batch) < config.band_limit
    edge = config.lowest_band + (1 - config.lowest_band) * _uniform(generator, batch)
    above = torch.arange(bands, device=levels.device) > edge[:, None] * bands
    return levels.masked_fill((chosen[:, None] & above)[:, :, None], EMPTY_DB)


def _blank_bars(levels: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """SpecAugment's masks over bands and over frames."""
    _, bands, frames = levels.shape
    for _ in range(config.bars):
        rows = _bar(levels, bands, config.bar_bands, generator)
        columns = _bar(levels, frames, config.bar_frames, generator)
        levels = levels.masked_fill(rows[:, :, None] | columns[:, None, :], EMPTY_DB)
    return levels


def _bar(levels: Tensor, size: int, widest: float, generator: Generator) -> Tensor:
    """[B, size], True on a stretch of random place and width."""
    batch = levels.shape[0]
    width = _uniform(generator, batch) * widest * size
    start = _uniform(generator, batch) * (size - width)
    places = torch.arange(size, device=levels.device)
    return (places >= start[:, None]) & (places < (start + width)[:, None].floor())


def _uniform(generator: Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _symmetric(generator: Generator, *shape: int) -> Tensor:
    return 2 * _uniform(generator, *shape) - 1


def _normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)
