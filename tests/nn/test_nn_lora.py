import copy

import pytest
import torch
from torch import nn

from soundwright.core.errors import CheckpointError, ConfigError
from soundwright.core.seeding import torch_stream
from soundwright.nn.lora import LoraConfig, add_lora, lora_off, merge_lora


class Net(nn.Module):
    """Two blocks of linear layers, and two layers outside of them; always of the same weights."""

    def __init__(self):
        super().__init__()
        self.entry = nn.Linear(4, 6)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 9, bias=False), nn.Tanh(), nn.Linear(9, 6)) for _ in range(2)
        )
        self.heads = nn.Linear(6, 5)
        for name, value in self.named_parameters():
            value.data = 0.3 * draw(*value.shape, name=name)

    def forward(self, x):
        x = self.entry(x)
        for block in self.blocks:
            x = x + block(x)
        return self.heads(x)


def draw(*shape, name="x"):
    return torch.randn(shape, generator=torch_stream(0, name))


def adapted(moved=True, **options):
    net = Net()
    add_lora(net, LoraConfig(**{"rank": 3, "alpha": 6, **options}), seed=1)
    if moved:
        for number, value in enumerate(net.parameters()):
            if value.requires_grad:
                value.data = draw(*value.shape, name=number)
    return net


def test_the_layer_is_the_literal_formula():
    net = adapted().double()
    layer = net.blocks[0][2]
    x = draw(7, 9).double()
    W, b = layer.weight, layer.bias
    A, B = layer.lora_down, layer.lora_up
    assert (A.shape, B.shape) == ((3, 9), (6, 3))
    torch.testing.assert_close(layer(x), x @ (W + 6 / 3 * B @ A).T + b)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_it_begins_as_the_base_exactly(dropout):
    net = Net()
    base = copy.deepcopy(net)
    add_lora(net, LoraConfig(rank=3, dropout=dropout), seed=1)
    assert torch.equal(net(draw(7, 4)), base(draw(7, 4)))


def test_switched_off_it_is_the_base_exactly_and_comes_back():
    net = Net()
    base, x = copy.deepcopy(net), draw(7, 4)
    add_lora(net, LoraConfig(rank=3), seed=1)
    for number, value in enumerate(net.parameters()):
        if value.requires_grad:
            value.data = draw(*value.shape, name=number)
    moved = net(x)
    with lora_off(net):
        assert torch.equal(net(x), base(x))
    assert torch.equal(net(x), moved)
    assert not torch.equal(moved, base(x))


def test_only_adapters_are_trained_and_kept():
    net = adapted(moved=False)
    net(draw(7, 4)).square().mean().backward()
    trained = {name for name, value in net.named_parameters() if value.grad is not None}
    assert trained == net.state_dict().keys()
    assert trained == {
        f"blocks.{block}.{layer}.lora_{half}"
        for block in (0, 1)
        for layer in (0, 2)
        for half in ("down", "up")
    }
    # With B zero no gradient reaches A yet.
    assert net.blocks[1][2].lora_up.grad.any()
    assert not net.blocks[1][2].lora_down.grad.any()


def test_its_state_goes_into_another_of_its_kind():
    first, second = adapted(), adapted(moved=False)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.blocks[1][0].lora_up, second.blocks[1][0].lora_up)
    with pytest.raises(RuntimeError, match="Missing key"):
        second.load_state_dict({})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        second.load_state_dict({**first.state_dict(), "more": torch.ones(1)})


def test_streams_are_named_by_the_layer():
    all_layers, one = adapted(moved=False), adapted(moved=False, targets=("1.0",))
    assert torch.equal(all_layers.blocks[1][0].lora_down, one.blocks[1][0].lora_down)
    assert not torch.equal(all_layers.blocks[0][0].lora_down, one.blocks[1][0].lora_down)
    assert one.state_dict().keys() == {"blocks.1.0.lora_down", "blocks.1.0.lora_up"}


def test_targets_reach_outside_of_blocks():
    net = adapted(targets=("heads", "entry"))
    assert {name.split(".")[0] for name in net.state_dict()} == {"heads", "entry"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"targets": ("head",)}, "'head'; did you mean 'heads'"),
        ({"targets": ("locks.0",)}, "no linear layer"),
        ({"rank": 7}, "The rank 7 is larger than a side of blocks"),
    ],
)
def test_what_does_not_fit_is_named(options, says):
    with pytest.raises(ConfigError, match=says):
        adapted(**options)


def test_merged_weights_give_what_the_adapted_net_gives():
    base = Net().double()
    net = copy.deepcopy(base)
    add_lora(net, LoraConfig(rank=3, alpha=6), seed=1)
    for value in net.state_dict().values():
        value.copy_(draw(*value.shape).double())
    weights = {name: value.clone() for name, value in base.state_dict().items()}
    merged = merge_lora(weights, net.state_dict(), 2.0, "it")
    assert all(torch.equal(weights[name], value) for name, value in base.state_dict().items())
    plain = Net()
    plain.load_state_dict(merged)
    # Applied in float64, so that only the rounding of the merged weights, float32, differs.
    x = draw(7, 4).double()
    torch.testing.assert_close(plain.double()(x), net.double()(x), rtol=1e-5, atol=1e-4)


def test_two_merged_adapters_are_the_sum_of_both():
    base = Net().state_dict()
    first, second = adapted().state_dict(), adapted(targets=("heads", "0.2")).state_dict()
    both = merge_lora(merge_lora(base, first, 2.0, "a"), second, 0.5, "b")
    name = "blocks.0.2"
    expected = base[f"{name}.weight"].double()
    for adapter, scale in ((first, 2.0), (second, 0.5)):
        up, down = adapter[f"{name}.lora_up"], adapter[f"{name}.lora_down"]
        expected = expected + scale * up.double() @ down.double()
    torch.testing.assert_close(both[f"{name}.weight"].double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: {**a, "blocks.9.0.lora_down": a["blocks.0.0.lora_down"]}, "no pair of A and B"),
        (lambda a: {name.replace("blocks", "parts"): v for name, v in a.items()}, "does not have"),
        (
            lambda a: {n: v[:2] if "down" in n else v for n, v in a.items()},
            r"\(9, 3\) and \(2, 6\)",
        ),
        (lambda a: {n: v[:5] if "up" in n else v for n, v in a.items()}, r"product is \(9, 6\)"),
        (lambda a: {n: v.flatten() for n, v in a.items()}, r"for 'blocks\.0\.0'"),
        (lambda a: {**a, "heads.weight": torch.ones(5, 6)}, "no pair of A and B"),
    ],
)
def test_an_adapter_of_another_shape_is_refused(change, says):
    with pytest.raises(CheckpointError, match=says):
        merge_lora(Net().state_dict(), change(adapted().state_dict()), 1.0, "it")
