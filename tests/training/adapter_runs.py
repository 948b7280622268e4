"""Runs of adapters, for tests: what one process of them does."""

from __future__ import annotations

from pathlib import Path

from distributed_runs import make_task, sample, train_lm

from soundwright.core.ranks import open_ranks
from soundwright.lm.task import LmTask
from soundwright.nn.lora import LoraConfig, add_lora


def make_adapted_task() -> LmTask:
    """An adapter with RR on a model that is frozen."""
    task = make_task()
    add_lora(task.lm, LoraConfig(rank=2, targets=("qkv", "key_value", "ffn_out")), seed=4)
    return task


def train_adapters(folder: Path) -> None:
    """An adapter to the end, whole on each rank and in shards."""
    with open_ranks() as ranks:
        for kind in ("ddp", "fsdp"):
            task, changes = make_adapted_task(), {"parallel": {"kind": kind}, "sample_every": 10}
            train_lm(folder / kind, ranks, task=task, changes=changes, hooks=[sample])
