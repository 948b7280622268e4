"""Averaging of gradients over ranks, while the backward pass that makes them still runs.

What torch's DistributedDataParallel does, without a wrapper around the module: a codec's players
are called by other methods than `forward`, several times a step, and each is differentiated by
its own losses only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed, nn

from soundwright.core.ranks import Ranks

BUCKET_BYTES = 25 << 20
"""Gradients that travel together: enough to use the network well, few enough to begin early."""


@dataclass
class _Bucket:
    """Parameters whose gradients travel together."""

    parameters: list[nn.Parameter]
    waiting: set[nn.Parameter] = field(default_factory=set)
    """Those whose gradients are not yet there."""
    flat: Tensor | None = None
    work: distributed.Work | None = None


class GradientAverager:
    """Replaces the gradients of parameters by their means over all ranks.

    A parameter that no rank has a gradient for keeps none; where some ranks have none, theirs
    counts as zero.

    Args:
        parameters: The same on all ranks, in the same order.
        ranks: Those of the run.
        bucket_bytes: As `BUCKET_BYTES`.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        ranks: Ranks,
        bucket_bytes: int = BUCKET_BYTES,
    ) -> None:
        trained = [value for value in parameters if value.requires_grad]
        self._ranks = ranks
        # A backward pass makes the gradients of the last layers first.
        self._buckets = [_Bucket(group) for group in _group(trained[::-1], bucket_bytes)]
        self._bucket_of = {value: bucket for bucket in self._buckets for value in bucket.parameters}
        self._active = False
        self._begun = 0
        for value in trained:
            value.register_post_accumulate_grad_hook(self._note)

    @contextmanager
    def averaging(self) -> Iterator[None]:
        """A block with one backward pass, after which the gradients are means."""
        self._active, self._begun = True, 0
        for bucket in self._buckets:
            bucket.waiting = set(bucket.parameters)
        try:
            yield
        finally:
            self._active = False
        for bucket in self._buckets[self._begun :]:
            self._begin(bucket)
        self._finish()

    def _note(self, parameter: Tensor) -> None:
        if not self._active:
            return
        assert isinstance(parameter, nn.Parameter)
        self._bucket_of[parameter].waiting.discard(parameter)
        # In the order of buckets on all ranks, whatever the order of their gradients.
        while self._begun < len(self._buckets) and not self._buckets[self._begun].waiting:
            self._begin(self._buckets[self._begun])
            self._begun += 1

    def _begin(self, bucket: _Bucket) -> None:
        parts = [
            torch.zeros_like(value) if value.grad is None else value.grad
            for value in bucket.parameters
        ]
        bucket.flat = torch.cat([part.reshape(-1) for part in parts])
        bucket.work = distributed.all_reduce(bucket.flat, async_op=True)

    def _finish(self) -> None:
        present = self._present()
        for bucket in self._buckets:
            assert bucket.flat is not None
            assert bucket.work is not None
            bucket.work.wait()
            sizes = [value.numel() for value in bucket.parameters]
            means = (bucket.flat / self._ranks.count).split(sizes)
            bucket.flat = bucket.work = None
            for value, mean in zip(bucket.parameters, means, strict=True):
                if value.grad is not None:
                    value.grad.copy_(mean.view_as(value))
                elif present is None or present[value]:
                    value.grad = mean.view_as(value).clone()

    def _present(self) -> dict[nn.Parameter, bool] | None:
        """Which parameters some rank has a gradient for; None where this rank has all."""
        parameters = list(self._bucket_of)
        here = torch.tensor([value.grad is not None for value in parameters], dtype=torch.int32)
        mask = here.to(parameters[0].device)
        distributed.all_reduce(mask, distributed.ReduceOp.MAX)
        # Reading it waits for the device, so it is read only where something is missing.
        if bool(here.all()):
            return None
        return dict(zip(parameters, mask.bool().tolist(), strict=True))


def _group(parameters: list[nn.Parameter], limit: int) -> Iterator[list[nn.Parameter]]:
    """Neighbours of one type and device, up to `limit` bytes together."""
    group: list[nn.Parameter] = []
    size = 0
    for value in parameters:
        fits = not group or (
            size + value.nbytes <= limit
            and (value.dtype, value.device) == (group[0].dtype, group[0].device)
        )
        if not fits:
            yield group
            group, size = [], 0
        group.append(value)
        size += value.nbytes
    if group:
        yield group
