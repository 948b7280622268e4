"""Training a spectrogram autoencoder: the bound, masks, the adversary's part, its penalty."""

import math

import pytest
import torch

from soundwright.codecs.discriminators import PatchDiscriminator, PatchDiscriminatorConfig
from soundwright.codecs.losses import (
    generator_hinge,
    gradient_penalty,
    gradient_ratio,
)
from soundwright.codecs.mel_vae import MelVae, MelVaeConfig
from soundwright.codecs.mel_vae_1d import MelVae1d, MelVae1dConfig
from soundwright.codecs.mel_vae_task import MelVaeTask, MelVaeTaskConfig, kl_divergence
from soundwright.core.protocols import AudioBatch, Posterior, StepContext
from soundwright.core.seeding import initialising, torch_stream
from soundwright.training.checkpoints import read_weights
from soundwright.training.loop import train
from soundwright.training.settings import TrainingConfig

CPU = torch.device("cpu")
SHAPE = {"layers": 1, "groups": 4, "latent_channels": 2, "center": -5, "spread": 2.5}


def build(kind: str = "2d", **changes) -> MelVaeTask:
    vae = (
        MelVae(MelVaeConfig(widths=(8, 8), **SHAPE))
        if kind == "2d"
        else MelVae1d(MelVae1dConfig(widths=(8, 8), neck=4, **SHAPE))
    )
    values = {"discriminator": PatchDiscriminatorConfig(filters=4)}
    return MelVaeTask(vae, MelVaeTaskConfig(**values | changes))


def sounds(items: int = 2, samples: int = 3200, valid: int = 3200) -> AudioBatch:
    waveform = 0.1 * torch.randn(items, 1, samples, generator=torch_stream(0, "sounds"))
    mask = torch.arange(samples).expand(items, -1) < valid
    return AudioBatch(waveform * mask[:, None], mask)


def turns(task: MelVaeTask, batch: AudioBatch, step: int = 0):
    with initialising(step, "posterior"):
        return {
            turn.player: turn
            for turn in task.turns(batch, StepContext(step=step, micro=0, device=CPU))
        }


def test_the_divergence_is_that_of_two_normal_distributions():
    generator = torch_stream(1, "posterior")
    mean = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    deviation = torch.rand(2, 3, 5, 4, generator=generator, dtype=torch.float64) + 0.05
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    total, count = 0.0, 0
    for b in range(2):
        for c in range(3):
            for t in range(5):
                for f in range(4):
                    if mask[b, t]:
                        m, s = mean[b, c, t, f].item(), deviation[b, c, t, f].item()
                        total += 0.5 * (m * m + s * s - 1 - math.log(s * s))
                        count += 1
    found = kl_divergence(Posterior(mean, deviation), mask).item()
    assert found == pytest.approx(total / count, rel=1e-12)
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, deviation), torch.distributions.Normal(0.0, 1.0)
    )
    assert found == pytest.approx(theirs[mask[:, None, :, None].expand_as(theirs)].mean().item())
    still = Posterior(torch.zeros(1, 2, 3), torch.ones(1, 2, 3))
    assert kl_divergence(still, torch.ones(1, 3, dtype=torch.bool)) == 0


@pytest.mark.parametrize("kind", ["2d", "1d"])
@pytest.mark.parametrize("distance", ["absolute", "squared"])
def test_the_loss_is_the_bound_in_float64(kind, distance):
    task = build(kind, distance=distance, kl=0.1, adversarial=0, features=0)
    batch = sounds()
    (turn,) = turns(task, batch).values()
    with initialising(0, "posterior"), torch.no_grad():
        vae = task.vae
        mel = vae.mels(batch.waveform[:, 0])
        posterior = vae.infer(mel)
        rebuilt = vae.rebuild(posterior.sample(torch.randn_like(posterior.mean)))
    apart = (mel.double() - rebuilt.double()) / 2.5
    wanted = (apart.abs() if distance == "absolute" else apart.square()).mean()
    nats = (posterior.mean.double() ** 2 + posterior.deviation.double() ** 2 - 1) / 2
    wanted = wanted + 0.1 * (nats - posterior.deviation.double().log()).mean()
    assert turn.loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert list(task.players) == ["vae"]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["2d", "1d"])
def test_what_lies_beyond_the_mask_changes_nothing(kind):
    task, batch = build(kind), sounds(samples=3200, valid=1600)
    dirty = AudioBatch(torch.where(batch.mask[:, None], batch.waveform, 0.9), batch.mask)
    clean, other = turns(task, batch), turns(task, dirty)
    assert clean.keys() == other.keys() == {"vae", "discriminator"}
    for player, turn in clean.items():
        assert torch.equal(turn.loss, other[player].loss)
    assert task.validate(batch, CPU) == task.validate(dirty, CPU)


@torch.no_grad()
def test_only_valid_frames_count():
    """With a mask, the mean is over the valid frames of one and the same rebuilt spectrogram."""
    task, batch = build(), sounds(samples=3200, valid=1600)
    vae = task.vae
    mel = vae.mels(batch.waveform[:, 0])
    rebuilt = vae.rebuild(vae.infer(mel).mean)
    wanted = ((mel - rebuilt)[..., :10] / 2.5).abs().mean().item()
    assert task.validate(batch, CPU)["distance"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("kind", ["2d", "1d"])
def test_the_adversary_joins_at_its_step_and_every_part_learns(kind):
    task, batch = build(kind, adversarial_start=2), sounds()
    assert list(turns(task, batch, step=1)) == ["vae"]
    found = turns(task, batch, step=2)
    assert list(found) == ["discriminator", "vae"]
    for player, module in task.players.items():
        found[player].loss.backward(retain_graph=True)
        without = [name for name, p in module.named_parameters() if p.grad is None]
        assert without == []
    assert {"distance", "kl", "adversarial", "features"} == found["vae"].metrics.keys()


def test_the_autoencoders_turn_leaves_no_gradient_in_the_discriminator():
    task = build()
    found = turns(task, sounds())
    found["vae"].loss.backward()
    assert all(p.grad is None for p in task.discriminator.parameters())
    assert all(p.requires_grad for p in task.discriminator.parameters())


def test_the_same_step_draws_the_same_latents():
    task, batch = build(), sounds()
    first, again, other = (turns(task, batch, step)["vae"].loss for step in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@torch.no_grad()
def test_the_discriminator_judges_each_item_by_itself():
    network = PatchDiscriminator(PatchDiscriminatorConfig(filters=4))
    spectrograms = torch.randn(3, 1, 64, 40, generator=torch_stream(0, "patches"))
    together, alone = network(spectrograms), network(spectrograms[1:2])
    assert together.logits.shape == (3, 1, 8, 5)
    torch.testing.assert_close(together.logits[1], alone.logits[0])


def small_adversary() -> tuple[PatchDiscriminator, torch.Tensor]:
    with initialising(0, "adversary"):
        network = PatchDiscriminator(PatchDiscriminatorConfig(filters=2, layers=1)).double()
    real = torch.randn(2, 1, 6, 8, generator=torch_stream(0, "real"), dtype=torch.float64)
    return network, real


@torch.no_grad()
def literal_penalty(network: PatchDiscriminator, real: torch.Tensor) -> float:
    """Half the squared slopes, each a difference of two values, over the number of logits."""
    step, total = 1e-5, 0.0
    flat = real.flatten()
    for place in range(flat.numel()):
        slopes = []
        for sign in (1, -1):
            moved = flat.clone()
            moved[place] += sign * step
            slopes.append(network(moved.view_as(real)).logits.sum().item())
        total += ((slopes[0] - slopes[1]) / (2 * step)) ** 2
    return total / 2 / network(real).logits.numel()


def test_the_penalty_is_mescheders_r1_in_float64():
    network, real = small_adversary()
    seen = real.clone().requires_grad_()
    found = gradient_penalty(network(seen).logits, seen)
    assert found.item() == pytest.approx(literal_penalty(network, real), rel=1e-6)

    found.backward()
    weight = network.last.parametrizations.weight.original1
    slope, step = weight.grad[0, 1, 1, 2].item(), 1e-5
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 1, 1, 2] += sign * step
        ends.append(literal_penalty(network, real))
        with torch.no_grad():
            weight[0, 1, 1, 2] -= sign * step
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4)


def test_the_penalty_does_not_grow_with_length():
    """Of a discriminator that says the same everywhere: a sum over a patch, moved by its width."""
    kernel = torch.randn(1, 1, 4, 4, generator=torch_stream(0, "kernel"), dtype=torch.float64)
    for frames in (8, 80):
        real = torch.zeros(3, 1, 4, frames, dtype=torch.float64, requires_grad=True)
        logits = torch.nn.functional.conv2d(real, kernel, stride=4)
        found = gradient_penalty(logits, real).item()
        assert found == pytest.approx(kernel.square().sum().item() / 2)


def test_penalties_come_at_their_steps_with_their_weight():
    plain, penalised = build("1d"), build("1d", adversarial_start=3, r1=3.0, r1_every=2)
    batch = sounds()
    seen = plain._show(*plain._take(batch, CPU)).requires_grad_()
    penalty = gradient_penalty(plain.discriminator(seen).logits, seen).item()
    assert penalty > 0
    for step, due in ((3, False), (4, True), (5, False), (6, True)):
        with_it = turns(penalised, batch, step)["discriminator"]
        without = turns(plain, batch, step)["discriminator"]
        extra = 3.0 * 2 * penalty if due else 0.0
        assert with_it.loss.item() == pytest.approx(without.loss.item() + extra, rel=1e-5)
        assert ("r1" in with_it.metrics) == due
    loss = turns(penalised, batch, 4)["discriminator"].loss
    loss.backward()
    for name, parameter in penalised.discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()
    assert all(p.grad is None for p in penalised.vae.parameters())


def test_the_penalty_is_in_fp32_under_autocast():
    task, batch = build("1d", r1=3.0), sounds()
    real = task._show(*task._take(batch, CPU))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = task._penalty(real)
    assert torch.equal(mixed, task._penalty(real))


def test_a_relative_adversary_pulls_as_hard_as_its_factor_says():
    task, batch = build("1d", kl=0, features=0, adversarial=0.5, relative=True), sounds()
    with initialising(0, "posterior"):
        real, mask = task._take(batch, CPU)
        posterior = task.vae.infer(real)
        fake = task.vae.rebuild(posterior.sample(torch.randn_like(posterior.mean))).detach()
    fake.requires_grad_()
    distance = ((real - fake) / 2.5).abs().mean()
    adversarial = generator_hinge([task.discriminator(task._show(fake, mask))])
    ratio = gradient_ratio(distance, adversarial, fake)
    slopes = [torch.autograd.grad(loss, fake)[0].double() for loss in (distance, adversarial)]
    wanted = slopes[0].norm() / slopes[1].norm()
    assert ratio.item() == pytest.approx(wanted.item(), rel=1e-2)
    loss = turns(task, batch)["vae"].loss.item()
    assert loss == pytest.approx((distance + 0.5 * ratio * adversarial).item(), rel=1e-4)
    assert task.is_bound_to_ranks
    assert not build("1d").is_bound_to_ranks


@pytest.mark.parametrize("relative", [False, True])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path, relative):
    class Batches:
        def __getitem__(self, index):
            noise = torch.randn(2, 1, 3200, generator=torch_stream(index, "sounds"))
            return AudioBatch(0.1 * noise, torch.ones(2, 3200, dtype=torch.bool))

    def run(folder, steps, resume=False):
        task = build("1d", adversarial_start=1, r1=3.0, r1_every=2, relative=relative)
        config = TrainingConfig.read(
            {
                "steps": steps,
                "precision": "fp32",
                "device": "cpu",
                "checkpoint_every": 3,
                "tensorboard": False,
                "optimizer": {"lr": 1e-3, "schedule": {"kind": "constant", "warmup": 0}},
            }
        )
        return train(task, Batches(), config, folder, resume=resume).checkpoint

    whole = run(tmp_path / "whole", 6)
    run(tmp_path / "parts", 3)
    parts = run(tmp_path / "parts", 6, resume=True)
    for player in ("vae", "discriminator"):
        left, right = read_weights(whole, player)[0], read_weights(parts, player)[0]
        assert left.keys() == right.keys()
        assert all(torch.equal(value, right[name]) for name, value in left.items())
