"""Scores against the same in float64, word by word; each row by itself."""

import pytest
import torch
from preference_models import (
    BandCodec,
    LevelCodec,
    WordEncoder,
    denoising_policy,
    make_lm,
    make_pairs,
    make_unet,
    token_policy,
)

from soundwright.core.protocols import Posterior
from soundwright.data.latents import encode_latents
from soundwright.data.tokens import tokenize
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.scoring import draw_scores
from soundwright.preference.pair_data import PairBatches
from soundwright.preference.pair_sounds import list_sounds
from soundwright.preference.policies import Sounds


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    pairs = make_pairs(folder)
    sounds = list_sounds(pairs, folder)
    return (
        pairs,
        tokenize(sounds, LevelCodec(), folder / "tokens", workers=0),
        encode_latents(sounds, BandCodec(), folder / "latents", workers=0),
    )


@pytest.fixture
def tokens(stores):
    return PairBatches(stores[1], stores[0], 3, seed=0)[0]


@pytest.fixture
def latents(stores):
    return PairBatches(stores[2], stores[0], 3, seed=0)[0]


def rows_of(sounds: Sounds, row: int) -> Sounds:
    """One row alone."""
    frames = type(sounds.frames)(
        **{name: value[row : row + 1] for name, value in vars(sounds.frames).items()}
    )
    at = slice(row, row + 1)
    return Sounds(frames, sounds.pairs[at], sounds.roles[at], sounds.epochs[at])


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("pattern", ["delay", "parallel"])
def test_a_token_score_is_the_sum_of_log_probabilities_of_each_token(tokens, pattern, first):
    """Each token from a forward pass over what precedes it in the pattern, in float64."""
    policy = token_policy(make_lm(pattern=pattern), first_codebook=first)
    scores = policy.score(tokens.sounds).detach()
    lm, frames = make_lm(pattern=pattern).double().eval(), tokens.frames
    text = WordEncoder().encode(frames.texts)
    T = frames.tokens.shape[-1]
    for row in range(len(scores)):
        total, count = 0.0, 0
        sequence = lm.pattern.lay_out(frames.tokens[row : row + 1], lm.special)
        with torch.no_grad():
            states = text.states[row : row + 1].double()
            chances = lm(sequence[..., :T], states, text.mask[row : row + 1]).logits.log_softmax(-1)
        for q, delay in enumerate(lm.pattern.delays[: 1 if first else None]):
            # A sequence of T + 1 steps holds the frames up to T - 1 - delay of codebook q.
            for frame in range(T - delay):
                token = int(frames.tokens[row, q, frame])
                total += float(chances[0, q, frame + delay, token])
                count += 1
        assert float(scores[row]) == pytest.approx(total, rel=1e-5)
        own = policy.own_losses(tokens.sounds, scores)[row]
        assert float(own) == pytest.approx(-total / count, rel=1e-5)


@pytest.mark.parametrize("process", ["v", "epsilon", "flow"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_denoising_score_is_half_the_negative_squared_error(latents, process, reduction):
    kind = {"kind": "flow"} if process == "flow" else {"prediction": process}
    policy = denoising_policy(make_unet(process=kind), reduction=reduction, seed=4)
    sounds = latents.sounds
    scores = policy.score(sounds).detach()
    network, frames = make_unet(process=kind).eval(), latents.frames
    text = Conditions(WordEncoder().encode(frames.texts))
    for row, (pair, role, epoch) in enumerate(
        zip(sounds.pairs, sounds.roles, sounds.epochs, strict=True)
    ):
        at = slice(row, row + 1)
        draws = draw_scores([pair], role, epoch, frames.mean.shape[1:], 4)
        latent = Posterior(frames.mean[at], frames.deviation[at]).sample(draws.posterior)
        times = network.process.times_at(draws.shares)
        noisy = network.process.corrupt(latent, draws.noise, times)
        others = torch.arange(len(text)) != row
        with torch.no_grad():
            rows = torch.cat([noisy] * len(text)), times.repeat(len(text))
            predicted = network(*rows, text.hide(others))[at]
        errors = (predicted - network.process.target(latent, draws.noise, times)).double().square()
        total = errors.sum() if reduction == "sum" else errors.mean()
        assert float(scores[row]) == pytest.approx(-0.5 * float(total), rel=1e-4)
        own = float(policy.own_losses(sounds, scores)[row])
        assert own == pytest.approx(float(errors.mean()), rel=1e-4)


@pytest.mark.parametrize("make", [token_policy, denoising_policy])
def test_a_row_does_not_depend_on_its_batch_mates(request, make):
    batch = request.getfixturevalue("tokens" if make is token_policy else "latents")
    policy = make()
    with torch.no_grad():
        together = policy.score(batch.sounds)
        alone = torch.cat([policy.score(rows_of(batch.sounds, row)) for row in range(6)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(together[:3], together[3:])


def test_winner_and_loser_share_time_and_noise_unless_they_shall_not(latents):
    batch = latents
    policies = {shared: denoising_policy(shared=shared) for shared in (True, False)}
    same = Sounds(
        type(batch.frames)(
            **{
                name: value[:1].repeat(2, *[1] * (value.dim() - 1))
                if isinstance(value, torch.Tensor)
                else 2 * value[:1]
                for name, value in vars(batch.frames).items()
            }
        ),
        ("pair0", "pair0"),
        ("winner", "loser"),
        (0, 0),
    )
    # One certain latent on both sides: what is left is time and noise.
    same.frames.deviation.zero_()
    with torch.no_grad():
        shared, separate = (policies[kind].score(same) for kind in (True, False))
    torch.testing.assert_close(shared[0], shared[1])
    assert not torch.isclose(separate[0], separate[1])


def test_a_denoising_score_follows_from_pair_epoch_and_seed(latents):
    policy, other = denoising_policy(seed=1), denoising_policy(seed=2)
    sounds = latents.sounds
    later = Sounds(sounds.frames, sounds.pairs, sounds.roles, (5,) * 6)
    with torch.no_grad():
        assert torch.equal(policy.score(sounds), policy.score(sounds))
        assert not torch.equal(policy.score(sounds), policy.score(later))
        assert not torch.equal(policy.score(sounds), other.score(sounds))


@pytest.mark.parametrize("make", [token_policy, denoising_policy])
def test_dropout_is_off_even_in_training(request, make):
    batch = request.getfixturevalue("tokens" if make is token_policy else "latents")
    parts = {"dropout": 0.5}
    policy = make(make_lm(**parts) if make is token_policy else make_unet(**parts))
    policy.module.train()
    with torch.no_grad():
        assert torch.equal(policy.score(batch.sounds), policy.score(batch.sounds))


def test_means_are_sums_divided_by_what_was_counted(tokens, latents):
    with torch.no_grad():
        sums, means = (
            token_policy(reduction=kind).score(tokens.sounds) for kind in ("sum", "mean")
        )
        T = tokens.frames.tokens.shape[-1]
        torch.testing.assert_close(sums / (3 * T - 3), means)
        sums, means = (
            denoising_policy(reduction=kind).score(latents.sounds) for kind in ("sum", "mean")
        )
        torch.testing.assert_close(sums / latents.frames.mean[0].numel(), means)
