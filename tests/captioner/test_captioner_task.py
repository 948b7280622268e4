"""Training a captioner: its loss by hand, and frozen towers of which no byte changes."""

import dataclasses
import math

import pytest
import torch
from captioner_models import CAPTIONS, KNOWN, make_clip, make_config, make_model
from torch import nn

from soundwright.captioner.batches import CaptionBatch, invent_title, tell
from soundwright.captioner.heard import join_sounds
from soundwright.captioner.model import IGNORED, number_captions
from soundwright.captioner.task import (
    CaptionerTask,
    CaptionerTaskConfig,
    cross_entropy,
    number_metadata,
)
from soundwright.core.protocols import StepContext
from soundwright.core.seeding import torch_stream

CPU = torch.device("cpu")


@pytest.fixture
def batch(impressions):
    return CaptionBatch(join_sounds(impressions), CAPTIONS[:3], KNOWN, (0, 1, 2))


def step(task, batch, number=0):
    (turn,) = task.turns(batch, StepContext(number, 0, CPU))
    return turn


def test_the_loss_is_that_of_a_literal_float64_version():
    stream = torch_stream(0, "logits")
    logits = torch.randn(2, 3, 5, generator=stream, dtype=torch.float64)
    wanted = torch.tensor([[1, 4, 0], [2, 3, IGNORED]])
    smoothing, total, count = 0.1, 0.0, 0
    for row, numbers in zip(logits.tolist(), wanted.tolist(), strict=True):
        for scores, number in zip(row, numbers, strict=True):
            if number == IGNORED:
                continue
            norm = math.log(sum(math.exp(score) for score in scores))
            logs = [score - norm for score in scores]
            total -= (1 - smoothing) * logs[number] + smoothing * sum(logs) / len(logs)
            count += 1
    found = cross_entropy(logits, wanted, smoothing)
    torch.testing.assert_close(float(found), total / count, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("frozen", "kept"), [("language", "bart."), ("words", "bart.model.shared")]
)
def test_training_changes_no_byte_of_what_is_frozen(model, words, batch, frozen, kept):
    task = CaptionerTask(model, words, CaptionerTaskConfig(frozen=frozen), seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    trained = [p for p in task.players["captioner"].parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01, weight_decay=0.1)
    for number in range(3):
        step(task, batch, number).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    after = model.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    fixed = {name for name in before if name.startswith(kept)} | {"bart.final_logits_bias"}
    rows = {"places.weight"}  # Of which those beyond the sounds' frames get no gradient.
    assert fixed <= same
    assert same - fixed <= rows
    assert len(fixed) < len(before)


def test_it_learns_captions_by_heart(words, batch):
    model = make_model(make_config(words, dropout=0.0))
    task = CaptionerTask(model, words, CaptionerTaskConfig(frozen="nothing"), seed=0)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for number in range(60):
        optimizer.zero_grad()
        fresh = dataclasses.replace(batch, draws=(number,))
        step(task, fresh, number).loss.backward()
        optimizer.step()
    assert task.validate(batch, CPU)["hit"] == 1


def test_dropout_follows_from_the_draws_alone(model, words, batch):
    task = CaptionerTask(model, words, CaptionerTaskConfig(), seed=0)
    model.train()
    first = step(task, batch).loss
    torch.rand(7)
    assert torch.equal(step(task, batch, 5).loss, first)
    other = CaptionBatch(batch.heard, batch.captions, batch.metadata, (3, 4, 5))
    assert not torch.equal(step(task, other).loss, first)


def test_validation_tells_what_metadata_is_worth_and_leaves_the_mode(model, words, batch):
    task = CaptionerTask(model, words, CaptionerTaskConfig(), seed=0)
    model.train()
    found = task.validate(batch, CPU)
    model.eval()
    wanted = number_captions(batch.captions, words, 30)
    with torch.no_grad():
        told = model(batch.heard, number_metadata(KNOWN, words), wanted)
        untold = model(batch.heard, [{}] * 3, wanted)
    assert found["ce"] == pytest.approx(float(cross_entropy(told, wanted)))
    assert found["ce/no_metadata"] == pytest.approx(float(cross_entropy(untold, wanted)))
    model.train()
    task.validate(batch, CPU)
    assert model.training


def test_metadata_is_told_as_often_as_asked():
    known = {"title": "dog", "tags": "rain"}
    assert tell(known, 1.0, 0, 5) == known
    assert tell(known, 0.0, 0, 5) == {}
    told = [tell(known, 0.3, 7, draw) for draw in range(2000)]
    share = sum("title" in one for one in told) / 2000
    assert 0.25 < share < 0.35
    assert told == [tell(known, 0.3, 7, draw) for draw in range(2000)]


def test_titles_are_invented_of_tags_alone():
    clip = make_clip(tags=("dog bark", "rain"))
    drawn = [invent_title(clip, 0.5, 3, draw) for draw in range(400)]
    titles = {one["title"] for one in drawn if one}
    assert titles == {"dog bark", "dog", "bark", "rain"}
    assert 120 < sum(map(bool, drawn)) < 280
    assert invent_title(clip, 0.0, 3, 0) == {}
    assert invent_title(make_clip(), 1.0, 3, 0) == {}


def test_a_frozen_module_counts_as_no_player(model, words):
    task = CaptionerTask(model, words, CaptionerTaskConfig(), seed=0)
    (player,) = task.players.values()
    assert isinstance(player, nn.Module)
    assert {id(p) for p in player.parameters() if p.requires_grad}.isdisjoint(
        id(p) for p in model.bart.parameters()
    )
