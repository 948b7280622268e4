"""How the modules of a run lie over its ranks: whole on each of them, or in shards.

Both keep the modules, the names of their weights and the way a task calls them as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, distributed, nn

from soundwright.core.config import Config
from soundwright.core.errors import ConfigError
from soundwright.core.ranks import Ranks
from soundwright.training.gradients import GradientAverager

BYTES_A_PARAMETER = 20
"""fp32 weights, gradients, both moments and the average."""
BYTES_A_FROZEN = 4
"""Of a parameter that is not trained: fp32 weights."""
SHARE_OF_DEVICE = 0.35
"""With more than this of a GPU for the parameters, "auto" shards: activations need the rest."""


class ParallelConfig(Config):
    """How several ranks train together. One rank alone needs none of it."""

    kind: Literal["auto", "ddp", "fsdp"] = "auto"
    """ddp: every rank has the whole model, gradients are averaged. fsdp: weights, gradients,
    moments and averages are divided over the ranks (torch's `fully_shard`, block by block).
    auto: ddp where the model leaves most of a GPU's memory free, fsdp where it does not."""
    reshard: bool = True
    """fsdp: free a block's whole weights between its forward and its backward pass, which saves
    memory and gathers them once more."""
    timeout_minutes: Annotated[float, Field(gt=0)] = 10.0
    """How long a rank waits for another one within a step; then the run ends. Preparation and
    samples are waited for without end."""


class Placement(Protocol):
    """Where one player's weights lie."""

    @property
    def is_sharded(self) -> bool:
        """Whether this rank has only a part of them, as `DTensor`s."""
        ...

    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter], *, last: bool) -> None:
        """Add a loss's gradient; after the step's last one the mean over ranks stands there."""
        ...

    def gathered(self) -> AbstractContextManager[None]:
        """A block in which every rank has all weights, and may work without the others."""
        ...


class Replica:
    """A module that every rank has whole, with the weights of rank 0.

    Args:
        module: On its device.
        ranks: Those of the run; one rank alone is the plain case.
    """

    is_sharded = False

    def __init__(self, module: nn.Module, ranks: Ranks) -> None:
        self._averager: GradientAverager | None = None
        if ranks.are_many:
            for value in module.state_dict().values():
                distributed.broadcast(value.detach(), src=0)
            self._averager = GradientAverager(module.parameters(), ranks)

    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter], *, last: bool) -> None:
        """As in `Placement`.

        Gradients flow only into `parameters`. A generator's loss passes through the
        discriminator; naming the inputs keeps that gradient out of the discriminator's next
        move, and spares its computation, which zeroing it afterwards would not.
        """
        if self._averager is None or not last:
            torch.autograd.backward(loss, inputs=list(parameters))
            return
        with self._averager.averaging():
            torch.autograd.backward(loss, inputs=list(parameters))

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """As in `Placement`: they always are."""
        yield


class Shards:
    """A module that is divided over the ranks with `torch.distributed.fsdp.fully_shard`.

    Each item of the module's lists, such as the blocks of a language model, is gathered and freed
    as one; what is outside of lists forms one more group.

    Args:
        module: On its device, the same on all ranks.
        ranks: More than one.
        device: This rank's.
        bf16: Whether weights are gathered, and the forward pass computed, in bf16. Gradients are
            averaged and weights kept in fp32.
        reshard: As in `ParallelConfig`.
    """

    is_sharded = True

    def __init__(
        self, module: nn.Module, ranks: Ranks, device: torch.device, *, bf16: bool, reshard: bool
    ) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        # An in-place operation on the output would break it, says torch; ours has none.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
        mesh = init_device_mesh(device.type, (ranks.count,))
        policy = MixedPrecisionPolicy()
        if bf16:
            policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        # The backward pass begins with the last group, which is outside of the blocks.
        groups = [*((block, reshard) for block in find_blocks(module)), (module, False)]
        self._groups = [
            (fully_shard(part, mesh=mesh, mp_policy=policy, reshard_after_forward=frees), frees)
            for part, frees in groups
        ]

    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter], *, last: bool) -> None:  # noqa: ARG002
        """As in `Placement`; gradients of micro-batches before the last stay whole until it."""
        whole, _ = self._groups[-1]
        whole.set_requires_gradient_sync(last)
        loss.backward()

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """As in `Placement`."""
        for group, _ in self._groups:
            group.set_reshard_after_forward(False, recurse=False)
            group.unshard()
        try:
            yield
        finally:
            for group, frees in self._groups:
                group.reshard()
                group.set_reshard_after_forward(frees, recurse=False)


def place(
    players: dict[str, nn.Module],
    config: ParallelConfig,
    ranks: Ranks,
    device: torch.device,
    *,
    bf16: bool,
) -> dict[str, Placement]:
    """Lay the modules of a run, which are on their device, over its ranks.

    Raises:
        ConfigError: Several players shall be sharded.
    """
    if not ranks.are_many or not must_shard(players, config, device):
        return {name: Replica(module, ranks) for name, module in players.items()}
    if len(players) > 1:
        raise ConfigError(
            f"training.parallel.kind is fsdp, but this task has the players {', '.join(players)}.",
            expected="one player, as language models have",
            change="Set training.parallel.kind=ddp.",
        )
    ((name, module),) = players.items()
    return {name: Shards(module, ranks, device, bf16=bf16, reshard=config.reshard)}


def find_blocks(module: nn.Module) -> list[nn.Module]:
    """The items of the lists that a module has itself: the blocks of a deep one."""
    lists = (child for child in module.children() if isinstance(child, nn.ModuleList))
    return [item for items in lists for item in items]


def must_shard(players: dict[str, nn.Module], config: ParallelConfig, device: torch.device) -> bool:
    """Whether several ranks divide the modules of a run when they train on devices like this."""
    if config.kind != "auto":
        return config.kind == "fsdp"
    if device.type != "cuda" or len(players) > 1:
        return False
    needed = sum(
        value.numel() * (BYTES_A_PARAMETER if value.requires_grad else BYTES_A_FROZEN)
        for module in players.values()
        for value in module.parameters()
    )
    memory = torch.cuda.get_device_properties(device).total_memory
    return needed > SHARE_OF_DEVICE * memory
