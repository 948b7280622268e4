"""The residual block that the scorers' networks are made of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Two convolutions and a skip connection; a stride halves both axes, rounding up."""

    def __init__(self, below: int, above: int, *, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(below, above, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(above),
            nn.ReLU(),
            nn.Conv2d(above, above, 3, padding=1, bias=False),
            nn.BatchNorm2d(above),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or below != above:
            self.skip = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(below, above, 1, bias=False),
                nn.BatchNorm2d(above),
            )

    def forward(self, image: Tensor) -> Tensor:
        """[B, below, M, F] to [B, above, M / stride, F / stride]."""
        return functional.relu(self.main(image) + self.skip(image))
