"""Runs of several ranks, for tests: what one process of them does."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from training_tasks import DuelTask, LineBatches, duel_config

from soundwright.core.errors import UserError
from soundwright.core.protocols import StepContext, TextStates, TokenBatch, Turn
from soundwright.core.ranks import Ranks, open_ranks
from soundwright.core.seeding import torch_stream
from soundwright.data.segments import Share
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.lm.task import LmTask, LmTaskConfig
from soundwright.training.gradients import GradientAverager
from soundwright.training.interrupts import TrainingInterrupted
from soundwright.training.loop import TrainingResult, train
from soundwright.training.settings import TrainingConfig

WORDS = ("dog", "rain", "bell", "wind")
CODES, BOOKS, WIDTH = 11, 3, 12
STEPS, FEW = 20, 4


class WordEncoder:
    """One fixed random vector a word."""

    width = WIDTH
    identity = "words"

    def encode(self, texts: Sequence[str]) -> TextStates:
        words = [text.split() for text in texts]
        states = torch.zeros(len(texts), max(map(len, words)), WIDTH)
        mask = torch.zeros(states.shape[:2], dtype=torch.bool)
        for row, sentence in enumerate(words):
            for column, word in enumerate(sentence):
                states[row, column] = torch.randn(WIDTH, generator=torch_stream(0, word))
                mask[row, column] = True
        return TextStates(states, mask, states.sum(1))


class Sounds:
    """Token batches of 4 with captions, of lengths that leave each rank another padding."""

    def __init__(self, share: Share | None = None) -> None:
        self.share = share or Share(4)

    def for_rank(self, rank: int, ranks: int) -> Sounds:
        return Sounds(Share(4, rank, ranks))

    def __getitem__(self, index: int) -> TokenBatch:
        stream = torch_stream(0, "sounds", index)
        tokens = torch.randint(CODES, (4, BOOKS, 9), generator=stream)
        lengths = torch.tensor([9, 7, 2, 4])
        number = torch.randint(len(WORDS), (4, 2), generator=stream).tolist()
        texts = [" ".join(WORDS[word] for word in words) for words in number]
        mask = torch.arange(9) < lengths[:, None]
        rows = list(self.share.positions(0))
        return TokenBatch(tokens[rows], mask[rows], tuple(texts[row] for row in rows))


def make_task(*, gather: str = "all", checkpointing: bool = False) -> LmTask:
    shape = {"dim": 16, "layers": 2, "heads": 2, "codebooks": BOOKS, "codebook_size": CODES}
    options = {"text_width": WIDTH, "checkpointing": checkpointing}
    lm = AudioLm(LmConfig.read({**shape, **options}), seed=1)
    config = {"text_dropping": 0.5, "regularizer": {"kind": "rr", "gather": gather}}
    return LmTask(lm, WordEncoder(), LmTaskConfig.read(config), seed=3)


def lm_config(**changes: Any) -> TrainingConfig:
    return TrainingConfig.read(
        {
            "steps": STEPS,
            "device": "cpu",
            "precision": "fp32",
            "accumulate": 2,
            "optimizer": {"lr": 0.01, "schedule": {"kind": "constant", "warmup": 2}},
            "average": {"every": 3},
            "log_every": 1,
            "validate_every": 10,
            "validate_batches": 2,
            "checkpoint_every": 10,
            "keep": 0,
            "tensorboard": False,
            **changes,
        }
    )


def train_lm(folder: Path, ranks: Ranks | None = None, **options: Any) -> TrainingResult:
    """A run of the language model on the ranks that there are."""
    ranks = ranks or Ranks()
    changes = options.pop("changes", {})
    sounds = Sounds().for_rank(ranks.rank, ranks.count)
    return train(
        options.pop("task", None) or make_task(),
        sounds,
        lm_config(**changes),
        folder,
        validation=sounds,
        ranks=ranks,
        **options,
    )


class FailingTask(LmTask):
    """Something happens to rank 1 in step 3."""

    @classmethod
    def of(cls, task: LmTask, what: str) -> FailingTask:
        failing = cls(task.lm, task.text_encoder, task.config, task.seed)
        failing.what = what
        return failing

    what: str

    def turns(self, batch: TokenBatch, context: StepContext) -> Iterator[Turn]:
        if context.step == 3 and torch.distributed.get_rank() == 1:
            if self.what == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            if self.what == "spoilt":
                for turn in super().turns(batch, context):
                    yield replace(turn, loss=turn.loss * torch.nan)
                return
            os.kill(os.getpid(), signal.SIGTERM)
        yield from super().turns(batch, context)


def make_duel() -> DuelTask:
    """A duel without dropout, which draws other numbers on every rank."""
    task = DuelTask()
    task.generator[1].p = 0.0
    return task


def sample(step: int, task: LmTask, place: Path) -> dict[str, float]:
    """What only one rank may do: it calls other methods than `forward`."""
    place.mkdir(parents=True)
    with torch.no_grad():
        text = task.text_encoder.encode(["dog"])
        cache = task.lm.start(text.states, text.mask, 2)
        logits = task.lm.step(torch.zeros(1, BOOKS, 1, dtype=torch.int64), cache)
    return {"logit": float(logits[0, 0, 0]), "rank": float(torch.distributed.get_rank())}


def undisturbed(ranks: Ranks, folder: Path) -> Any:
    """DDP and FSDP2 to the end and in bf16, two players, a spoilt loss, single gradients."""
    for kind in ("ddp", "fsdp"):
        changes = {"parallel": {"kind": kind}, "sample_every": 10}
        train_lm(folder / kind, ranks, changes=changes, hooks=[sample])
        few = {"parallel": {"kind": kind}, "precision": "bf16", "steps": FEW}
        train_lm(folder / f"{kind}-narrow", ranks, changes=few, task=make_task(checkpointing=True))
    train_lm(folder / "apart", ranks, changes={"steps": 2}, task=make_task(gather="rank"))
    # Both ranks see the same batches: their mean is what one alone has.
    train(make_duel(), LineBatches(), duel_config(6), folder / "duel", ranks=ranks)
    return {"gradients": average_some(ranks), "skipped": failing("spoilt")(ranks, folder)}


def average_some(ranks: Ranks) -> list[list[float] | None]:
    """Mean gradients of parameters: used by all, by this rank's other micro-batch, by one, by none.

    Buckets are as small as can be.
    """
    with ranks.connected(torch.device("cpu"), 1.0):
        parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(4)]
        averager = GradientAverager(parameters, ranks, bucket_bytes=1)
        always, before, sometimes, _ = parameters
        torch.autograd.backward((before * (ranks.rank + 1)).sum(), inputs=[before])
        loss = (always * (10**ranks.rank)).sum()
        if ranks.rank == 1:
            loss = loss + sometimes.sum()
        with averager.averaging():
            loss.backward()
    return [None if value.grad is None else value.grad.tolist() for value in parameters]


def resumed(ranks: Ranks, folder: Path) -> Any:
    """Go on with whatever stands in the folders of the test."""
    for kind in ("ddp", "fsdp"):
        changes = {"parallel": {"kind": kind}}
        for run in sorted(folder.glob(f"*-{kind}")):
            train_lm(run, ranks, changes=changes, resume=True)
    return None


def failing(what: str, **changes: Any) -> Any:
    def run(ranks: Ranks, folder: Path) -> Any:
        task = FailingTask.of(make_task(), what)
        parallel = {"parallel": {"timeout_minutes": 0.5}, "accumulate": 1, **changes}
        return train_lm(folder / what, ranks, task=task, changes=parallel).skipped

    return run


SCENARIOS = {
    "undisturbed": undisturbed,
    "resumed": resumed,
    "dies": failing("dies"),
    "memory": failing("memory"),
    "signal": failing("signal"),
}


def run(scenario: str, folder: Path) -> None:
    """One rank of a scenario, with the ends that the command gives it."""
    try:
        with open_ranks() as ranks:
            result = SCENARIOS[scenario](ranks, folder)
        sys.stdout.write(json.dumps(result))
    except UserError as error:
        sys.stderr.write(f"Error: {error}\n")
        raise SystemExit(2) from error
    except TrainingInterrupted as stop:
        sys.stderr.write(f"{stop}\n")
        raise SystemExit(128 + stop.signal) from stop
