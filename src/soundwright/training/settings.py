"""Settings of the training loop."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from soundwright.core.config import Config, merge
from soundwright.core.devices import Precision
from soundwright.training.averaging import AverageConfig
from soundwright.training.health import HealthConfig
from soundwright.training.optimizers import OptimizerConfig
from soundwright.training.parallel import ParallelConfig

Count = Annotated[int, Field(ge=1)]
MAY_CHANGE = (
    "steps",
    "device",
    "log_every",
    "validate_every",
    "validate_batches",
    "sample_every",
    "checkpoint_every",
    "checkpoint_minutes",
    "keep",
    "tensorboard",
    "health",
    "parallel",
    "compile",
)
"""Settings with which a resumed run may differ: all but `steps` leave its weights alone, but for
the rounding of sums in another order."""


class TrainingConfig(Config):
    """Settings of the loop."""

    steps: Count = 100_000
    seed: int = 0
    """Seeds torch's global generators, from which dropout layers draw, anew in every step."""
    device: str = "auto"
    precision: Precision = "auto"
    accumulate: Count = 1
    """Micro-batches a step; micro-batch m of step s is batch `s * accumulate + m`."""
    parallel: ParallelConfig = ParallelConfig()
    """How the ranks train together that `torchrun` has started."""
    compile: bool = False
    """Whether `torch.compile` compiles the modules' blocks: longer until the first step, faster
    ones on a GPU. Needs a C++ compiler, on a GPU Triton."""
    optimizer: OptimizerConfig = OptimizerConfig()
    players: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of `optimizer` that single players have otherwise."""
    average: AverageConfig | None = AverageConfig()
    """The average of the first player's weights; null for none."""
    bad_steps: Annotated[int, Field(ge=0)] = 10
    """Steps in a row that a player may skip because its loss or gradient is not finite."""
    log_every: Count = 50
    validate_every: Count | None = 1000
    validate_batches: Count = 8
    sample_every: Count | None = None
    checkpoint_every: Count | None = 1000
    checkpoint_minutes: Annotated[float, Field(ge=0)] | None = None
    """Besides, a checkpoint whenever this much time has passed since the last one."""
    keep: Annotated[int, Field(ge=0)] = 2
    """How many checkpoints stay, the newest ones; 0 keeps all."""
    tensorboard: bool | Literal["auto"] = "auto"
    """Whether to write TensorBoard files; "auto" does where the package is installed."""
    health: HealthConfig = HealthConfig()

    @model_validator(mode="after")
    def _check_players(self) -> TrainingConfig:
        for player in self.players:
            self.optimizer_of(player)
        return self

    def optimizer_of(self, player: str) -> OptimizerConfig:
        """The optimizer's settings for one player."""
        values = merge(self.optimizer.plain(), self.players.get(player, {}))
        return OptimizerConfig.read(values, origin=f"players.{player}")
