import math

import pytest
import torch

from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.read_attention import compare_silence, measure_read


@pytest.mark.parametrize("frames", [8, 10])
def test_shares_are_those_of_the_read_and_one_on_average(make_fit, encoder, frames):
    network = make_fit()
    latents = torch.randn(2, 2, frames, 4, generator=torch_stream(0, "x"))
    given = (latents, torch.tensor([10, 700]), Conditions(encoder.encode(["rain", "a dog"])))
    before = network(*given)
    found = measure_read(network, *given)
    assert found.shape == (2, 2, frames)
    for part in found.split(4, -1):
        torch.testing.assert_close(part.mean(-1), torch.ones(2, 2))
    assert float((found - 1).abs().max()) > 0.01
    assert torch.equal(network(*given), before)

    # The first block reads what its local layer makes of the tokens, of one group alone.
    tokens = network.embed(network.fold(latents)) + network.positions[:frames]
    block, mine = network.blocks[0], tokens[:, :4]
    mine = block.local[0](mine)
    layout = network._lay_out(frames, given[1], given[2])
    slots = block.ask(network._begin(2, layout.groups), layout.context, layout.context_mask)
    weights = block.read.attention.weigh(
        block.read.norm(slots[:, :2]), block.read.context_norm(mine)
    )
    torch.testing.assert_close(found[0, :, :4], 4 * weights.mean((1, 2)), atol=1e-5, rtol=1e-5)


def test_only_groups_with_both_are_compared():
    shares = torch.tensor([[0.5, 1.5, 1.0, 1.0, 9.0, 9.0, 0.2, 1.8]])
    silent = torch.tensor([[True, False, True, True, False, False, False, True]])
    found = compare_silence(shares, silent, 2)
    assert (found.silent, found.sounding) == pytest.approx((1.15, 0.85))
    assert found.groups == 2
    nothing = compare_silence(shares, torch.zeros_like(silent), 2)
    assert nothing.groups == 0
    assert math.isnan(nothing.silent)
