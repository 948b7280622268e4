"""FIT and DiT: groups, padding, positions, sizes; FIT word by word in float64."""

import math

import pytest
import torch
from torch.nn import functional as F

from soundwright.core.errors import ConfigError, UserError
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.attention import make_turns, turn
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.dit import Dit, DitConfig
from soundwright.diffusion.fit import Fit, FitConfig
from soundwright.diffusion.sampling import SamplingConfig, sample

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture
def conditions(encoder):
    return Conditions(encoder.encode(["a dog barks", "rain", ""]))


def latents_of(frames, bands=4, seed=0):
    shape = (3, 2, frames, bands) if bands else (3, 2, frames)
    return torch.randn(shape, generator=torch_stream(seed, "latents"))


def attend(layer, hidden, context, heads):
    """One attention layer of one sequence [Q, D], by sums alone."""
    attention = layer.attention

    def norm(values, weight):
        values = values - values.mean(-1, keepdim=True)
        return weight * values / (values.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    asked = norm(hidden, layer.norm.weight)
    read = asked if context is None else norm(context, layer.context_norm.weight)
    query = asked @ attention.query.weight.T
    key, value = (read @ attention.key_value.weight.T).chunk(2, -1)
    size = hidden.shape[1] // heads
    out = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = query[:, part] @ key[:, part].T / math.sqrt(size)
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        out.append(weights @ value[:, part])
    hidden = hidden + torch.cat(out, 1) @ attention.out.weight.T + attention.out.bias
    first, last = layer.feed_forward[0], layer.feed_forward[3]
    inner = norm(hidden, layer.forward_norm.weight) @ first.weight.T + first.bias
    inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
    return hidden + inner @ last.weight.T + last.bias


@pytest.mark.parametrize("frames", [1, 4, 7, 9, 12])
def test_fit_is_its_table_of_layers_and_padding_has_no_part(make_fit, conditions, frames):
    """Ragged groups, one after another, without any padding."""
    network = make_fit(sources=2).double()
    source = torch.tensor([1, -1, 0])
    given = Conditions(conditions.text, source=source)
    latents, times = latents_of(frames).double(), torch.tensor([3, 500, 999])
    found = network(latents, times, given)
    for row in range(3):
        tokens = latents[row].permute(1, 0, 2).reshape(frames, 8) @ network.embed.weight.T
        tokens = tokens + network.embed.bias + network.positions[:frames]
        groups = list(tokens.split(4))
        mine = network.latents + network.groups[: len(groups), None]
        slots = list(mine.unbind(0))
        words = given.text.states[row][given.text.mask[row]].double()
        spoken = network.text.project(words) if len(words) else network.text.null[None]
        entry = network.extras.source.table.weight[source[row]]
        time = network.time(times[[row]])
        context = torch.cat([spoken, entry[None], time])
        for block in network.blocks:
            groups = [attend(block.local[0], group, None, 2) for group in groups]
            slots = list(
                attend(block.ask, torch.cat(slots), context, 4).split(2),
            )
            slots = [
                attend(block.read, own, group, 4) for own, group in zip(slots, groups, strict=True)
            ]
            slots = list(attend(block.across[0], torch.cat(slots), None, 4).split(2))
            groups = [
                attend(block.write, group, own, 2) for own, group in zip(slots, groups, strict=True)
            ]
        tokens = torch.cat([attend(network.last[0], group, None, 2) for group in groups])
        rows = network.out(network.out_norm(tokens))
        expected = rows.reshape(frames, 2, 4).permute(1, 0, 2)
        torch.testing.assert_close(found[row], expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("patch", [1, 3])
@pytest.mark.parametrize("kind", ["fit", "dit"])
def test_any_number_of_frames_is_taken_and_given_back(request, kind, conditions, positions, patch):
    network = request.getfixturevalue(f"make_{kind}")(positions=positions, patch=patch)
    for frames in (1, 5, 12, 13):
        latents = latents_of(frames)
        found = network(latents, torch.tensor([3, 500, 999]), conditions)
        assert found.shape == latents.shape
        assert found.isfinite().all()
        folded = network.fold(latents)
        assert folded.shape == (3, math.ceil(frames / patch), patch * 8)
        assert torch.equal(network.unfold(folded, latents.shape), latents)


@pytest.mark.parametrize("kind", ["fit", "dit"])
def test_latents_without_bands_are_those_of_one(request, kind, conditions):
    network = request.getfixturevalue(f"make_{kind}")(bands=1)
    latents, times = latents_of(6, bands=None), torch.tensor([3, 500, 999])
    found = network(latents, times, conditions)
    assert found.shape == latents.shape
    assert torch.equal(network(latents[..., None], times, conditions)[..., 0], found)


@pytest.mark.parametrize("kind", ["fit", "dit"])
def test_positions_that_are_not_learned_are_refused_in_frames(request, kind, conditions):
    make = request.getfixturevalue(f"make_{kind}")
    network, times = make(), torch.tensor([3, 500, 999])
    assert network.frame_limit == 32
    network(latents_of(32), times, conditions)
    with pytest.raises(UserError, match="33 frames") as error:
        network(latents_of(33), times, conditions)
    assert "at most 32" in str(error.value)
    rotary = make(positions="rotary")
    assert rotary.frame_limit is None
    rotary(latents_of(100), times, conditions)
    for shape in ((3, 3, 8, 4), (3, 2, 8, 5), (3, 2, 8), (3, 2, 0, 4)):
        with pytest.raises(UserError, match="cannot be made"):
            network(torch.zeros(shape), times, conditions)


def test_rotations_depend_on_distance_alone():
    query, key = torch.randn(2, 1, 1, 1, 8, generator=torch_stream(0, "x")).unbind(0)

    def score(first, second):
        turned = (
            turn(one, make_turns(torch.tensor([place]), 8))
            for one, place in ((query, first), (key, second))
        )
        return float((next(turned) * next(turned)).sum())

    assert score(3, 5) == pytest.approx(score(13, 15), abs=1e-5)
    assert score(0, 0) == pytest.approx(float((query * key).sum()), abs=1e-5)
    assert abs(score(3, 5) - score(3, 6)) > 1e-3


def test_rotary_groups_see_the_same_wherever_they_are(make_fit, conditions):
    """The first group of two equal ones alone is not the second among four; its local part is."""
    network = make_fit(positions="rotary", blocks=1)
    tokens = network.embed(network.fold(latents_of(4)))
    layout = network._lay_out(8, torch.tensor([1, 1, 1]), conditions)
    twice = torch.stack([tokens, tokens], 1).flatten(0, 1)
    found = network.last[0](twice, None, None, layout.local)
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("kind", [Fit, Dit])
def test_a_new_network_predicts_nothing(kind, conditions):
    shape = {"channels": 2, "bands": 4, "width": 8, "heads": 2, "text_width": 12, "blocks": 1}
    if kind is Fit:
        shape |= {"latent_width": 8, "latent_heads": 2, "group": 4, "latents_per_group": 2}
        network = Fit(FitConfig.read({**shape, "local": 1, "across": 1}), seed=1)
        other = Fit(FitConfig.read({**shape, "local": 1, "across": 1}), seed=2)
    else:
        network, other = (Dit(DitConfig.read(shape), seed=seed) for seed in (1, 2))
    assert not network(latents_of(5), torch.tensor([1, 2, 3]), conditions).any()
    assert not torch.equal(network.embed.weight, other.embed.weight)


@pytest.mark.parametrize("kind", ["fit", "dit"])
def test_checkpointing_and_dropout_leave_evaluation_and_gradients_as_they_are(
    request, kind, conditions
):
    make = request.getfixturevalue(f"make_{kind}")
    given = (latents_of(7), torch.tensor([3, 500, 999]), conditions)
    plain, other = make(), make(checkpointing=True, dropout=0.5)
    torch.testing.assert_close(plain(*given), other(*given))
    other = make(checkpointing=True).train()
    for network in (plain, other):
        network(*given).square().mean().backward()
    for name, weight in plain.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(weight.grad, other.get_parameter(name).grad, msg=name)


def test_the_seed_changes_the_first_noise_and_the_duration_the_length(make_network, encoder):
    """Released code draws the noise by the file's name, and all sounds last 10.24 s."""
    network, text = make_network(), Conditions(encoder.encode(["rain"]))
    config = SamplingConfig(sampler="ddpm", steps=2)
    found = [sample(network, (2, 6, 4), text, [seed], config) for seed in (1, 2, 1)]
    assert torch.equal(found[0], found[2])
    assert float((found[0] - found[1]).abs().max()) > 0.1
    for frames in (3, 11):
        assert sample(network, (2, frames, 4), text, [1], config).shape == (1, 2, frames, 4)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++", "unipc"])
def test_latents_without_bands_are_sampled(make_fit, encoder, sampler):
    network, text = make_fit(bands=1), Conditions(encoder.encode(["rain", "a dog"]))
    config = SamplingConfig(sampler=sampler, steps=3)
    together = sample(network, (2, 6), text, [3, 4], config)
    assert together.shape == (2, 2, 6)
    alone = sample(network, (2, 6), Conditions(encoder.encode(["a dog"])), [4], config)
    torch.testing.assert_close(alone[0], together[1], **CLOSE)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (FitConfig, {"heads": 7}, "width 1024 must be a multiple of its heads=7"),
        (FitConfig, {"latent_heads": 7}, "must be a multiple of its heads=7"),
        (DitConfig, {"width": 6, "heads": 2, "positions": "rotary"}, "must be even"),
    ],
)
def test_shapes_that_cannot_be_are_refused(kind, values, message):
    with pytest.raises(ConfigError, match=message):
        kind.read(values)


def test_attention_by_weights_is_attention(make_fit):
    attention = make_fit().blocks[0].read.attention
    hidden = torch.randn(2, 3, 16, generator=torch_stream(0, "h"))
    context = torch.randn(2, 5, 8, generator=torch_stream(0, "c"))
    mask = torch.arange(5) < torch.tensor([5, 2])[:, None]
    weights = attention.weigh(hidden, context, mask)
    assert not weights[1, ..., 2:].any()
    _, _, value = attention.project(hidden, context, None)
    expected = attention.out((weights @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(hidden, context, mask), expected, **CLOSE)
    assert F.mse_loss(weights.sum(-1), torch.ones(2, 4, 3)) < 1e-10


@pytest.mark.parametrize("kind", ["fit", "dit"])
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_bf16_is_close_to_fp32_and_trains(request, kind, positions, conditions):
    knows = {"vector_width": 6, "sources": 2, "positions": positions}
    network = request.getfixturevalue(f"make_{kind}")(**knows)
    given = Conditions(conditions.text, torch.randn(3, 6), None, torch.tensor([0, 1, -1]))
    inputs = (latents_of(7), torch.tensor([3, 500, 999]), given)
    exact = network(*inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(*inputs)
    assert float((rough - exact).norm() / exact.norm()) < 0.05
    rough.float().square().mean().backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in network.parameters())


def test_tokens_that_cannot_carry_the_noise_are_refused_where_it_is_predicted():
    narrow = {"channels": 8, "patch": 2, "width": 12, "heads": 2, "latent_width": 16}
    narrow |= {"latent_heads": 2, "text_width": 8}
    with pytest.raises(ConfigError, match="width 12 cannot carry the noise of its 16 values"):
        FitConfig.read({**narrow, "process": {"kind": "noise", "prediction": "epsilon"}})
    assert FitConfig.read({**narrow, "process": {"kind": "noise", "prediction": "v"}}).width == 12
    assert FitConfig.read({**narrow, "process": {"kind": "flow"}}).width == 12
