"""What a step minimises and tells, and that steps teach what the pairs say."""

import math

import pytest
import torch
from preference_models import (
    BandCodec,
    LevelCodec,
    denoising_policy,
    make_pairs,
    token_policy,
)

from soundwright.core.protocols import StepContext
from soundwright.data.latents import encode_latents
from soundwright.data.tokens import tokenize
from soundwright.preference.losses import LossConfig
from soundwright.preference.pair_data import PairBatches
from soundwright.preference.pair_sounds import list_sounds
from soundwright.preference.references import LiveReference, freeze
from soundwright.preference.task import PreferenceTask
from soundwright.training.loop import train
from soundwright.training.settings import TrainingConfig

CPU = torch.device("cpu")
MAKERS = {"tokens": token_policy, "latents": denoising_policy}
BETA = {"tokens": 0.1, "latents": 200.0}


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    pairs = make_pairs(folder)
    sounds = list_sounds(pairs, folder)
    stores = {
        "tokens": tokenize(sounds, LevelCodec(), folder / "tokens", workers=0),
        "latents": encode_latents(sounds, BandCodec(), folder / "latents", workers=0),
    }
    return {name: PairBatches(store, pairs, 6, seed=0) for name, store in stores.items()}


def make_task(frames, /, tuning_steps=0, **loss) -> PreferenceTask:
    policy = MAKERS[frames]()
    config = LossConfig.read({"beta": BETA[frames], **loss})
    return PreferenceTask(policy, LiveReference(freeze(policy)), config, tuning_steps)


def turn_of(task, batch, step=0):
    (turn,) = task.turns(batch, StepContext(step, 0, CPU))
    return turn


@pytest.mark.parametrize("kind", MAKERS)
def test_the_first_loss_is_log_2(kind, batches):
    turn = turn_of(make_task(kind), batches[kind][0])
    assert turn.player == {"tokens": "lm", "latents": "unet"}[kind]
    assert float(turn.loss.detach()) == pytest.approx(math.log(2), rel=1e-6)
    # Attention with gradients may round otherwise than without.
    assert float(turn.metrics["margin"].detach()) == pytest.approx(0, abs=1e-4)
    assert float(turn.metrics["drift/winner"].detach()) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("loss", ["dpo", "kto"])
def test_training_raises_winners_above_losers(kind, loss, batches, tmp_path):
    task = make_task(kind, kind=loss)
    before = task.validate(batches[kind][0], CPU)
    optimizer = {"lr": 3e-3, "weight_decay": 0, "schedule": {"kind": "constant", "warmup": 0}}
    config = TrainingConfig.read(
        {"steps": 12, "optimizer": optimizer, "average": None, "device": "cpu", "log_every": 1}
    )
    train(task, batches[kind], config, tmp_path / "run")
    after = task.validate(batches[kind][0], CPU)
    assert after["loss"] < before["loss"]
    assert after["margin"] > 0
    assert after["accuracy"] >= 0.8
    assert after["drift/winner"] - after["drift/loser"] == pytest.approx(after["margin"], rel=1e-3)


@pytest.mark.parametrize("kind", MAKERS)
def test_tuning_sees_winners_alone_and_lowers_their_own_loss(kind, batches, tmp_path):
    task, batch = make_task(kind, tuning_steps=4), batches[kind][0]
    tuned = turn_of(task, batch, step=3)
    own = task.policy.own_losses(batch.winners, task.policy.score(batch.winners)).mean()
    assert float(tuned.loss.detach()) == pytest.approx(float(own.detach()), rel=1e-6)
    assert set(tuned.metrics) == {"loss", "own"}
    assert "margin" in turn_of(task, batch, step=4).metrics
    before = task.validate(batch, CPU)["own"]
    optimizer = {"lr": 3e-3, "schedule": {"kind": "constant", "warmup": 0}}
    config = TrainingConfig.read(
        {"steps": 4, "optimizer": optimizer, "average": None, "device": "cpu"}
    )
    train(task, batches[kind], config, tmp_path / "run")
    assert task.validate(batch, CPU)["own"] < before


@pytest.mark.parametrize("kind", MAKERS)
def test_an_anchor_adds_the_winners_own_loss(kind, batches):
    batch = batches[kind][0]
    plain, held = turn_of(make_task(kind), batch), turn_of(make_task(kind, anchor=0.5), batch)
    own = float(plain.metrics["own"].detach())
    assert own > 0
    assert float(held.loss.detach()) == pytest.approx(
        float(plain.loss.detach()) + 0.5 * own, rel=1e-5
    )


def test_a_batch_of_one_prompt_has_no_other(tmp_path):
    pairs = make_pairs(tmp_path, 3, prompts=("rain",))
    store = tokenize(list_sounds(pairs, tmp_path), LevelCodec(), tmp_path / "t", workers=0)
    batch = PairBatches(store, pairs, 3, seed=0)[0]
    assert batch.mismatched is None
    assert float(turn_of(make_task("tokens", kind="kto"), batch).loss.detach()) == pytest.approx(
        0.5
    )
