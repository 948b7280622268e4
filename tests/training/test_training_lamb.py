"""LAMB against its algorithm, word by word in float64, and within a player."""

import copy
import math

import pytest
import torch
from torch import nn

from soundwright.core.seeding import torch_stream
from soundwright.training.lamb import Lamb
from soundwright.training.optimizers import OptimizerConfig, Player

STEPS = 7
SETTINGS = {"lr": 0.02, "betas": (0.9, 0.99), "eps": 1e-6, "weight_decay": 0.1}


def module() -> nn.Module:
    layer = nn.Linear(3, 2).double()
    stream = torch_stream(0, "weights")
    for value in layer.parameters():
        value.data = torch.randn(value.shape, generator=stream, dtype=torch.float64)
    layer.bias.data.zero_()
    return layer


def gradients(step):
    stream = torch_stream(step, "gradients")
    return [torch.randn(shape, generator=stream, dtype=torch.float64) for shape in ((2, 3), (2,))]


def literal(values, settings, steps):
    """Algorithm 2, number by number."""
    rows = [value.detach().flatten().tolist() for value in values]
    means = [[0.0] * len(row) for row in rows]
    squares = [[0.0] * len(row) for row in rows]
    first, second = settings["betas"]
    for step in range(1, steps + 1):
        for row, mean, square, gradient in zip(rows, means, squares, gradients(step), strict=True):
            update = []
            for place, one in enumerate(gradient.flatten().tolist()):
                mean[place] = first * mean[place] + (1 - first) * one
                square[place] = second * square[place] + (1 - second) * one * one
                m = mean[place] / (1 - first**step)
                v = square[place] / (1 - second**step)
                ratio = m / (math.sqrt(v) + settings["eps"])
                update.append(ratio + settings["weight_decay"] * row[place])
            length = math.sqrt(sum(x * x for x in row))
            other = math.sqrt(sum(u * u for u in update))
            trust = length / other if length and other else 1.0
            for place, one in enumerate(update):
                row[place] -= settings["lr"] * trust * one
    return rows


def test_it_is_algorithm_2_also_for_weights_that_begin_with_zeros():
    layer = module()
    values = list(layer.parameters())
    expected = literal(values, SETTINGS, STEPS)
    optimizer = Lamb(layer.parameters(), **SETTINGS)
    for step in range(1, STEPS + 1):
        for value, gradient in zip(values, gradients(step), strict=True):
            value.grad = gradient
        optimizer.step()
    for value, row in zip(values, expected, strict=True):
        assert value.flatten().tolist() == pytest.approx(row, rel=1e-12)


def player(layer, **settings):
    config = OptimizerConfig.read({"kind": "lamb", "clip": 0.5, **settings})
    return Player("one", layer, config, 100)


def train(one, layer, steps):
    moves = []
    for step in steps:
        inputs = torch.randn(4, 3, generator=torch_stream(step, "in"), dtype=torch.float64)
        one.take(layer(inputs).square().mean() * 50, 1)
        moves.append(one.move(step))
    return moves


def test_a_player_clips_schedules_and_resumes_it_exactly():
    schedule = {"kind": "cosine", "warmup": 4, "minimum": 0.3}
    settings = {"lr": 5e-3, "betas": (0.9, 0.99), "schedule": schedule}
    whole, half = module(), module()
    moves = train(player(whole, **settings), whole, range(10))
    assert [move.lr for move in moves[:5]] == pytest.approx([0, 1.25e-3, 2.5e-3, 3.75e-3, 5e-3])
    assert all(move.gradient_norm > 0.5 for move in moves)
    first = player(half, **settings)
    train(first, half, range(5))
    state = copy.deepcopy(first.state_dict())
    resumed = module()
    resumed.load_state_dict(half.state_dict())
    second = player(resumed, **settings)
    second.load_state_dict(state)
    train(second, resumed, range(5, 10))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert float((whole.weight - module().weight).abs().max()) > 1e-4


def test_vectors_are_spared_from_decay_if_wanted_and_adamw_is_the_default():
    groups = player(module(), decay_vectors=False)._optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    plain = Player("one", module(), OptimizerConfig(), 100)
    assert isinstance(plain._optimizer, torch.optim.AdamW)
