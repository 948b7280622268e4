"""One training step: the turns of all players over all micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from soundwright.core.devices import Precision, autocast
from soundwright.core.protocols import StepContext, TrainingTask, Turn
from soundwright.training.optimizers import Move, Player

Batch = TypeVar("Batch")


def take_turns(
    task: TrainingTask[Batch],
    micro_batches: Sequence[Batch],
    players: Mapping[str, Player],
    contexts: Sequence[StepContext],
    precision: Precision,
) -> tuple[list[tuple[str, Move]], dict[str, float]]:
    """Run one step as `TrainingTask.turns` promises.

    The turns of all micro-batches run side by side: the first player's loss of each is
    backpropagated, then that player moves, then the second player's turn is asked for.

    Args:
        task: What is trained.
        micro_batches: The step's batches; the step's loss is the mean of theirs.
        players: By name.
        contexts: One a micro-batch.
        precision: That of the forward pass; backward passes run in the precision of each
            tensor, as torch advises.

    Returns:
        The players' moves in order, and the tasks' metrics, averaged over micro-batches.

    Raises:
        RuntimeError: The micro-batches do not take the same turns.
    """
    first = contexts[0]
    micros = [
        task.turns(batch, context) for batch, context in zip(micro_batches, contexts, strict=True)
    ]
    moves: list[tuple[str, Move]] = []
    metrics: dict[str, list[float | Tensor]] = {}
    while True:
        mover: str | None = None
        for number, micro in enumerate(micros):
            turn = _ask(micro, first.device, precision)
            name = turn.player if turn else None
            if number and name != mover:
                raise RuntimeError(
                    f"Micro-batch {number} has the turn of {name!r}, the first that of {mover!r}."
                )
            mover = name
            if turn is not None:
                players[turn.player].take(turn.loss, len(micros))
                if first.wants_metrics:
                    _collect(metrics, turn, prefix=f"{name}/" if len(players) > 1 else "")
        if mover is None:
            return moves, {name: _mean(values) for name, values in metrics.items()}
        moves.append((mover, players[mover].move(first.step)))


def _ask(micro: Iterator[Turn], device: torch.device, precision: Precision) -> Turn | None:
    with autocast(device, precision):
        return next(micro, None)


def _collect(metrics: dict[str, list[Any]], turn: Turn, prefix: str) -> None:
    for name, value in turn.metrics.items():
        kept = value.detach() if isinstance(value, Tensor) else value
        metrics.setdefault(prefix + name, []).append(kept)


def _mean(values: Sequence[float | Tensor]) -> float:
    return sum(float(value) for value in values) / len(values)
