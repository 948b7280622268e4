import torch
from hypothesis import given
from hypothesis import strategies as st

from soundwright.lm.patterns import Pattern

NAMES = st.sampled_from(["delay", "parallel", "stereo-delay"])
SPECIAL = 99


def _tokens(items, codebooks, frames):
    count = items * codebooks * frames
    return torch.arange(count).view(items, codebooks, frames) % SPECIAL


def test_delay_pattern_of_four_codebooks_is_the_published_table():
    tokens = torch.tensor([[[10, 11, 12], [20, 21, 22], [30, 31, 32], [40, 41, 42]]])
    table = [
        [99, 10, 11, 12, 99, 99, 99],
        [99, 99, 20, 21, 22, 99, 99],
        [99, 99, 99, 30, 31, 32, 99],
        [99, 99, 99, 99, 40, 41, 42],
    ]
    pattern = Pattern.named("delay", 4)
    assert pattern.lay_out(tokens, SPECIAL).tolist() == [table]
    assert pattern.steps(3) == 3 + 4


def test_parallel_and_stereo_delays():
    assert Pattern.named("parallel", 3).delays == (0, 0, 0)
    assert Pattern.named("stereo-delay", 8).delays == (0, 0, 1, 1, 2, 2, 3, 3)
    assert Pattern.named("parallel", 3).steps(5) == 6


def test_training_is_truncated_after_one_step_more_than_frames():
    tokens, mask = _tokens(1, 4, 6), torch.ones(1, 6, dtype=torch.bool)
    pattern = Pattern.named("delay", 4)
    laid_out = pattern.for_training(tokens, mask, SPECIAL)
    whole = pattern.lay_out(tokens, SPECIAL)
    assert torch.equal(laid_out.inputs, whole[..., :6])
    assert torch.equal(laid_out.targets, whole[..., 1:7])
    assert laid_out.mask.sum(-1).tolist() == [[6, 5, 4, 3]]
    assert (laid_out.targets[laid_out.mask] != SPECIAL).all()


@given(name=NAMES, codebooks=st.integers(1, 9), frames=st.integers(1, 12), items=st.integers(1, 3))
def test_reverting_gives_the_tokens_back(name, codebooks, frames, items):
    pattern, tokens = Pattern.named(name, codebooks), _tokens(items, codebooks, frames)
    sequence = pattern.lay_out(tokens, SPECIAL)
    reverted, held = pattern.revert(sequence, frames)
    assert torch.equal(reverted, tokens)
    assert held.all()
    assert torch.equal(
        sequence != SPECIAL, pattern.holds(frames, sequence.shape[-1]).expand_as(sequence)
    )


@given(name=NAMES, codebooks=st.integers(1, 6), frames=st.integers(1, 9), cut=st.integers(1, 9))
def test_a_truncated_sequence_says_what_it_lacks(name, codebooks, frames, cut):
    pattern, tokens = Pattern.named(name, codebooks), _tokens(2, codebooks, frames)
    reverted, held = pattern.revert(pattern.lay_out(tokens, SPECIAL, cut), frames)
    assert held.sum() == (pattern.holds(frames, cut)).sum()
    assert torch.equal(reverted[:, held], tokens[:, held])


@given(name=NAMES, codebooks=st.integers(1, 5), frames=st.integers(1, 8), padding=st.integers(0, 5))
def test_a_padded_clip_trains_as_it_does_alone(name, codebooks, frames, padding):
    pattern, tokens = Pattern.named(name, codebooks), _tokens(1, codebooks, frames)
    alone = pattern.for_training(tokens, torch.ones(1, frames, dtype=torch.bool), SPECIAL)
    rubbish = torch.full((1, codebooks, padding), 12345)
    mask = torch.arange(frames + padding)[None] < frames
    padded = pattern.for_training(torch.cat([tokens, rubbish], -1), mask, SPECIAL)
    assert torch.equal(padded.inputs[..., :frames], alone.inputs)
    assert torch.equal(padded.targets[..., :frames], alone.targets)
    assert torch.equal(padded.mask[..., :frames], alone.mask)
    assert not padded.mask[..., frames:].any()
    assert not (padded.inputs == 12345).any()


def test_nothing_is_laid_out_as_special_tokens():
    assert Pattern.named("delay", 2).lay_out(_tokens(1, 2, 0), SPECIAL).tolist() == [[[99, 99]] * 2]
