"""What a run consists of between two steps, all of which a checkpoint holds."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from soundwright.core.devices import Precision, uses_bf16
from soundwright.core.errors import CheckpointError, ConfigError, UserError, nearest
from soundwright.core.protocols import StepContext, TrainingTask
from soundwright.core.ranks import Ranks
from soundwright.core.seeding import derive_seed
from soundwright.training.averaging import AveragedWeights
from soundwright.training.checkpoints import Checkpoint, read_checkpoint
from soundwright.training.health import HealthMonitor
from soundwright.training.optimizers import Move, Player
from soundwright.training.parallel import find_blocks, place
from soundwright.training.settings import TrainingConfig
from soundwright.training.shards import local_part
from soundwright.training.turns import take_turns

logger = logging.getLogger(__name__)


class Session:
    """A task with its optimizers, averages and counters.

    Args:
        task: What is trained; its players are moved to `device`.
        config: The loop's settings.
        device: Where training happens.
        ranks: Those of the run, connected.

    Raises:
        ConfigError: `config.players` names a player that the task does not have, or several
            players shall be sharded.
    """

    def __init__(
        self,
        task: TrainingTask[Any],
        config: TrainingConfig,
        device: torch.device,
        ranks: Ranks | None = None,
    ) -> None:
        _check_names(config, task)
        self.task, self._config, self._device = task, config, device
        self.ranks = ranks or Ranks()
        modules = {name: module.to(device) for name, module in task.players.items()}
        if config.compile:
            _compile(modules.values())
        bf16 = uses_bf16(device, config.precision)
        placements = place(modules, config.parallel, self.ranks, device, bf16=bf16)
        self.players = {
            name: Player(
                name,
                module,
                config.optimizer_of(name),
                config.steps,
                placements[name],
                self.ranks,
            )
            for name, module in modules.items()
        }
        self.is_sharded = any(placed.is_sharded for placed in placements.values())
        # Sharded weights are gathered in bf16 already.
        self.precision: Precision = "fp32" if self.is_sharded else config.precision
        self.health = HealthMonitor(config.health)
        self.done = 0
        self.skipped = dict.fromkeys(self.players, 0)
        self._skipped_in_row = dict.fromkeys(self.players, 0)
        self._losses: dict[str, list[float]] = {name: [] for name in self.players}
        self._first = next(iter(self.players))
        self._average: AveragedWeights | None = None
        if config.average is not None:
            self._average = AveragedWeights(self.players[self._first].module, config.average)

    def step(
        self, micro_batches: Sequence[Any], *, wants_metrics: bool
    ) -> tuple[list[tuple[str, Move]], dict[str, float]]:
        """Do the next step; returns the players' moves and the task's metrics.

        Raises:
            UserError: A player has skipped too many steps in a row.
        """
        _seed_generators(self._device, self._step_seed())
        contexts = [
            StepContext(self.done, micro, self._device, wants_metrics)
            for micro in range(len(micro_batches))
        ]
        moves, metrics = take_turns(
            self.task, micro_batches, self.players, contexts, self.precision
        )
        for name, move in moves:
            self._count(name, move)
        self.done += 1
        if self._average is not None:
            self._average.update(self.done)
        return moves, self.ranks.mean(metrics)

    def summarise(self, moves: Sequence[tuple[str, Move]]) -> dict[str, float]:
        """Loss, gradient norm, rate and skipped steps of each player that moved.

        Losses are means over the steps since the last summary.
        """
        summary: dict[str, float] = {}
        for name, move in moves:
            prefix = f"{name}/" if len(self.players) > 1 else ""
            losses = self._losses[name]
            summary[f"{prefix}loss"] = sum(losses) / len(losses) if losses else move.loss
            summary[f"{prefix}gradient_norm"] = move.gradient_norm
            summary[f"{prefix}lr"] = move.lr
            summary[f"{prefix}skipped"] = self.skipped[name]
            losses.clear()
        return summary

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A block with averaged weights, in evaluation mode and without gradients.

        Every rank has all weights in it, and may work without the others.
        """
        modules = [player.module for player in self.players.values()]
        with ExitStack() as stack:
            if self._average is not None:
                stack.enter_context(self._average.applied())
            for player in self.players.values():
                stack.enter_context(player.placement.gathered())
            stack.enter_context(torch.no_grad())
            stack.enter_context(_evaluation_mode(modules))
            yield

    def checkpoint(self, metadata: Mapping[str, Any]) -> Checkpoint:
        """Everything that `restore` needs; this rank's part of it where weights are sharded.

        Raises:
            UserError: A weight or buffer holds NaN.
        """
        weights = {name: player.module.state_dict() for name, player in self.players.items()}
        _refuse_nan(weights, self.ranks)
        return Checkpoint(
            step=self.done,
            weights=weights,
            averages={self._first: self._average.weights()} if self._average else {},
            state={
                "task": self.task.state_dict(),
                "optimizers": {name: player.state_dict() for name, player in self.players.items()},
                "average": self._average.state_dict() if self._average else None,
                "health": self.health.state_dict(),
                "skipped": self.skipped,
                "skipped_in_row": self._skipped_in_row,
                "losses": self._losses,
            },
            metadata=metadata,
        )

    def restore(self, path: Path) -> None:
        """Go back to where a checkpoint was written.

        Raises:
            CheckpointError: It is damaged or of another model.
        """
        checkpoint = read_checkpoint(
            path, like=self._like if self.is_sharded else None, ranks=self.ranks
        )
        state = checkpoint.state
        for name, player in self.players.items():
            try:
                player.module.load_state_dict(dict(checkpoint.weights[name]))
            except (KeyError, RuntimeError) as error:
                raise CheckpointError(f"{path} is of another model: {error}") from error
            player.load_state_dict(state["optimizers"][name])
        if self._average is not None and state["average"] is not None:
            self._average.load_state_dict(state["average"], checkpoint.averages[self._first])
        self.task.load_state_dict(state["task"])
        self.health.load_state_dict(state["health"])
        self.skipped, self._skipped_in_row = state["skipped"], state["skipped_in_row"]
        self._losses = state["losses"]
        self.done = checkpoint.step

    def _like(self, player: str, key: str | int) -> Tensor | None:
        """The tensor that lies over the ranks as a weight, or as a parameter's moments, shall."""
        owner = self.players.get(player)
        if owner is None:
            return None
        if isinstance(key, int):
            return owner.numbered.get(key)
        return owner.module.state_dict().get(key)

    def _step_seed(self) -> int:
        """Seeds what modules draw in a step: other numbers on every rank."""
        rank = ("rank", self.ranks.rank) if self.ranks.rank else ()
        return derive_seed(self._config.seed, "step", self.done, *rank)

    def _count(self, name: str, move: Move) -> None:
        """Keep the loss of a move, or count a step that was skipped."""
        if move.moved:
            self._losses[name].append(move.loss)
            self._skipped_in_row[name] = 0
            return
        self.skipped[name] += 1
        self._skipped_in_row[name] += 1
        seen = f"loss {move.loss:g}, gradient norm {move.gradient_norm:g}"
        logger.warning("step %d is skipped for %s: %s", self.done, name, seen)
        if self._skipped_in_row[name] > self._config.bad_steps:
            raise UserError(
                f"{name} had to skip {self._skipped_in_row[name]} steps in a row, the last of "
                f"them step {self.done}: {seen}.",
                expected="finite losses and gradients",
                change=f"Lower its learning rate ({move.lr:.2g} now), lengthen the warm-up or "
                "train in fp32, and resume accepting the change; the checkpoints are sound.",
            )


def _check_names(config: TrainingConfig, task: TrainingTask[Any]) -> None:
    for name in config.players:
        if name not in task.players:
            hint = nearest(name, task.players)
            raise ConfigError(f"players: this task has no player {name!r}. {hint}")


def _refuse_nan(weights: Mapping[str, Mapping[str, Tensor]], ranks: Ranks) -> None:
    """Guard the checkpoints against buffers that a bad forward pass has spoilt."""
    spoilt = [
        f"{player}.{name}"
        for player, tensors in weights.items()
        for name, value in tensors.items()
        # Infinity may be meant, as in a mask; NaN never is.
        if bool(local_part(value).isnan().any())
    ]
    everywhere = sorted({name for names in ranks.gather(spoilt) for name in names})
    if everywhere:
        raise UserError(
            f"{everywhere[0]} holds NaN, so no checkpoint was written.",
            change="Lower the learning rate or train in fp32, and resume accepting the "
            "change; the older checkpoints are sound.",
        )


def _compile(modules: Iterable[nn.Module]) -> None:
    """Have `torch.compile` compile each block when it is first called, or a module without any.

    The blocks of a model are alike: what is compiled for the first one serves all.
    """
    for module in modules:
        for part in find_blocks(module) or [module]:
            part.compile()


@contextmanager
def _evaluation_mode(modules: Sequence[nn.Module]) -> Iterator[None]:
    before = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, training in before:
            part.training = training


def _seed_generators(device: torch.device, seed: int) -> None:
    """Seed the generators that dropout draws from, so that no state of theirs needs saving."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
