import pytest
import torch

from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.scoring import ScoringConfig, draw_scores, score

SHAPE = (2, 5, 4)
PAIRS = ("p1", "p2", "p3")


@pytest.fixture
def sounds():
    latents = torch.randn(3, *SHAPE, generator=torch_stream(0, "sounds"))
    return latents, torch.arange(5) < torch.tensor([5, 3, 4])[:, None]


@pytest.mark.parametrize("process", [{}, {"prediction": "epsilon"}, {"kind": "flow"}])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("padding", [True, False])
def test_a_score_is_minus_half_its_error(make_unet, encoder, sounds, process, reduction, padding):
    network, (latents, mask) = make_unet(process=process), sounds
    text = Conditions(encoder.encode(["rain", "a dog", "a cat"]))
    draws = draw_scores(PAIRS, "winner", 0, SHAPE, seed=1)
    config = ScoringConfig(reduction=reduction, padding=padding)
    found = score(network, latents, draws.shares, draws.noise, text, config, mask)
    times = network.process.times_at(draws.shares)
    noisy = network.process.corrupt(latents, draws.noise, times)
    predicted = network(noisy, times, text)
    target = network.process.target(latents, draws.noise, times)
    for row, length in enumerate((5, 5, 5) if padding else (5, 3, 4)):
        difference = (target - predicted)[row, :, :length].double()
        error = difference.square().sum() if reduction == "sum" else difference.square().mean()
        assert float(found[row]) == pytest.approx(-0.5 * float(error), rel=1e-5)


def test_sum_and_mean_differ_by_the_number_of_elements(make_unet, encoder, sounds):
    network, text = make_unet(), Conditions(encoder.encode(["rain", "a dog", "a cat"]))
    draws = draw_scores(PAIRS, "winner", 0, SHAPE, seed=1)
    given = (network, sounds[0], draws.shares, draws.noise, text)
    total = score(*given, ScoringConfig(reduction="sum"))
    torch.testing.assert_close(total, 40 * score(*given, ScoringConfig()))


def test_min_snr_weighs_scores(make_unet, encoder, sounds):
    network, text = make_unet(), Conditions(encoder.encode(["rain", "a dog", "a cat"]))
    draws = draw_scores(PAIRS, "winner", 0, SHAPE, seed=1)
    given = (network, sounds[0], draws.shares, draws.noise, text)
    weights = network.process.weights(network.process.times_at(draws.shares), 1.0)
    weighed = score(*given, ScoringConfig(min_snr=1.0))
    torch.testing.assert_close(weighed, weights * score(*given, ScoringConfig()))


def test_scores_are_the_same_again_and_a_pairs_draws_are_its_own(make_unet, encoder, sounds):
    network, config = make_unet(), ScoringConfig()
    text = Conditions(encoder.encode(["rain", "a dog", "a cat"]))
    first = draw_scores(PAIRS, "winner", 2, SHAPE, seed=1)
    torch.rand(1)
    again = draw_scores(PAIRS, "winner", 2, SHAPE, seed=1)
    given = [(network, sounds[0], d.shares, d.noise, text, config) for d in (first, again)]
    assert torch.equal(score(*given[0]), score(*given[1]))
    alone = draw_scores(("p2",), "winner", 2, SHAPE, seed=1)
    assert all(torch.equal(one[0], many[1]) for one, many in zip(alone, first, strict=True))
    for other in (
        draw_scores(PAIRS, "winner", 3, SHAPE, seed=1),
        draw_scores(PAIRS, "winner", 2, SHAPE, seed=2),
    ):
        assert not any(torch.equal(x, y) for x, y in zip(first, other, strict=True))


@pytest.mark.parametrize("shared", [True, False])
def test_what_winner_and_loser_share(shared):
    winner, loser = (
        draw_scores(PAIRS, role, 0, SHAPE, seed=1, shared=shared) for role in ("winner", "loser")
    )
    assert torch.equal(winner.shares, loser.shares)
    assert torch.equal(winner.noise, loser.noise) == shared
    assert not torch.equal(winner.posterior, loser.posterior)


def test_raising_a_score_lowers_the_error(make_unet, encoder, sounds):
    network, text = make_unet(), Conditions(encoder.encode(["rain", "a dog", "a cat"]))
    draws = draw_scores(PAIRS, "winner", 0, SHAPE, seed=1)
    given = (network, sounds[0], draws.shares, draws.noise, text, ScoringConfig())
    before = score(*given).mean()
    (-before).backward()
    with torch.no_grad():
        for weight in network.parameters():
            weight -= 1e-3 * weight.grad
        assert score(*given).mean() > before
