"""Every engine draws what the plain one draws, and narrow weights stay near the wide ones."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from soundwright.core.devices import supports_bf16
from soundwright.core.errors import UserError
from soundwright.lm import engine_choice
from soundwright.lm.cache import StaticCache
from soundwright.lm.cpu_engine import CpuEngine
from soundwright.lm.decoding import DecodingConfig, generate
from soundwright.lm.engine import PlainEngine
from soundwright.lm.engine_choice import choose_engine
from soundwright.lm.graph_engine import GraphEngine, round_span
from soundwright.nn import packing

PROMPTS = ("a dog barks", "rain", "", "heavy rain on a tin roof")
NEGATIVE = ("wind", "", "a dog", "rain on a very old tin roof")
GREEDY = DecodingConfig(greedy=True)
FAST = [CpuEngine, GraphEngine]
NEAR = 1e-4
"""Where the two best logits are nearer than this, rounding may decide between them."""
HAS_BF16 = packing._has_onednn() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


@pytest.fixture
def lively(make_lm):
    """Weights large enough that no two tokens are nearly equal and the text matters."""

    def make(**options):
        lm = make_lm(**options)
        for weight in lm.parameters():
            weight.data.mul_(3.0 if weight.dim() == 2 else 1.0)
        return lm.eval()

    return make


@pytest.fixture
def wide(make_lm):
    """Wide enough that rounding errors of single weights cancel as they do in real models."""
    return make_lm(dim=128, layers=3, heads=4, codebook_size=64).eval()


def draw_tokens(*shape, size=11, seed=2):
    return torch.randint(size, shape, generator=torch.Generator().manual_seed(seed))


def chance(items, books=3):
    return torch.full((items, books), 0.5, dtype=torch.float64)


def assert_same_walk(lm, session, plain, prompt, steps=24):
    """Both read what the plain one thinks best; the other's draws are the same tokens."""
    tokens = prompt
    for _ in range(steps):
        logits = plain.predict(tokens)
        best = logits.topk(2, dim=-1).values
        drawn, expected = session.draw(tokens, chance(len(tokens))), logits.argmax(-1)
        clear = best[..., 0] - best[..., 1] > NEAR
        assert torch.equal(drawn[clear], expected[clear])
        tokens = expected[..., None]
    assert session.is_finite()


def begin_both(lm, engine, text, negative, config, capacity):
    return (
        engine.begin(text, negative, config, capacity),
        PlainEngine(lm).begin(text, negative, config, capacity),
    )


@pytest.mark.parametrize("make_engine", FAST)
@pytest.mark.parametrize("guidance", [3.0, 1.0])
@pytest.mark.parametrize("mask_text", [True, False])
@pytest.mark.parametrize("negative", [None, NEGATIVE])
@pytest.mark.parametrize("known", [1, 6])
def test_greedy_tokens_are_those_of_the_plain_engine(
    lively, encoder, make_engine, guidance, mask_text, negative, known
):
    lm, prompt = lively(mask_text=mask_text), draw_tokens(4, 3, known)
    below = None if negative is None else encoder.encode(negative)
    config = DecodingConfig(greedy=True, guidance=guidance)
    # All of the capacity is used, and used again after a rewind.
    session, plain = begin_both(
        lm, make_engine(lm), encoder.encode(PROMPTS), below, config, known + 23
    )
    for _ in range(2):
        assert_same_walk(lm, session, plain, prompt)
        session.rewind()
        plain.rewind()


@pytest.mark.parametrize("make_engine", FAST)
@pytest.mark.parametrize("guidance", [3.0, 1.0])
@pytest.mark.parametrize(
    ("prompts", "negative"),
    [(("",), None), (("", ""), None), (("", ""), ("rain", "")), (("", "rain", ""), None)],
)
def test_prompts_without_text_are_decoded_alike(
    lively, encoder, make_engine, guidance, prompts, negative
):
    lm, below = lively(), None if negative is None else encoder.encode(negative)
    config = DecodingConfig(greedy=True, guidance=guidance)
    session, plain = begin_both(lm, make_engine(lm), encoder.encode(prompts), below, config, 12)
    assert_same_walk(lm, session, plain, draw_tokens(len(prompts), 3, 1), steps=12)


@pytest.mark.parametrize("make_engine", FAST)
def test_drawn_sounds_are_those_of_the_plain_engine(lively, encoder, make_engine):
    lm, text = lively(), encoder.encode(PROMPTS)
    config = DecodingConfig(top_k=6)
    ours, plain = (
        generate(engine, text, 40, [1, 2, 3, 4], config)
        for engine in (make_engine(lm), PlainEngine(lm))
    )
    assert torch.equal(ours, plain)
    assert not torch.equal(ours[0], ours[1])


@pytest.mark.parametrize("make_engine", FAST)
def test_a_row_does_not_depend_on_those_beside_it(lively, encoder, make_engine):
    lm = lively()
    prompt = draw_tokens(4, 3, 5)
    for number, words in enumerate(PROMPTS):
        engine = make_engine(lm)
        _, alone = begin_both(lm, engine, encoder.encode([words]), None, GREEDY, 20)
        session = engine.begin(encoder.encode(PROMPTS), None, GREEDY, 20)
        tokens = prompt
        for _ in range(12):
            drawn = session.draw(tokens, chance(4))
            best = alone.predict(tokens[number : number + 1]).topk(2, dim=-1)
            clear = best.values[0, :, 0] - best.values[0, :, 1] > NEAR
            assert torch.equal(drawn[number, clear], best.indices[0, clear, 0])
            tokens = drawn[..., None]


def test_texts_are_read_at_a_length_that_batch_mates_do_not_decide(wide, encoder):
    engine = CpuEngine(wide)
    lengths = {}
    for name, prompts in (("alone", ["rain"]), ("mates", PROMPTS), ("long", ["rain " * 33])):
        text = encoder.encode(prompts)
        found = engine.read_text(text.states, text.mask)
        assert found is not None
        lengths[name] = {key.shape[-2] for key, _ in found.keys_values}
    assert lengths == {"alone": {32}, "mates": {32}, "long": {64}}


@pytest.mark.parametrize("weights", ["fp32", "int8", *(["bf16"] if HAS_BF16 else [])])
def test_logits_on_a_cpu_are_those_of_the_row_alone(wide, encoder, weights):
    engine, prompt = CpuEngine(wide, weights), draw_tokens(4, 3, 5, size=64)
    together = engine.begin(encoder.encode(PROMPTS), None, GREEDY, 8).predict(prompt)
    for number, words in enumerate(PROMPTS):
        session = engine.begin(encoder.encode([words]), None, GREEDY, 8)
        alone = session.predict(prompt[number : number + 1])
        # A rounded step of one activation in a hundred thousand may fall to the other side.
        tolerance = 1e-5 if weights == "fp32" else 0.02
        torch.testing.assert_close(alone[0], together[number], atol=tolerance, rtol=0)


@pytest.mark.parametrize("weights", ["int8", *(["bf16"] if HAS_BF16 else [])])
def test_narrow_weights_stay_near_fp32(wide, encoder, weights):
    text, tokens = encoder.encode(PROMPTS), draw_tokens(4, 3, 60, size=64)
    logits = {}
    for name in ("fp32", weights):
        session = CpuEngine(wide, name).begin(text, None, DecodingConfig(guidance=1.0), 60)
        steps = [session.predict(tokens[..., step : step + 1]) for step in range(60)]
        logits[name] = torch.stack(steps)
    wide_ones, narrow = (F.log_softmax(value, -1) for value in logits.values())
    agreement = (wide_ones.argmax(-1) == narrow.argmax(-1)).float().mean()
    divergence = (wide_ones.exp() * (wide_ones - narrow)).sum(-1).mean()
    assert agreement >= 0.95
    assert 0 < divergence <= 0.001


@pytest.mark.parametrize("weights", ["fp32", "int8"])
def test_an_engine_leaves_the_model_as_it_was(lively, weights):
    lm = lively()
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    engine = CpuEngine(lm, weights)
    assert engine.parameters == sum(value.numel() for value in lm.parameters())
    assert all(torch.equal(lm.state_dict()[name], value) for name, value in before.items())


def test_rooms_are_taken_over_by_other_texts_and_never_shared(lively, encoder):
    lm = lively()
    engine = GraphEngine(lm)
    prompts = [PROMPTS, ("wind",) * 3, ("a bell rings twice", "", "rain", "a dog"), ("b",) * 4]
    for words in prompts:
        # The room of the one before is free again, with all that was written there.
        session, plain = begin_both(lm, engine, encoder.encode(words), None, GREEDY, 20)
        assert_same_walk(lm, session, plain, draw_tokens(len(words), 3, 2), steps=10)
        del session
    both = [begin_both(lm, engine, encoder.encode([word]), None, GREEDY, 20) for word in "ab"]
    for step in range(6):
        tokens = draw_tokens(1, 3, 1, seed=step)
        for session, plain in both:
            assert torch.equal(session.draw(tokens, chance(1)), plain.predict(tokens).argmax(-1))


@pytest.mark.parametrize(("length", "span"), [(1, 128), (128, 128), (129, 256), (1500, 2048)])
def test_spans_are_rounded_up(length, span):
    assert round_span(length) == span


def test_a_walk_over_the_end_of_a_span(lively, encoder):
    lm = lively()
    session, plain = begin_both(lm, GraphEngine(lm), encoder.encode(["rain"]), None, GREEDY, 140)
    assert_same_walk(lm, session, plain, draw_tokens(1, 3, 120), steps=16)


@pytest.mark.parametrize("known", [1, 4])
def test_the_static_cache_remembers_what_the_growing_one_does(lively, encoder, known):
    lm, text = lively().requires_grad_(False), encoder.encode(PROMPTS)
    tokens = draw_tokens(4, 3, 20)
    growing = lm.start(text.states, text.mask, 20)
    _, memory = lm.read_text(text.states, text.mask)
    config = lm.config
    static = StaticCache(
        config.layers, 4, config.heads, 20, config.dim, memory.states.shape[1], memory.states
    )
    static.text_mask.copy_(memory.visible)
    lm.remember(memory.states, static)
    steps = [0, known, *range(known + 1, 21)]
    for start, end in pairwise(steps):
        # Spans of 5: what lies between the position and the span's end is masked.
        if end - start == 1:
            static.place(-(-end // 5) * 5)
        ours = lm.step(tokens[..., start:end], static)
        static.length = end
        expected = lm.step(tokens[..., start:end], growing)
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


class Counter(TorchDispatchMode):
    """Counts operations, and the bytes of the greatest tensor that one of them made anew."""

    def __init__(self):
        super().__init__()
        self.operations, self.greatest = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.operations += 1
        given = {where(value) for value in tree_leaves((args, kwargs))}
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and where(value) not in given:
                self.greatest = max(self.greatest, value.untyped_storage().nbytes())
        return result


def where(value):
    """Where a tensor's bytes lie; packed matrices do not say, and no step makes one."""
    known = isinstance(value, torch.Tensor) and not value.is_mkldnn
    return value.untyped_storage().data_ptr() if known else None


@pytest.mark.parametrize("make_engine", [*FAST, PlainEngine])
def test_a_late_step_does_what_an_early_one_does(lively, encoder, make_engine):
    session = make_engine(lively()).begin(encoder.encode(PROMPTS), None, GREEDY, 120)
    tokens, counts = draw_tokens(4, 3, 1), []
    for _ in range(120):
        with Counter() as counter:
            session.draw(tokens, chance(4))
        counts.append((counter.operations, counter.greatest))
    early, late = counts[5], counts[-1]
    assert early[0] == late[0]
    if make_engine is GraphEngine:
        assert early == late
    # Attention's weights grow, [rows, heads, length]; keys [rows, D, length] are not copied.
    assert late[1] < 4 * 8 * 16 * 120


def test_auto_takes_bf16_for_large_models_that_gain_by_it(lively, monkeypatch):
    assert choose_engine(lively()).weights == "fp32"
    monkeypatch.setattr(engine_choice, "LARGE_PARAMETERS", 1)
    gains = supports_bf16(torch.device("cpu"))
    assert choose_engine(lively()).weights == ("bf16" if gains else "fp32")
    assert choose_engine(lively(), "int8").weights == "int8"


def test_a_dtype_that_cannot_be_is_refused(lively, monkeypatch):
    with pytest.raises(UserError, match="no dtype 'int4'") as refusal:
        choose_engine(lively(), "int4")
    assert refusal.value.expected == "auto, fp32, bf16, int8"
    elsewhere = lively().to("meta")
    with pytest.raises(UserError, match="int8 is for CPUs; the model would decode on meta"):
        choose_engine(elsewhere, "int8")
    with pytest.raises(UserError, match="bf16 is not supported on meta"):
        choose_engine(elsewhere, "bf16")
    if HAS_BF16:
        monkeypatch.setattr(packing, "_has_onednn", lambda: False)
    with pytest.raises(UserError, match="This CPU cannot work in bf16"):
        choose_engine(lively(), "bf16")
