"""RR over several ranks equals RR of one process with the whole batch."""

import pytest
import torch
from torch import distributed

from forks import run_ranks
from soundwright.lm.representations import Representations, gather_ranks
from soundwright.lm.similarity import RrConfig, regularize

WORLD = 2


def _whole():
    stream = torch.Generator().manual_seed(0)
    states = torch.randn(6, 4, generator=stream)
    text = torch.randn(6, 5, generator=stream)
    valid = torch.tensor([True, True, False, True, True, True])
    return states, text, valid, torch.tensor([1, 2, 3, 1, 4, 5])


def _loss(weight, states, text, valid, captions):
    batch = gather_ranks(Representations(text, states @ weight, valid, captions))
    report = regularize(batch, RrConfig(duplicates="mask"))
    return report.loss, report.valid


def _work(results):
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    try:
        weight = torch.eye(4).requires_grad_()
        share = slice(3 * rank, 3 * rank + 3)
        loss, valid = _loss(weight, *(part[share] for part in _whole()))
        loss.backward()
        distributed.all_reduce(weight.grad)
        torch.save((loss.detach(), weight.grad / WORLD, valid), f"{results}.{rank}")
    finally:
        distributed.destroy_process_group()


@pytest.mark.skipif(not distributed.is_available(), reason="torch is built without distributed")
def test_gathered_rr_equals_one_process(tmp_path):
    ends = run_ranks(_work, tmp_path / "result", count=WORLD)
    assert [end.status for end in ends] == [0, 0], "".join(end.errors for end in ends)
    weight = torch.eye(4).requires_grad_()
    loss, valid = _loss(weight, *_whole())
    loss.backward()
    for rank in range(WORLD):
        theirs = torch.load(tmp_path / f"result.{rank}")
        torch.testing.assert_close(theirs, (loss.detach(), weight.grad, valid))
