"""Tiny tasks that the tests train, and a whole run to be killed and resumed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from soundwright.core.protocols import StepContext, Turn
from soundwright.core.seeding import initialising, torch_stream
from soundwright.training.interrupts import TrainingInterrupted
from soundwright.training.loop import train
from soundwright.training.settings import TrainingConfig


class LineBatches:
    """Points of a line: (x [B, 3], y [B, 1]); some batches can be spoilt with NaN."""

    def __init__(self, size: int = 8, spoilt: tuple[int, ...] = (), delay: float = 0.0) -> None:
        self.size, self.spoilt, self.delay = size, spoilt, delay
        self.asked: list[int] = []

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.asked.append(index)
        time.sleep(self.delay)
        x = torch.randn(self.size, 3, generator=torch_stream(1, "x", index))
        y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3
        return (x * torch.nan if index in self.spoilt else x), y


class LineTask:
    """Linear regression with a mean squared error."""

    def __init__(self) -> None:
        with initialising(0, "line"):
            self.line = nn.Linear(3, 1)
        self.contexts: list[StepContext] = []

    @property
    def players(self) -> Mapping[str, nn.Module]:
        return {"line": self.line}

    def turns(self, batch: tuple[Tensor, Tensor], context: StepContext) -> Iterator[Turn]:
        self.contexts.append(context)
        x, y = batch
        yield Turn("line", (self.line(x) - y).square().mean(), {"bias": self.line.bias.mean()})

    def validate(self, batch: tuple[Tensor, Tensor], device: torch.device) -> Mapping[str, float]:
        assert not torch.is_grad_enabled()
        assert not self.line.training
        x, y = batch
        return {"error": float((self.line(x) - y).square().mean())}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        assert state == {}


class DuelTask:
    """A generator and a discriminator, with dropout, a buffer and a random stream of its own."""

    def __init__(self) -> None:
        with initialising(0, "duel"):
            self.generator = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1))
            self.discriminator = nn.Sequential(
                nn.Linear(1, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Linear(8, 1)
            )
        self.stream = torch_stream(0, "noise")
        self.seen: list[tuple[str, int]] = []

    @property
    def players(self) -> Mapping[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def turns(self, batch: tuple[Tensor, Tensor], context: StepContext) -> Iterator[Turn]:
        x, y = batch
        fake = self.generator(x + 0.1 * torch.randn(x.shape, generator=self.stream))
        self.seen.append(("discriminator", context.micro))
        loss = self.discriminator(fake.detach()).relu().mean() - self.discriminator(y).mean()
        yield Turn("discriminator", loss.float())
        self.seen.append(("generator", context.micro))
        adversarial = -self.discriminator(fake).mean()
        loss = adversarial + (fake - y).abs().mean()
        yield Turn("generator", loss.float(), {"adversarial": adversarial})

    def validate(self, batch: tuple[Tensor, Tensor], device: torch.device) -> Mapping[str, float]:
        x, y = batch
        return {"error": float((self.generator(x) - y).abs().mean())}

    def state_dict(self) -> dict[str, Any]:
        return {"stream": self.stream.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.stream.set_state(state["stream"])


def duel_config(steps: int) -> TrainingConfig:
    """Everything that a resumed run could get wrong, switched on."""
    return TrainingConfig.read(
        {
            "steps": steps,
            "device": "cpu",
            "precision": "bf16",
            "accumulate": 2,
            "optimizer": {"lr": 0.01, "schedule": {"warmup": 4}},
            "players": {"discriminator": {"lr": 0.02, "betas": [0.5, 0.9], "clip": None}},
            "average": {"every": 3},
            "log_every": 1,
            "validate_every": 5,
            "validate_batches": 2,
            "checkpoint_every": 4,
            "tensorboard": False,
        }
    )


def run_duel(folder: Path, steps: int, *, delay: float = 0.0, resume: bool = False) -> None:
    """A whole run, in a process of its own, to be killed and resumed."""
    try:
        train(
            DuelTask(),
            LineBatches(delay=delay),
            duel_config(steps),
            folder,
            validation=LineBatches(),
            resume=resume,
        )
    except TrainingInterrupted as stop:
        sys.stdout.write(f"{stop}\n")
        raise SystemExit(128 + stop.signal) from stop
