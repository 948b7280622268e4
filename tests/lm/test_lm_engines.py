"""Every engine draws what the plain one draws."""

import pytest
import torch

from soundwright.lm.cpu_engine import CpuEngine
from soundwright.lm.decoding import DecodingConfig
from soundwright.lm.engine import PlainEngine
from soundwright.lm.graph_engine import GraphEngine

PROMPTS = ("a dog barks", "rain", "", "heavy rain on a tin roof")
SEEDS = [1, 2, 3, 4]
GREEDY = DecodingConfig(greedy=True)
FAST = [CpuEngine, GraphEngine]
NEAR = 1e-4
"""Where the two best logits are nearer than this, rounding may decide between them."""


@pytest.fixture
def lively(make_lm):
    """Weights large enough that no two tokens are nearly equal and the text matters."""

    def make(**options):
        lm = make_lm(**options)
        for weight in lm.parameters():
            weight.data.mul_(3.0 if weight.dim() == 2 else 1.0)
        return lm.eval()

    return make


def _walk(engine, text, negative, config, *, prompt, steps):
    """Tokens and gaps between the two best logits, step by step, as the plain engine draws."""
    session = engine.begin(text, negative, config, prompt.shape[-1] + steps)
    tokens, chance = prompt, torch.rand(
        steps, len(text.mask), engine.config.codebooks, dtype=torch.float64,
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    for number in range(steps):
        drawn = session.draw(tokens, chance[number])
        tokens = drawn[..., None]
        yield drawn


def _assert_same_walk(lm, engine, text, negative, config, prompt, steps=24):
    plain = PlainEngine(lm).begin(text, negative, config, prompt.shape[-1] + steps)
    fast = engine.begin(text, negative, config, prompt.shape[-1] + steps)
    for _ in range(2):
        tokens = prompt
        for _ in range(steps):
            chance = torch.zeros(tokens.shape[:2], dtype=torch.float64)
            logits = plain.predict(tokens)
            best = logits.topk(2, dim=-1).values
            drawn, expected = fast.draw(tokens, chance), logits.argmax(-1)
            clear = best[..., 0] - best[..., 1] > NEAR
            assert torch.equal(drawn[clear], expected[clear])
            tokens = expected[..., None]
        assert fast.is_finite()
        plain.rewind()
        fast.rewind()


@pytest.mark.parametrize("make_engine", FAST)
@pytest.mark.parametrize("guidance", [3.0, 1.0])
@pytest.mark.parametrize("mask_text", [True, False])
@pytest.mark.parametrize("negative", [None, ("wind", "", "a dog", "rain on a very old tin roof")])
@pytest.mark.parametrize("known", [1, 6])
def test_greedy_tokens_are_those_of_the_plain_engine(
    lively, encoder, make_engine, guidance, mask_text, negative, known
):
    lm = lively(mask_text=mask_text)
    prompt = torch.randint(12, (4, 3, known), generator=torch.Generator().manual_seed(2))
    below = None if negative is None else encoder.encode(negative)
    config = DecodingConfig(greedy=True, guidance=guidance)
    _assert_same_walk(lm, make_engine(lm), encoder.encode(PROMPTS), below, config, prompt)
