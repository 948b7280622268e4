import pytest
import torch

from soundwright.core.errors import UserError
from soundwright.lm.sampling import SamplingConfig, draw_uniforms, guide, sample

MANY = 20000


def _frequencies(logits, config):
    uniforms = draw_uniforms([4], MANY, 1)[0, :, 0]
    drawn = sample(logits.expand(MANY, -1), uniforms, config)
    return torch.bincount(drawn, minlength=len(logits)) / MANY


def test_all_tokens_come_in_their_shares():
    logits = torch.tensor([0.5, -1.0, 2.0, 0.0])
    found = _frequencies(logits, SamplingConfig(top_k=0))
    torch.testing.assert_close(found, logits.softmax(0), atol=0.015, rtol=0)


def test_temperature_divides_the_logits():
    logits = torch.tensor([0.5, -1.0, 2.0, 0.0])
    found = _frequencies(logits, SamplingConfig(top_k=0, temperature=0.5))
    torch.testing.assert_close(found, (logits / 0.5).softmax(0), atol=0.015, rtol=0)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
def test_top_k_keeps_the_k_likeliest(k):
    logits = torch.tensor([0.5, -1.0, 2.0, 0.0])
    expected = logits.softmax(0)
    expected[expected.argsort(descending=True)[k:]] = 0
    found = _frequencies(logits, SamplingConfig(top_k=k))
    torch.testing.assert_close(found, expected / expected.sum(), atol=0.015, rtol=0)


@pytest.mark.parametrize(
    ("p", "kept"), [(0.3, [2]), (0.55, [0, 2]), (0.8, [0, 2, 3]), (1.0, [0, 1, 2, 3])]
)
def test_top_p_keeps_the_fewest_tokens_that_reach_p(p, kept):
    shares = torch.tensor([0.3, 0.1, 0.4, 0.2])
    found = _frequencies(shares.log(), SamplingConfig(top_p=p, top_k=1))
    expected = torch.zeros(4)
    expected[kept] = shares[kept] / shares[kept].sum()
    torch.testing.assert_close(found, expected, atol=0.015, rtol=0)


def test_impossible_tokens_are_never_drawn_at_the_edges_either():
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]).expand(3, 5)
    uniforms = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert sample(logits, uniforms, SamplingConfig(top_k=0)).tolist() == [1, 3, 3]


@pytest.mark.parametrize("config", [SamplingConfig(greedy=True), SamplingConfig(temperature=0)])
def test_greedy_takes_the_likeliest(config):
    assert sample(torch.tensor([[0.0, 3.0, 1.0]]), torch.zeros(1), config).tolist() == [1]


def test_guidance_extrapolates_from_the_unconditional():
    with_text, without = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 3.0])
    assert guide(with_text, without, 3.0).tolist() == [2.0, 0.0]
    assert torch.equal(guide(with_text, without, 0.0), without)


def test_chance_depends_on_seed_frame_and_codebook_only():
    long = draw_uniforms([7, 8], 50, 4)
    assert torch.equal(draw_uniforms([8], 20, 4)[0], long[1, :20])
    assert not torch.equal(long[0], long[1])
    assert len(long.unique()) == long.numel()


@pytest.mark.parametrize(
    "setting",
    [
        {"temperature": -0.1}, {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 1.5},
        {"top_p": -0.2}, {"guidance": float("inf")}, {"guidance": -1.0},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(setting):
    (name,) = setting
    for construct in (lambda: SamplingConfig(**setting), lambda: SamplingConfig.read(setting)):
        with pytest.raises(UserError, match=name):
            construct()
