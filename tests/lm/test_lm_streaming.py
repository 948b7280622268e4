"""Decoding piece by piece: the same tokens, in memory that does not grow."""

from itertools import islice

import pytest
import torch

from soundwright.core.errors import UserError
from soundwright.lm.chance import Chance
from soundwright.lm.decoding import DecodingConfig, generate, stream
from soundwright.lm.engine import PlainEngine
from soundwright.lm.sampling import draw_uniforms

SEEDS = [1, 2]
MOVING = DecodingConfig(top_k=6, window=9, overlap=4)


@pytest.fixture
def text(encoder):
    return encoder.encode(["a dog barks", "rain"])


@pytest.mark.parametrize("config", [DecodingConfig(top_k=6), MOVING])
@pytest.mark.parametrize("every", [None, 1, 4, 50])
@pytest.mark.parametrize("known", [0, 5, 13])
def test_pieces_are_together_what_is_generated(make_lm, encoder, text, config, every, known):
    engine = PlainEngine(make_lm())
    options = {
        "prompt_tokens": torch.randint(11, (2, 3, known), generator=torch.Generator()),
        "negative": encoder.encode(["wind", "a bell"]),
    }
    whole = generate(engine, text, 30, SEEDS, config, **options)
    pieces = list(stream(engine, text, 30, SEEDS, config, every=every, **options))
    assert torch.equal(torch.cat(pieces, dim=-1), whole)
    ends = torch.tensor([piece.shape[-1] for piece in pieces]).cumsum(0).tolist()
    assert {end for end in range(known + 1, 31) if every and end % every == 0} <= set(ends)
    assert ends == sorted(ends)


def test_a_piece_comes_as_soon_as_it_is_drawn(make_lm, text):
    heard = []
    pieces = stream(
        PlainEngine(make_lm()),
        text,
        1000,
        SEEDS,
        MOVING,
        every=3,
        progress=lambda step, _: heard.append(step),
    )
    assert heard == []
    assert next(pieces).shape[-1] == 3
    # The last codebook is two steps behind the first.
    assert heard[-1] == 3 + 2


def test_memory_does_not_grow_with_what_is_done(make_lm, text, count_live_bytes):
    pieces = stream(PlainEngine(make_lm()), text, 1000, SEEDS, MOVING, every=3)
    seen = []
    for _ in range(3):
        for _ in islice(pieces, 60):
            pass
        seen.append(count_live_bytes())
    # A piece may end in any part of a window, which is held until the next one.
    assert max(seen) - min(seen) < 9 * 3 * 2 * 8 * 4


def test_what_cannot_be_is_refused_before_the_first_piece(make_lm, text):
    with pytest.raises(UserError, match="0 frames"):
        stream(PlainEngine(make_lm()), text, 0, SEEDS, MOVING)


def test_damaged_weights_are_told_when_they_come(make_lm, text):
    lm = make_lm()
    lm.blocks[0].ffn_in.weight.data[0, 0] = torch.nan
    pieces = stream(PlainEngine(lm), text, 30, SEEDS, MOVING, every=3)
    with pytest.raises(UserError, match="not finite"):
        next(pieces)


def test_endless_chance_is_that_of_a_whole_decoding():
    whole = draw_uniforms(SEEDS, 40, 3)
    chance = Chance(SEEDS, 3, torch.device("cpu"))
    for start, stop in ((0, 10), (6, 16), (6, 9), (12, 40)):
        assert torch.equal(chance.span(start, stop), whole[:, start:stop])
