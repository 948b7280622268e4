"""The trunk of the detector and the matcher: from a level spectrogram to hidden states in time."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from soundwright.core.config import Config

Count = Annotated[int, Field(ge=1)]


class TrunkConfig(Config):
    """Size of a `Trunk`."""

    range_db: Annotated[float, Field(gt=0)] = 70.0
    """Levels further than this below a clip's peak are all the same to the network."""
    widths: Annotated[tuple[Count, ...], Field(min_length=1)] = (16, 32, 48, 64)
    """Channels of the convolutions over bands and time; each halves the bands."""
    strides: tuple[Count, ...] = (2, 1, 1, 1)
    """By which each of them divides the frames."""
    width: Count = 128
    """Channels of the convolutions over time that follow."""
    dilations: tuple[Count, ...] = (1, 2, 4, 8, 16)
    """Of the latter."""

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len(self.strides) != len(self.widths):
            raise ValueError(f"{len(self.widths)} widths go with {len(self.strides)} strides")
        return self


class Trunk(nn.Module):
    """Convolutions over bands and time, then residual ones over time alone."""

    def __init__(self, config: TrunkConfig, bands: int) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        widths = (1, *config.widths)
        for number, (below, above) in enumerate(pairwise(widths)):
            size = 3 if number else 5
            layers += [
                nn.Conv2d(
                    below,
                    above,
                    size,
                    stride=(2, config.strides[number]),
                    padding=size // 2,
                    bias=False,
                ),
                nn.BatchNorm2d(above),
                nn.ReLU(),
            ]
            bands = -(-bands // 2)
        self.image = nn.Sequential(*layers)
        self.entrance = nn.Conv1d(widths[-1] * bands, config.width, 1)
        self.course = nn.Sequential(*(_Course(config.width, one) for one in config.dilations))

    def forward(self, levels: Tensor) -> Tensor:
        """[B, M, F] dB relative to each clip's peak to [B, D, T], T = ceil(F / all strides)."""
        # Nothing is 0, which is also what convolutions see beyond the edges.
        heights = (levels / self.config.range_db + 1).clamp(min=0)
        return self.course(self.entrance(self.image(heights[:, None]).flatten(1, 2)))


class _Course(nn.Module):
    """A dilated convolution over time with a skip connection."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, 1, bias=False),
            nn.BatchNorm1d(width),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.relu(hidden + self.main(hidden))
