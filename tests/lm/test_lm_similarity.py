import math

import numpy as np
import pytest
import torch

from soundwright.lm.representations import (
    Representations,
    caption_identities,
    pool,
    pooled_positions,
    represent,
)
from soundwright.lm.similarity import RrConfig, regularize

TEXTS = ("a dog", "rain", "a dog", "thunder", "")


def _batch(seed=0):
    """Five items: the third repeats a caption, the last has none; two are padded with rubbish."""
    stream = torch.Generator().manual_seed(seed)
    text = torch.randn(5, 4, 6, generator=stream)
    text_mask = torch.tensor([4, 2, 4, 3, 0])[:, None] > torch.arange(4)
    text[2] = text[0]
    audio = torch.randn(5, 9, 8, generator=stream)
    frames = torch.tensor([9, 5, 9, 2, 9])[:, None] > torch.arange(9)
    text[~text_mask], audio[~frames] = 1e3, 1e3
    captions = caption_identities(TEXTS, torch.device("cpu"))
    return text, text_mask, audio.requires_grad_(), frames, captions


def _literal(text, text_mask, audio, frames, config):
    """Equations 3-5 in float64, loops as in the paper."""

    def representation(states, mask, start=0):
        kept = [states[i].double() for i in range(start, len(mask)) if mask[i]]
        if not kept:
            return None
        columns = zip(*kept, strict=True)
        pooled = [max(c) if config.pooling == "max" else sum(c) / len(c) for c in columns]
        return torch.stack(pooled)

    first = 1 if config.positions == "targets" else 0
    T = [representation(text[b], text_mask[b]) for b in range(5)]
    A = [representation(audio[b], frames[b], first) for b in range(5)]
    valid = [b for b in range(5) if T[b] is not None and A[b] is not None]

    def cosine(x, y):
        return (x * y).sum() / (x.square().sum().sqrt() * y.square().sum().sqrt())

    terms, pairs = [], []
    for b in valid:
        for other in valid:
            if b == other or (config.duplicates == "mask" and TEXTS[b] == TEXTS[other]):
                continue
            pairs.append((cosine(T[b], T[other]).item(), cosine(A[b], A[other]).item()))
            terms.append((cosine(T[b], T[other]) - cosine(A[b], A[other])) ** 2)
    return sum(terms) / len(terms), np.array(pairs), valid


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("positions", ["targets", "all"])
@pytest.mark.parametrize("duplicates", ["keep", "mask"])
def test_value_gradient_and_report_equal_the_literal_equations(pooling, positions, duplicates):
    config = RrConfig(pooling=pooling, positions=positions, duplicates=duplicates)
    text, text_mask, audio, frames, captions = _batch()
    report = regularize(represent(text, text_mask, audio, frames, captions, config), config)
    expected, pairs, valid = _literal(text, text_mask, audio, frames, config)
    torch.testing.assert_close(report.loss.double(), expected, atol=1e-6, rtol=0)
    (gradient,) = torch.autograd.grad(report.loss, audio)
    (literal,) = torch.autograd.grad(expected, audio)
    torch.testing.assert_close(gradient, literal, atol=1e-6, rtol=0)
    assert not gradient[~frames].any()
    assert not gradient[4].any()
    assert bool(gradient[:, 0].any()) == (positions == "all")
    assert report.text_mean.item() == pytest.approx(pairs[:, 0].mean(), abs=1e-6)
    assert report.audio_mean.item() == pytest.approx(pairs[:, 1].mean(), abs=1e-6)
    assert report.correlation.item() == pytest.approx(np.corrcoef(pairs.T)[0, 1], abs=1e-5)
    assert report.valid == len(valid) == 4
    assert report.duplicates.item() == pytest.approx(2 / 12)


def test_only_the_loss_carries_a_gradient():
    report = regularize(represent(*_batch(), RrConfig()), RrConfig())
    assert [value.requires_grad for value in report] == [True] + [False] * 5


def test_a_batch_in_which_sounds_differ_as_texts_do_costs_nothing():
    vectors = torch.randn(6, 5)
    batch = Representations(vectors, 3 * vectors, torch.ones(6, dtype=torch.bool), torch.arange(6))
    report = regularize(batch, RrConfig())
    assert report.loss.item() < 1e-12
    assert report.correlation.item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("valid", [[0, 0, 0], [1, 0, 0]])
def test_fewer_than_two_valid_items_give_zero_with_a_finite_gradient(valid):
    audio = torch.randn(3, 4, requires_grad=True)
    mask = torch.tensor(valid, dtype=torch.bool)
    report = regularize(
        Representations(torch.zeros(3, 5), audio, mask, torch.arange(3)), RrConfig()
    )
    report.loss.backward()
    assert report.loss == 0
    assert torch.equal(audio.grad, torch.zeros(3, 4))
    assert report.correlation == 0


def test_too_few_pairs_give_zero():
    batch = represent(*_batch(), RrConfig())
    assert regularize(batch, RrConfig(min_pairs=12)).loss > 0
    assert regularize(batch, RrConfig(min_pairs=13)).loss == 0


def test_the_order_of_the_batch_does_not_matter():
    order = torch.tensor([3, 0, 4, 2, 1])
    config, batch = RrConfig(), _batch()
    first = regularize(represent(*batch, config), config)
    second = regularize(represent(*(part[order] for part in batch), config), config)
    torch.testing.assert_close(first, second)


def test_autocast_does_not_reach_the_similarities():
    config, batch = RrConfig(), _batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = regularize(represent(*batch, config), config)
    assert torch.equal(inside.loss, regularize(represent(*batch, config), config).loss)


def test_pooling_an_empty_row_gives_zeros_and_no_gradient():
    states = torch.randn(2, 3, 4, requires_grad=True)
    mask = torch.tensor([[True, True, False], [False] * 3])
    for pooling in ("max", "mean"):
        pooled = pool(states, mask, pooling)
        (gradient,) = torch.autograd.grad(pooled.sum(), states)
        assert not pooled[1].any()
        assert not gradient[1].any()
        assert torch.isfinite(gradient).all()
        assert not pool(states[:, :0], mask[:, :0], pooling).any()


def test_max_pooled_noise_is_alike_and_mean_pooled_noise_is_not():
    states, mask = torch.randn(4, 500, 64), torch.ones(4, 500, dtype=torch.bool)
    for pooling, low, high in (("max", 0.95, 1.0), ("mean", -0.3, 0.3)):
        vectors = pool(states, mask, pooling)
        batch = Representations(vectors, vectors, torch.ones(4).bool(), torch.arange(4))
        assert low < regularize(batch, RrConfig()).audio_mean < high


def test_the_paper_is_the_default():
    config = RrConfig()
    assert (config.weight, config.pooling, config.where) == (3.0, "max", "cfg")
    assert (config.text, config.detach_text, config.layer) == ("encoder", True, None)
    assert (config.positions, config.duplicates, config.gather) == ("targets", "keep", "rank")


def test_pooled_positions_have_read_a_token_and_have_a_target():
    frames = torch.tensor([[True, True, True, False], [True, False, False, False]])
    expected = [[False, True, True, False], [False] * 4]
    assert pooled_positions(frames, "targets").tolist() == expected
    assert math.prod(pooled_positions(frames, "all").shape) == 8
    assert pooled_positions(frames, "all").tolist() == frames.tolist()
