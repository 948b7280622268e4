"""Training a spectrogram autoencoder: the bound, masks, the adversary's part."""

import math

import pytest
import torch

from soundwright.codecs.discriminators import PatchDiscriminator, PatchDiscriminatorConfig
from soundwright.codecs.mel_vae import MelVae, MelVaeConfig
from soundwright.codecs.mel_vae_task import MelVaeTask, MelVaeTaskConfig, kl_divergence
from soundwright.core.protocols import AudioBatch, Posterior, StepContext
from soundwright.core.seeding import initialising, torch_stream

CPU = torch.device("cpu")


def build(**changes) -> MelVaeTask:
    config = MelVaeConfig(
        widths=(8, 8), layers=1, groups=4, latent_channels=2, center=-5, spread=2.5
    )
    values = {"discriminator": PatchDiscriminatorConfig(filters=4)}
    return MelVaeTask(MelVae(config), MelVaeTaskConfig(**values | changes))


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


@pytest.mark.parametrize("distance", ["absolute", "squared"])
def test_the_loss_is_the_bound_in_float64(distance):
    task = build(distance=distance, kl=0.1, adversarial=0, features=0)
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
def test_what_lies_beyond_the_mask_changes_nothing():
    task, batch = build(), sounds(samples=3200, valid=1600)
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


def test_the_adversary_joins_at_its_step_and_every_part_learns():
    task, batch = build(adversarial_start=2), sounds()
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
