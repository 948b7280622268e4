import copy

import pytest
import torch

from soundwright.codecs.encodec import PRESETS, EncodecCodec
from soundwright.codecs.task import CodecTask, CodecTaskConfig
from soundwright.core.errors import ConfigError
from soundwright.core.protocols import AudioBatch, StepContext
from soundwright.core.seeding import torch_stream

CPU = torch.device("cpu")
SMALL = {
    "discriminator": {"fft_sizes": [256, 128], "filters": 2},
    "mel": {"fft_sizes": [128, 512], "mels": 32},
}


def batch(seed=0, masked=False, samples=3000):
    stream = torch_stream(seed, "test")
    pitch = 200 + 800 * torch.rand(4, 1, 1, generator=stream)
    waveform = 0.5 * torch.sin(2 * torch.pi * pitch * torch.arange(samples) / 16000)
    mask = torch.ones(4, samples, dtype=torch.bool)
    if masked:
        mask[0, samples // 2 :] = False
    return AudioBatch(waveform * mask[:, None], mask)


class Run:
    """A task and its optimizers, moved as the training loop moves them."""

    def __init__(self, seed=0, perceptual=None, **values):
        codec = EncodecCodec(PRESETS["encodec-tiny"], seed).train()
        config = CodecTaskConfig.read({**SMALL, **values})
        self.task = CodecTask(codec, config, seed=seed, perceptual=perceptual)
        self.optimizers = {
            name: torch.optim.Adam(module.parameters(), 3e-3, betas=(0.5, 0.9))
            for name, module in self.task.players.items()
        }

    def step(self, number, sounds=None, **context):
        turns = {}
        sounds = sounds or batch(number, masked=True)
        for turn in self.task.turns(sounds, StepContext(number, 0, CPU, **context)):
            optimizer = self.optimizers[turn.player]
            optimizer.zero_grad()
            turn.loss.backward()
            optimizer.step()
            turns[turn.player] = turn
        return turns

    def state(self):
        return copy.deepcopy(
            {
                "task": self.task.state_dict(),
                "players": {k: m.state_dict() for k, m in self.task.players.items()},
                "optimizers": {k: o.state_dict() for k, o in self.optimizers.items()},
            }
        )

    def load(self, state):
        self.task.load_state_dict(state["task"])
        for name, module in self.task.players.items():
            module.load_state_dict(state["players"][name])
            self.optimizers[name].load_state_dict(state["optimizers"][name])


def weights(run):
    return {
        f"{player}.{name}": value
        for player, module in run.task.players.items()
        for name, value in module.state_dict().items()
    }


@pytest.mark.parametrize("balanced", [True, False])
def test_training_lowers_the_reconstructions_error(balanced):
    # The paper's weights give discriminators this small, and this new, too much to say.
    run = Run(balanced=balanced, weights={"adversarial": 0.2, "features": 0.2})
    sounds = batch()
    before = None
    for number in range(12):
        turns = run.step(number, sounds)
        assert list(turns) == ["discriminator", "generator"]
        before = before or turns["generator"].metrics["mel"].item()
    assert run.task.validate(sounds, CPU)["mel"] < 0.8 * before


def test_a_resumed_run_ends_with_the_same_weights():
    whole, resumed = Run(), Run(seed=5)
    for number in range(2):
        whole.step(number)
    resumed.load(whole.state())
    # The seed names the quantiser's streams; it is part of the configuration, not of the state.
    resumed.task.codec.quantizer.seed = whole.task.codec.quantizer.seed
    for number in range(2, 5):
        whole.step(number)
        resumed.step(number)
    left, right = weights(whole), weights(resumed)
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert whole.task.state_dict() == resumed.task.state_dict()


def test_metrics_are_named_and_the_costly_one_is_left_out_when_nobody_looks():
    run = Run(weights={"stft": 1.0})
    turns = run.step(0)
    losses = {"waveform", "mel", "stft", "adversarial", "features", "commitment"}
    assert losses | {"log_mel_error", "codebook_usage/3", "codebook_perplexity/0"} <= set(
        turns["generator"].metrics
    )
    assert set(turns["discriminator"].metrics) == {"real_logit", "fake_logit"}
    assert "log_mel_error" not in run.step(1, wants_metrics=False)["generator"].metrics


def test_the_weights_are_shares_of_the_reconstructions_gradient():
    run = Run(commitment=0.0, weights={"adversarial": 1, "features": 1, "waveform": 1, "mel": 1})
    codec = run.task.codec
    kept = []
    original = codec.forward_training

    def forward(waveform, mask):
        output = original(waveform, mask)
        output.reconstruction.retain_grad()
        kept.append(output.reconstruction)
        return output

    codec.forward_training = forward
    run.step(0, batch())
    # Running means are those of this one batch: four parts of norm 1/4, mean over items.
    norm = kept[0].grad.flatten(1).norm(dim=1).mean().item()
    assert 0.25 <= norm <= 1.0
    assert len(kept) == 1


def test_discriminators_start_late_and_move_seldom():
    run = Run(adversarial_start=2, discriminator_every=2)
    players = [list(run.step(number)) for number in range(5)]
    alone, both = ["generator"], ["discriminator", "generator"]
    assert players == [alone, alone, both, alone, both]


def test_without_adversarial_weights_there_is_no_discriminator():
    run = Run(weights={"adversarial": 0, "features": 0})
    assert list(run.task.players) == ["generator"]
    turns = run.step(0)
    assert not {"adversarial", "features"} & set(turns["generator"].metrics)


def test_the_generators_turn_leaves_no_gradient_in_the_discriminator():
    run = Run()
    turns = run.task.turns(batch(), StepContext(0, 0, CPU))
    next(turns)
    generator = next(turns)
    generator.loss.backward()
    assert all(p.grad is None for p in run.task.discriminator.parameters())
    assert all(p.requires_grad for p in run.task.discriminator.parameters())
    assert all(p.grad is not None for p in run.task.codec.parameters())


def test_the_generator_meets_the_discriminator_that_has_moved():
    losses = []
    for gain in (1.0, 5.0):
        run = Run()
        turns = run.task.turns(batch(), StepContext(0, 0, CPU))
        next(turns)
        with torch.no_grad():
            run.task.discriminator.parts[0].last.bias.fill_(gain)
        losses.append(next(turns).metrics["adversarial"].item())
    assert losses[0] - losses[1] == pytest.approx(4.0 / 2, rel=1e-4)


def test_validation_changes_nothing_and_repeats_itself():
    run = Run()
    run.step(0)
    before = copy.deepcopy(weights(run))
    first = run.task.validate(batch(7, masked=True), CPU)
    assert run.task.validate(batch(7, masked=True), CPU) == first
    assert set(first) == {"waveform", "mel", "log_mel_error", "commitment"}
    assert run.task.codec.training
    after = weights(run)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_lies_beyond_a_clips_end_does_not_count():
    values = []
    for rubbish in (0.0, 3.0):
        run = Run()
        run.step(0)
        sounds = batch(3, masked=True)
        codec = run.task.codec
        original = codec.forward_training

        def forward(waveform, mask, original=original, rubbish=rubbish):
            output = original(waveform, mask)
            output.reconstruction.data[0, :, 1500:] = rubbish
            return output

        codec.forward_training = forward
        values.append(run.task.validate(sounds, CPU))
    assert values[0] == values[1]


def test_a_perceptual_loss_takes_part():
    calls = []

    def perceptual(real, fake):
        calls.append((real.shape, fake.requires_grad))
        return (real - fake).square().mean()

    run = Run(perceptual=perceptual, weights={"perceptual": 2.0})
    turns = run.step(0)
    assert calls == [((4, 1, 3200), True)]
    assert "perceptual" in turns["generator"].metrics
    with pytest.raises(ConfigError, match="perceptual"):
        Run(weights={"perceptual": 2.0})


def test_it_trains_under_bf16_autocast():
    run = Run()
    for number in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            turns = run.step(number)
        assert all(turn.loss.isfinite() for turn in turns.values())


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"weights": {"waveform": 0, "mel": 0, "stft": 0}}, "weights"),
        ({"weights": {"mle": 1}}, "mel"),
        ({"discriminator_every": 0}, "discriminator_every"),
    ],
)
def test_bad_configuration_says_what_is_wrong(values, word):
    with pytest.raises(ConfigError, match=word):
        CodecTaskConfig.read(values)
