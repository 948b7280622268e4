"""Likelihood against the same in float64, token by token; fillings against it."""

import copy

import pytest
import torch

from soundwright.core.protocols import TextStates
from soundwright.core.seeding import derive_seed
from soundwright.lm.decoding import DecodingConfig, generate, next_window
from soundwright.lm.engine import PlainEngine
from soundwright.lm.infilling import fill_gap
from soundwright.lm.likelihood import measure_likelihood

WHOLE = DecodingConfig(top_k=6)
MOVING = DecodingConfig(top_k=6, window=9, overlap=3)


@pytest.fixture
def lively(make_lm):
    """Weights so large that the text and the past matter."""

    def make(**options):
        lm = make_lm(**options)
        for weight in lm.parameters():
            weight.data.mul_(3.0 if weight.dim() == 2 else 1.0)
        return lm

    return make


@torch.no_grad()
def _token_by_token(lm, text, tokens, config, first=0, negative=None):
    """Each token from a forward pass of its own over what precedes it, in float64."""
    lm = copy.deepcopy(lm).double()
    K, frames = tokens.shape
    lag = lm.pattern.lag
    fits = config.window is None or frames <= config.window
    window = frames if fits else config.window * 4 // 5 - lag
    means, done, seen = [[], []], first, set()
    while done < frames:
        start, stop = next_window(done, frames, window, config.primed)
        there = tokens[:, start : min(frames, stop + lag)]
        for frame in range(max(0, first - start), there.shape[1]):
            for q, delay in enumerate(lm.pattern.delays):
                step = frame + 1 + delay
                if step > there.shape[1] or (q, start + frame) in seen:
                    continue
                seen.add((q, start + frame))
                past = torch.full((1, K, step), lm.special)
                for book, behind in enumerate(lm.pattern.delays):
                    for s in range(1 + behind, step):
                        past[0, book, s] = there[book, s - 1 - behind]
                for side, states in enumerate((text, negative)):
                    given = text if states is None else states
                    logits = lm(
                        past, given.states.double(), given.mask, drop_text=states is None
                    ).logits[0, q, -1]
                    chances = logits.log_softmax(-1)
                    means[side].append(float(chances[there[q, frame]]))
        done = stop
    return [sum(side) / len(side) for side in means]


@pytest.mark.parametrize("config", [WHOLE, MOVING])
@pytest.mark.parametrize("pattern", ["delay", "parallel"])
@pytest.mark.parametrize("first", [0, 7])
def test_it_is_that_of_each_token_after_those_before_it(lively, encoder, config, pattern, first):
    lm, text = lively(pattern=pattern), encoder.encode(["a dog barks"])
    tokens = torch.randint(11, (3, 16), generator=torch.Generator().manual_seed(3))
    for negative in (None, encoder.encode(["heavy rain on a tin roof"])):
        measured = measure_likelihood(lm, text, tokens, config, first=first, negative=negative)
        expected = _token_by_token(lm, text, tokens, config, first, negative)
        assert [float(side) for side in measured] == pytest.approx(expected, abs=1e-5)
        assert abs(expected[0] - expected[1]) > 1e-3


def test_what_was_drawn_is_likelier_than_noise(lively, encoder):
    lm, text = lively(), encoder.encode(["rain"])
    config = DecodingConfig(guidance=1.0, temperature=0.5, top_k=0, window=9)
    drawn = generate(PlainEngine(lm), text, 30, [1], config)[0]
    noise = torch.randint(11, (3, 30), generator=torch.Generator().manual_seed(1))
    likelihood, of_noise = (
        measure_likelihood(lm, text, tokens, config)[0] for tokens in (drawn, noise)
    )
    assert likelihood > of_noise + 0.5


def _likelihood_of_the_right_side(lm, text, sides, tokens, config):
    whole = torch.cat([sides[0], tokens, sides[1]], dim=-1)
    first = whole.shape[1] - sides[1].shape[1]
    return _token_by_token(lm, text, whole, config, first)[0]


@pytest.mark.parametrize("config", [WHOLE, MOVING])
@pytest.mark.parametrize("left", [0, 6])
def test_the_filling_is_kept_after_which_the_right_side_is_likeliest(lively, encoder, config, left):
    lm, text = lively(), encoder.encode(["a dog barks"])
    config = config.model_copy(update={"temperature": 5.0})
    sides = torch.randint(11, (3, left + 5), generator=torch.Generator().manual_seed(4))
    sides = sides[:, :left], sides[:, left:]
    seeds = [derive_seed(5, number) for number in range(4)]
    negative = encoder.encode(["rain"])
    filling = fill_gap(PlainEngine(lm), lm, text, *sides, 4, seeds, config, negative=negative)
    made = [
        generate(
            PlainEngine(lm),
            text,
            left + 4,
            [seed],
            config,
            prompt_tokens=sides[0][None],
            negative=negative,
        )[0, :, left:]
        for seed in seeds
    ]
    scores = [_likelihood_of_the_right_side(lm, text, sides, each, config) for each in made]
    assert list(filling.scores) == pytest.approx(scores, abs=1e-5)
    assert filling.kept == max(range(4), key=scores.__getitem__)
    assert torch.equal(filling.tokens, made[filling.kept])
    assert len(set(scores)) > 1


def test_without_a_right_side_the_first_filling_is_kept(lively, encoder):
    lm, text = lively(), encoder.encode(["rain"])
    left = torch.zeros(3, 4, dtype=torch.int64)
    filling = fill_gap(PlainEngine(lm), lm, text, left, left[:, :0], 5, [1, 2], WHOLE)
    assert (filling.kept, filling.scores) == (0, (0.0, 0.0))
    expected = generate(PlainEngine(lm), text, 9, [1], WHOLE, prompt_tokens=left[None])
    assert torch.equal(filling.tokens, expected[0, :, 4:])


def test_padding_of_the_text_does_not_matter(lively, encoder):
    lm, text = lively(), encoder.encode(["rain"])
    tokens = torch.randint(11, (3, 12), generator=torch.Generator().manual_seed(3))
    pad = torch.nn.functional.pad
    padded = TextStates(
        pad(text.states, (0, 0, 0, 4), value=9.0), pad(text.mask, (0, 4)), text.sentence
    )
    one, other = (measure_likelihood(lm, given, tokens, WHOLE)[0] for given in (text, padded))
    assert float(one) == pytest.approx(float(other), abs=1e-6)
