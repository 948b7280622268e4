import pytest
import torch
from torch.nn import functional as F

from soundwright.core.errors import UserError
from soundwright.core.protocols import TextStates
from soundwright.lm.decoding import DecodingConfig, generate, next_window
from soundwright.lm.engine import PlainEngine

PROMPTS = ("a dog barks", "rain", "")
GREEDY = DecodingConfig(greedy=True)
DRAWN = DecodingConfig(top_k=6)


@pytest.fixture
def text(encoder):
    return encoder.encode(PROMPTS)


@pytest.fixture
def lively(make_lm):
    """Weights large enough that no two tokens are nearly equal and the text matters."""

    def make(**options):
        lm = make_lm(**options)
        for weight in lm.parameters():
            weight.data.mul_(3.0 if weight.dim() == 2 else 1.0)
        return lm

    return make


def _uncached(lm, text, frames, config, known, negative=None):
    """The same by whole forward passes: slow, and hard to get wrong."""
    away, hidden = (text, True) if negative is None else (negative, False)
    pattern, steps = lm.pattern, lm.pattern.steps(frames)
    sequence = torch.full((len(text.mask), lm.config.codebooks, steps), lm.special)
    for step in range(1, steps):
        with_text = lm(sequence[..., :step], text.states, text.mask).logits[:, :, -1]
        read = sequence[..., :step]
        without = lm(read, away.states, away.mask, drop_text=hidden).logits[:, :, -1]
        drawn = (without + config.guidance * (with_text - without)).argmax(-1)
        for q, delay in enumerate(pattern.delays):
            frame = step - 1 - delay
            if 0 <= frame < known.shape[-1]:
                sequence[:, q, step] = known[:, q, frame]
            elif frame >= 0 and (frame < frames or config.tail == "continue"):
                sequence[:, q, step] = drawn[:, q]
    return pattern.revert(sequence, frames)[0]


@pytest.mark.parametrize("pattern", ["delay", "parallel"])
@pytest.mark.parametrize("tail", ["continue", "special"])
@pytest.mark.parametrize("known", [0, 5])
def test_cached_greedy_decoding_equals_whole_forward_passes(lively, text, pattern, tail, known):
    lm = lively(pattern=pattern)
    config = DecodingConfig(greedy=True, tail=tail)
    prompt = torch.randint(11, (3, 3, known), generator=torch.Generator().manual_seed(2))
    tokens = generate(PlainEngine(lm), text, 12, [1, 2, 3], config, prompt_tokens=prompt)
    with torch.no_grad():
        expected = _uncached(lm, text, 12, config, prompt)
    assert torch.equal(tokens, expected)
    assert torch.equal(tokens[..., :known], prompt)
    assert not torch.equal(tokens[0], tokens[1])


def test_an_item_does_not_depend_on_its_batch(lively, encoder):
    lm = lively()
    together = generate(PlainEngine(lm), encoder.encode(PROMPTS), 30, [4, 5, 6], DRAWN)
    for number, prompt in enumerate(PROMPTS):
        alone = generate(PlainEngine(lm), encoder.encode([prompt]), 30, [4 + number], DRAWN)
        assert torch.equal(alone[0], together[number])
    backwards = generate(PlainEngine(lm), encoder.encode(PROMPTS[::-1]), 30, [6, 5, 4], DRAWN)
    assert torch.equal(backwards.flip(0), together)


def test_seeds_decide(lively, encoder):
    lm, same = lively(), encoder.encode(["rain"] * 3)
    tokens = generate(PlainEngine(lm), same, 20, [1, 1, 2], DRAWN)
    assert torch.equal(tokens[0], tokens[1])
    assert not torch.equal(tokens[0], tokens[2])
    torch.rand(5)
    assert torch.equal(tokens, generate(PlainEngine(lm), same, 20, [1, 1, 2], DRAWN))


def test_a_shorter_sound_is_the_beginning_of_a_longer_one(lively, text):
    lm = lively()
    short, long = (generate(PlainEngine(lm), text, frames, [1, 2, 3], DRAWN) for frames in (9, 20))
    assert torch.equal(short, long[..., :9])


def test_the_special_token_is_never_drawn(lively, text):
    tokens = generate(
        PlainEngine(lively()), text, 60, [1, 2, 3], DecodingConfig(top_k=0, temperature=50.0)
    )
    assert tokens.min() >= 0
    assert tokens.max() == 10


def test_without_guidance_the_text_alone_speaks(lively, text):
    lm = lively()
    plain = generate(
        PlainEngine(lm), text, 10, [1, 2, 3], DecodingConfig(greedy=True, guidance=1.0)
    )
    with torch.no_grad():
        expected = _uncached(
            lm, text, 10, DecodingConfig(guidance=1.0), text.mask.new_empty(3, 3, 0)
        )
    assert torch.equal(plain, expected)
    none = generate(PlainEngine(lm), text, 10, [1, 2, 3], DecodingConfig(greedy=True, guidance=0.0))
    assert torch.equal(none[0], none[2])


def test_a_negative_text_takes_the_place_of_the_empty_one(lively, encoder):
    lm, text = lively(), encoder.encode(["a dog barks"])
    plain = generate(PlainEngine(lm), text, 15, [1], GREEDY)
    empty = generate(PlainEngine(lm), text, 15, [1], GREEDY, negative=encoder.encode([""]))
    assert torch.equal(plain, empty)
    longer = encoder.encode(["heavy rain on a tin roof"])
    guided = generate(PlainEngine(lm), text, 15, [1], GREEDY, negative=longer)
    with torch.no_grad():
        expected = _uncached(lm, text, 15, GREEDY, guided[..., :0], longer)
    assert torch.equal(guided, expected)
    assert not torch.equal(plain, guided)
    itself = generate(PlainEngine(lm), text, 15, [1], GREEDY, negative=text)
    without = generate(PlainEngine(lm), text, 15, [1], DecodingConfig(greedy=True, guidance=1.0))
    assert torch.equal(itself, without)


@torch.no_grad()
def _cell_by_cell(lm, text, frames, config, prompt):
    """Every cell is drawn once, in the first window that reaches its step."""
    B, K, done = prompt.shape
    lag = lm.pattern.lag
    cells = F.pad(prompt, (0, frames + lag - done), value=-1)
    if config.tail == "special":
        cells[..., frames:] = lm.special
    while done < frames:
        start, stop = next_window(done, frames, config.hold(frames, lag), config.primed)
        sequence = torch.full((B, K, stop - start + lag + 1), lm.special)
        for step in range(1, sequence.shape[-1]):
            logits = None
            for q, delay in enumerate(lm.pattern.delays):
                frame = step - 1 - delay
                if frame < 0:
                    continue
                if (cells[:, q, start + frame] == -1).all():
                    if logits is None:
                        logits = _last_logits(lm, sequence[..., :step], text, config.guidance)
                    cells[:, q, start + frame] = logits[:, q].argmax(-1)
                sequence[:, q, step] = cells[:, q, start + frame]
        done = stop
    return cells[..., :frames]


def _last_logits(lm, sequence, text, guidance):
    told = lm(sequence, text.states, text.mask).logits[:, :, -1]
    untold = lm(sequence, text.states, text.mask, drop_text=True).logits[:, :, -1]
    return untold + guidance * (told - untold)


@pytest.mark.parametrize("known", [0, 4, 11])
@pytest.mark.parametrize("pattern", ["delay", "parallel"])
@pytest.mark.parametrize("tail", ["continue", "special"])
@pytest.mark.parametrize("overlap", [0, 3, 7])
def test_windows_continue_what_is_there(lively, text, known, pattern, tail, overlap):
    lm = lively(pattern=pattern)
    config = DecodingConfig(greedy=True, window=8, overlap=overlap, tail=tail)
    prompt = torch.randint(11, (3, 3, known), generator=torch.Generator().manual_seed(2))
    tokens = generate(PlainEngine(lm), text, 20, [1, 2, 3], config, prompt_tokens=prompt)
    assert torch.equal(tokens, _cell_by_cell(lm, text, 20, config, prompt))


def test_a_long_sound_keeps_away_from_where_training_ended():
    config = DecodingConfig(window=10, overlap=4)
    assert [config.hold(frames, 3) for frames in (9, 10, 11, 500)] == [9, 10, 5, 5]
    assert DecodingConfig(window=10, overlap=8).hold(11, 3) == 9
    assert DecodingConfig(window=50).hold(51, 3) == 37
    assert DecodingConfig(window=50).primed == 32
    assert DecodingConfig().hold(500, 3) == 500


def test_windows_cover_the_sound():
    done, spans = 0, []
    while done < 25:
        start, stop = next_window(done, 25, 10, 4)
        assert start <= done < stop
        assert stop - start <= 10
        spans.append((start, stop))
        done = stop
    assert spans == [(0, 10), (6, 16), (12, 22), (18, 25)]
    assert next_window(5, 25, 10, 4) == (0, 10)
    assert next_window(1, 3, 1, 0) == (1, 2)


def test_half_precision_decodes(lively, text):
    tokens = generate(PlainEngine(lively().bfloat16()), text, 12, [1, 2, 3], DRAWN)
    assert tokens.shape == (3, 3, 12)
    assert tokens.max() <= 10


def test_nothing_is_dropped_out_in_training_mode(lively, text):
    lm = lively(dropout=0.5).train()
    first = generate(PlainEngine(lm), text, 10, [1, 2, 3], GREEDY)
    assert lm.training
    assert torch.equal(first, generate(PlainEngine(lm.eval()), text, 10, [1, 2, 3], GREEDY))


def test_tokens_can_be_trained_on(lively, text):
    lm = lively()
    tokens = generate(PlainEngine(lm), text, 5, [1, 2, 3], DRAWN)
    lm(tokens, text.states, text.mask).logits.sum().backward()
    assert lm.embedding.weight.grad.any()


def test_progress_reaches_the_end(lively, text):
    heard = []
    config = DecodingConfig(window=8, overlap=2)
    generate(
        PlainEngine(lively()), text, 20, [1, 2, 3], config, progress=lambda *at: heard.append(at)
    )
    assert heard[-1] == (20, 20)
    assert {total for _, total in heard} == {20}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "0 frames"),
        ({"seeds": [1]}, "1 seeds for 3 texts"),
        ({"prompt_tokens": torch.zeros(3, 3, 10, dtype=torch.int64)}, "10 frames"),
        ({"prompt_tokens": torch.zeros(2, 3, 1, dtype=torch.int64)}, "2 items"),
        ({"prompt_tokens": torch.full((3, 3, 1), 11)}, "another codec"),
    ],
)
def test_impossible_requests_are_refused(make_lm, text, change, message):
    request = {"frames": 10, "seeds": [1, 2, 3], "config": GREEDY, **change}
    with pytest.raises(UserError, match=message):
        generate(PlainEngine(make_lm()), text, **request)


def test_texts_must_be_there_and_match(make_lm, encoder, text):
    nothing = TextStates(
        torch.zeros(0, 1, 12), torch.zeros(0, 1, dtype=torch.bool), torch.zeros(0, 12)
    )
    with pytest.raises(UserError, match="no text"):
        generate(PlainEngine(make_lm()), nothing, 5, [], GREEDY)
    with pytest.raises(UserError, match="1 negative texts for 3"):
        generate(
            PlainEngine(make_lm()), text, 5, [1, 2, 3], GREEDY, negative=encoder.encode(["rain"])
        )


@pytest.mark.parametrize("setting", [{"window": 0}, {"window": 5, "overlap": 5}, {"overlap": -1}])
def test_impossible_windows_are_refused(setting):
    with pytest.raises(UserError, match=r"window|overlap"):
        DecodingConfig(**setting)


@pytest.mark.parametrize("config", [GREEDY, DRAWN])
def test_damaged_weights_are_told(make_lm, text, config):
    lm = make_lm()
    lm.blocks[0].ffn_in.weight.data[0, 0] = torch.nan
    with pytest.raises(UserError, match="not finite"):
        generate(PlainEngine(lm), text, 6, [1, 2, 3], config)
