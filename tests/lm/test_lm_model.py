import math

import pytest
import torch
from torch.nn import functional as F

from soundwright.core.errors import ConfigError
from soundwright.lm.cache import sinusoidal_positions
from soundwright.lm.model import AudioLm, LmConfig


@pytest.fixture
def inputs():
    stream = torch.Generator().manual_seed(5)
    tokens = torch.randint(12, (3, 3, 7), generator=stream)
    text = torch.randn(3, 4, 12, generator=stream)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    return tokens, text * mask[..., None], mask


def test_the_default_shape_has_the_parameters_of_audiocrafts_small():
    with torch.device("meta"):
        lm = AudioLm(LmConfig())
    assert round(sum(weight.numel() for weight in lm.parameters()) / 1e6, 2) == 420.37


def test_a_seed_decides_the_weights_and_the_global_generator_stays(make_lm):
    before = torch.get_rng_state()
    first, again, other = make_lm(seed=1), make_lm(seed=1), make_lm(seed=2)
    assert torch.equal(before, torch.get_rng_state())
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
    assert not torch.equal(first.heads.weight, other.heads.weight)


def test_initial_weights_follow_the_table(make_lm):
    lm = make_lm(dim=64, heads=4, codebook_size=200)
    second = lm.blocks[1]
    cut = 0.9866  # standard deviation of a normal distribution cut at 3
    for weight, expected in (
        (lm.embedding.weight, cut / 8),
        (lm.heads.weight, cut / 8),
        (second.self_attention.out.weight, cut / 8 / 2),
        (second.ffn_in.weight, cut / 8 / 2),
        (second.ffn_out.weight, cut / 16 / 2),
        (second.self_attention.qkv.weight, 1 / 8 / math.sqrt(3)),
        (second.cross_attention.key_value.weight, 1 / 8 / math.sqrt(3)),
    ):
        assert weight.std().item() == pytest.approx(expected, rel=0.04)
    assert lm.embedding.weight.abs().max() <= 3 / 8


def test_positions_are_cosines_then_sines():
    table = sinusoidal_positions(50, 8, torch.device("cpu"))
    for position in (0, 1, 49):
        for i in range(4):
            angle = position / 10000 ** (i / 3)
            assert table[position, i].item() == pytest.approx(math.cos(angle), abs=1e-5)
            assert table[position, 4 + i].item() == pytest.approx(math.sin(angle), abs=1e-5)


def test_earlier_positions_never_see_later_ones(make_lm, inputs):
    lm, (tokens, text, mask) = make_lm(), inputs
    changed = tokens.clone()
    changed[..., 4:] = (changed[..., 4:] + 1) % 12
    first, second = lm(tokens, text, mask).logits, lm(changed, text, mask).logits
    torch.testing.assert_close(first[:, :, :4], second[:, :, :4])
    assert not torch.allclose(first[:, :, 4:], second[:, :, 4:])


@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_item_does_not_depend_on_its_batch_mates_or_on_text_padding(make_lm, inputs, position):
    lm, (tokens, text, mask) = make_lm(), inputs
    together = lm(tokens, text, mask)
    length = max(int(mask[position].sum()), 1)
    row = slice(position, position + 1)
    alone = lm(tokens[row], text[row, :length], mask[row, :length])
    torch.testing.assert_close(alone.logits, together.logits[row])


def test_what_lies_behind_the_text_mask_is_not_read(make_lm, inputs):
    lm, (tokens, text, mask) = make_lm(), inputs
    rubbish = torch.where(mask[..., None], text, 1e4)
    torch.testing.assert_close(lm(tokens, rubbish, mask).logits, lm(tokens, text, mask).logits)


def test_without_text_mask_padding_takes_its_share_of_the_softmax(make_lm, inputs):
    lm, (tokens, text, mask) = make_lm(mask_text=False), inputs
    attention = lm.blocks[0].cross_attention
    memory = lm.text_projection(text) * mask[..., None]
    x = torch.randn(3, 7, 16)
    key, value = attention.keys_values(memory)
    query = attention.query(x).view(3, 7, 2, 8).transpose(1, 2)
    weights = (query @ key.transpose(-1, -2) / math.sqrt(8)).softmax(-1)
    literal = attention.out((weights @ value).transpose(1, 2).reshape(3, 7, 16))
    torch.testing.assert_close(attention(x, key, value, None), literal)
    shorter = lm(tokens[1:2], text[1:2, :2], mask[1:2, :2]).logits
    assert not torch.allclose(shorter, lm(tokens, text, mask).logits[1:2], atol=1e-4)


@pytest.mark.parametrize("mask_text", [True, False])
def test_dropped_text_adds_exactly_nothing(make_lm, inputs, mask_text):
    lm, (tokens, text, mask) = make_lm(mask_text=mask_text), inputs
    dropped = lm(tokens, text, mask, drop_text=True)
    missing = lm(tokens, torch.zeros(3, 0, 12), torch.zeros(3, 0, dtype=torch.bool))
    for block in lm.blocks:
        block.cross_attention.out.weight.data.zero_()
    without = lm(tokens, text, mask)
    assert torch.equal(dropped.logits, without.logits)
    assert torch.equal(missing.logits, without.logits)
    assert torch.isfinite(dropped.logits).all()


def test_dropped_text_keeps_cross_attention_in_the_graph_with_zero_gradients(make_lm, inputs):
    lm, (tokens, text, mask) = make_lm(), inputs
    lm(tokens, text, mask, drop_text=True).logits.square().sum().backward()
    for name, weight in lm.named_parameters():
        assert weight.grad is not None, name
        through_text = "cross_attention" in name or "text_projection" in name
        # The norm before cross-attention leads nowhere else.
        assert bool(weight.grad.any()) != (through_text or "cross_norm" in name), name


def test_hidden_states_are_what_the_heads_read_or_a_blocks_output(make_lm, inputs):
    lm, (tokens, text, mask) = make_lm(), inputs
    output = lm(tokens, text, mask)
    logits = F.linear(output.hidden, lm.heads.weight).view(3, 7, 3, 11).transpose(1, 2)
    torch.testing.assert_close(output.logits, logits)
    last = lm(tokens, text, mask, hidden_layer=1).hidden
    torch.testing.assert_close(lm.out_norm(last), output.hidden)
    assert not torch.allclose(lm(tokens, text, mask, hidden_layer=0).hidden, last)


def test_projected_text_is_given_as_it_was_before_dropping(make_lm, inputs):
    lm, (tokens, text, mask) = make_lm(), inputs
    dropped = lm(tokens, text, mask, drop_text=True).projected_text
    assert torch.equal(dropped, lm(tokens, text, mask).projected_text)
    torch.testing.assert_close(dropped, lm.text_projection(text) * mask[..., None])


def test_checkpointing_changes_memory_and_nothing_else(make_lm, inputs):
    gradients = []
    for checkpointing in (False, True):
        lm = make_lm(checkpointing=checkpointing).train()
        lm(*inputs).logits.square().mean().backward()
        gradients.append([weight.grad for weight in lm.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_dropout_acts_in_training_only(make_lm, inputs):
    lm = make_lm(dropout=0.5)
    lm.train()
    assert not torch.equal(lm(*inputs).logits, lm(*inputs).logits)
    lm.eval()
    assert torch.equal(lm(*inputs).logits, lm(*inputs).logits)


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="not a multiple of heads"):
        LmConfig.read({"dim": 16, "heads": 3})
