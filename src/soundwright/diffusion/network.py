"""What samplers, scores and training need to know of a network, whatever it is made of."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Generic, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.flow import FlowProcess
from soundwright.diffusion.noise import NoiseConfig, NoiseProcess
from soundwright.diffusion.process import ProcessConfig, build_process


class NetworkConfig(Config):
    """What the configurations of all networks say."""

    process: ProcessConfig = NoiseConfig()
    """What is reversed, and what predictions of it mean."""
    channels: int = Field(default=8, ge=1)
    """C of the latents."""
    text_width: int = Field(default=1024, ge=1)
    """D of the text encoder."""
    vector_width: int | None = Field(default=None, ge=1)
    """V of the vectors of sounds and texts; null reads none."""
    sources: int | None = Field(default=None, ge=1)
    """How many data sets are told apart; null is none."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """In training."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more time."""


Shape = TypeVar("Shape", bound=NetworkConfig)


class Network(nn.Module, Generic[Shape]):
    """Predicts what its process asks for from noisy latents, their times and conditions.

    What it says of an item depends on that item alone, beyond the rounding of sums.
    """

    player: ClassVar[str]
    """Its name among the parts of a model folder, the players of a training, the keys of a
    recipe."""
    config: Shape
    process: NoiseProcess | FlowProcess

    def __init__(self, config: Shape) -> None:
        super().__init__()
        self.config = config
        self.process = build_process(config.process)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    @property
    def frame_limit(self) -> int | None:
        """Most frames that it takes; None is any number."""
        return None

    @abstractmethod
    def forward(self, latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """Predict.

        Args:
            latents: [B, C, T], or [B, C, T, F].
            times: [B], of the process.
            conditions: Of the B items; those that the network does not know are ignored.

        Returns:
            The shape of the latents, in the precision of the computation.

        Raises:
            UserError: Latents or conditions of another shape, or too many frames.
        """

    @abstractmethod
    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse latents (C, T, ...) of one item that the network cannot take.

        Raises:
            UserError: They have other axes, or more frames than it has positions for.
        """

    def check_conditions(self, conditions: Conditions) -> None:
        """Refuse conditions that come from other encoders than those of training.

        Raises:
            UserError: Texts or vectors of another width.
        """
        width, config = conditions.text.states.shape[-1], self.config
        if width != config.text_width:
            raise UserError(
                f"The texts have states of width {width}.",
                expected=f"width {config.text_width}, from the text encoder that the model was "
                "trained with",
            )
        wanted, vector = config.vector_width, conditions.vector
        if vector is not None and wanted is not None and vector.shape[-1] != wanted:
            raise UserError(
                f"The vectors of the texts are {vector.shape[-1]} wide.",
                expected=f"{wanted}, from the encoder that the model was trained with",
            )
