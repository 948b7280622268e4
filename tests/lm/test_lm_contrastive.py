import pytest
import torch

from soundwright.lm.contrastive import ContrastiveConfig, contrast
from soundwright.lm.representations import Representations


def _batch():
    stream = torch.Generator().manual_seed(0)
    audio = torch.randn(5, 6, generator=stream, requires_grad=True)
    text = torch.randn(5, 6, generator=stream)
    text[3] = text[0]
    valid = torch.tensor([True, True, True, True, False])
    return Representations(text, audio, valid, torch.tensor([1, 2, 3, 1, 4]))


def _literal(batch, config):
    valid = [0, 1, 2, 3]

    def similarity(a, t):
        x, y = batch.audio[a].double(), batch.text[t].double()
        return (x @ y) / (x.norm() * y.norm()) / config.temperature

    def negatives(i):
        same = {(0, 3), (3, 0)} if config.duplicates == "mask" else set()
        return [j for j in valid if (i, j) not in same]

    total = 0
    for i in valid:
        own = similarity(i, i)
        by_sound = torch.stack([similarity(i, j) for j in negatives(i)])
        by_text = torch.stack([similarity(j, i) for j in negatives(i)])
        total = total - (own - by_sound.logsumexp(0)) / 2 - (own - by_text.logsumexp(0)) / 2
    return total / len(valid)


@pytest.mark.parametrize("duplicates", ["keep", "mask"])
def test_value_and_gradient_equal_the_literal_loss(duplicates):
    batch, config = _batch(), ContrastiveConfig(duplicates=duplicates)
    report, expected = contrast(batch, config), _literal(batch, config)
    torch.testing.assert_close(report.loss.double(), expected, atol=1e-5, rtol=0)
    (gradient,) = torch.autograd.grad(report.loss, batch.audio)
    (literal,) = torch.autograd.grad(expected, batch.audio)
    torch.testing.assert_close(gradient, literal, atol=1e-5, rtol=0)


def test_sounds_that_equal_their_texts_are_found():
    vectors = torch.eye(4)
    batch = Representations(vectors, vectors, torch.ones(4).bool(), torch.arange(4))
    report = contrast(batch, ContrastiveConfig())
    assert report.accuracy == 1
    assert report.loss < 1e-4
    assert report.valid == 4


def test_a_single_item_has_nothing_to_be_told_from():
    batch = _batch()._replace(valid=torch.tensor([True, False, False, False, False]))
    report = contrast(batch, ContrastiveConfig())
    report.loss.backward()
    assert report.loss == 0
    assert not batch.audio.grad.any()
