"""Vocoders and the latent codec: lengths, parity with transformers, batch mates, weight norm."""

import pytest
import torch

from soundwright.audio.mel import PRESETS, LogMel, MelConfig
from soundwright.codecs.hifigan import HifiGan, HifiGanConfig
from soundwright.codecs.mel_codec import MelCodec
from soundwright.codecs.mel_vae import MelVae, MelVaeConfig
from soundwright.codecs.spectrum_vocoder import SpectrumVocoder, SpectrumVocoderConfig
from soundwright.codecs.task import CodecTask, CodecTaskConfig
from soundwright.codecs.vocoding import RebuiltMels, TrueMels, VocoderTraining, plain_weights
from soundwright.core.errors import ConfigError
from soundwright.core.protocols import AudioBatch, LatentCodec, StepContext
from soundwright.core.seeding import torch_stream

TANGO = PRESETS["tango"]


def light(seed: int = 0) -> SpectrumVocoder:
    return SpectrumVocoder(SpectrumVocoderConfig(width=16, blocks=2), seed).eval()


def hifigan(seed: int = 0) -> HifiGan:
    config = HifiGanConfig(width=32, residual_kernels=(3,), residual_dilations=((1, 3),))
    return HifiGan(config, seed).eval()


def vae() -> MelVae:
    return MelVae(MelVaeConfig(widths=(8, 8), layers=1, groups=4, latent_channels=4)).eval()


def noise(items: int, samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(items, 1, samples, generator=torch_stream(1, "noise"))


def settings(**changes) -> CodecTaskConfig:
    values = {
        "discriminator": {"fft_sizes": (64,), "filters": 4},
        "mel": {"fft_sizes": (64, 128), "mels": 8},
    }
    return CodecTaskConfig.read(values | changes)


def test_tangos_hifigan_is_the_default():
    with torch.device("meta"):
        count = sum(p.numel() for p in HifiGan(HifiGanConfig()).parameters())
    assert count == 55_264_897  # as AudioLDM's own code


@torch.no_grad()
@pytest.mark.parametrize("make", [light, hifigan])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_frames_become_whole_hops(make, frames):
    mel = torch.randn(2, 64, frames, generator=torch_stream(0, "mel")) - 5
    assert make()(mel).shape == (2, frames * 160)


@torch.no_grad()
@pytest.mark.parametrize("make", [light, hifigan])
def test_a_vocoder_does_not_look_at_batch_mates_and_is_made_by_its_seed(make):
    mel = torch.randn(3, 64, 9, generator=torch_stream(0, "mel")) - 5
    torch.testing.assert_close(make()(mel)[1], make()(mel[1:2])[0])
    assert torch.equal(make()(mel), make()(mel))
    assert not torch.equal(make(1)(mel), make()(mel))


@torch.no_grad()
def test_hifigan_is_that_of_transformers():
    from transformers import SpeechT5HifiGan

    ours = hifigan()
    theirs = SpeechT5HifiGan(ours.network.config).eval()
    theirs.load_state_dict(ours.network.state_dict())
    mel = torch.randn(2, 64, 6, generator=torch_stream(0, "mel")) - 5
    wanted = theirs(mel.transpose(1, 2))
    assert wanted.shape == (2, 6 * 160 + 32)
    assert torch.equal(ours(mel), wanted[:, :960])


def test_weight_norm_is_undone_after_training():
    vocoder = hifigan()
    plain = {name: value.clone() for name, value in vocoder.state_dict().items()}
    training = VocoderTraining(vocoder, TrueMels(TANGO))
    assert any(name.endswith("original1") for name in training.state_dict())
    with torch.no_grad():
        for parameter in training.parameters():
            parameter.mul_(1.5)
        mel = torch.randn(1, 64, 4, generator=torch_stream(0, "mel"))
        wanted = training.vocoder(mel)
        again = hifigan(1)
        again.load_state_dict(plain_weights(training.state_dict()))
        torch.testing.assert_close(again(mel), wanted)
    assert again.state_dict().keys() == plain.keys()


@pytest.mark.parametrize("make", [light, hifigan])
def test_a_vocoder_trains_as_a_codec_without_codebooks(make):
    training = VocoderTraining(make().train(), TrueMels(TANGO))
    task = CodecTask(training, settings(balanced=False))
    mask = torch.ones(2, 1500, dtype=torch.bool)
    mask[1, 800:] = False
    batch = AudioBatch(noise(2, 1500) * mask[:, None], mask)
    context = StepContext(step=0, micro=0, device=torch.device("cpu"))
    found = {}
    for turn in task.turns(batch, context):
        turn.loss.backward()
        found[turn.player] = turn
    assert found.keys() == {"discriminator", "generator"}
    assert "commitment" not in found["generator"].metrics
    without = [name for name, p in training.named_parameters() if p.grad is None]
    assert without == []
    assert task.validate(batch, torch.device("cpu")).keys() == {"waveform", "mel", "log_mel_error"}


@torch.no_grad()
def test_what_lies_beyond_the_mask_does_not_reach_the_vocoder():
    training = VocoderTraining(light(), TrueMels(TANGO))
    mask = torch.arange(1600)[None] < 800
    clean = noise(1, 1600) * mask[:, None]
    dirty = torch.where(mask[:, None], clean, 0.7)
    first, second = (training.forward_training(given, mask) for given in (clean, dirty))
    assert torch.equal(first.reconstruction, second.reconstruction)


def test_a_frozen_autoencoders_mels_are_learnt_from_and_it_stays_as_it_is():
    frozen = vae()
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    training = VocoderTraining(light().train(), RebuiltMels(frozen))
    assert all(name.startswith("vocoder.") for name in training.state_dict())
    waveform = noise(2, 1120)  # 7 mel frames, which are no whole latent frames
    mask = torch.ones(2, 1120, dtype=torch.bool)
    output = training.forward_training(waveform, mask)
    assert output.reconstruction.shape == waveform.shape
    with torch.no_grad():
        mel = LogMel(TANGO)(torch.nn.functional.pad(waveform[:, 0], (0, 160)))
        wanted = training.vocoder(frozen.decode(frozen.encode(mel).mean)[..., :7])
    torch.testing.assert_close(output.reconstruction[:, 0], wanted)
    output.reconstruction.square().mean().backward()
    assert all(p.grad is None for p in frozen.parameters())
    assert all(torch.equal(before[name], value) for name, value in frozen.state_dict().items())


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 5000])
@pytest.mark.parametrize("make", [light, hifigan])
def test_a_mel_codec_is_a_latent_codec_for_any_length(make, samples):
    codec = MelCodec(vae(), make())
    assert isinstance(codec, LatentCodec)
    assert (codec.sample_rate, codec.channels, codec.hop_length) == (16_000, 1, 320)
    assert codec.latent_shape == (4, 32)
    frames = -(-samples // 320)
    posterior = codec.encode(noise(2, samples))
    assert posterior.mean.shape == posterior.deviation.shape == (2, 4, frames, 32)
    assert codec.decode(posterior.mean).shape == (2, 1, frames * 320)


def test_a_mel_codec_joins_its_two_parts():
    codec = MelCodec(vae(), light())
    waveform = noise(1, 640)
    latents = codec.vae.encode(LogMel(TANGO)(waveform[:, 0])).mean
    torch.testing.assert_close(codec.encode(waveform).mean, latents)
    with torch.no_grad():
        wanted = codec.vocoder(codec.vae.decode(latents))[:, None]
    torch.testing.assert_close(codec.decode(latents), wanted)


def test_parts_with_different_front_ends_are_refused():
    other = SpectrumVocoderConfig(mel=TANGO.model_copy(update={"floor": 1e-4}), width=8, blocks=1)
    with pytest.raises(ConfigError, match="different mel front ends"):
        MelCodec(vae(), SpectrumVocoder(other))


@pytest.mark.parametrize(
    ("config", "values", "words"),
    [
        (SpectrumVocoderConfig, {"fft_size": 641}, "even number"),
        (SpectrumVocoderConfig, {"fft_size": 100}, "even number"),
        (SpectrumVocoderConfig, {"kernel": 4}, "kernel must be odd"),
        (HifiGanConfig, {"rates": [5, 4, 2, 2]}, r"is not mel.hop_length 160"),
        (HifiGanConfig, {"kernels": [16]}, "one number for each stage"),
        (HifiGanConfig, {"kernels": [16, 16, 8, 4, 1]}, "samples would be left out"),
        (HifiGanConfig, {"residual_kernels": [3]}, "residual_dilations"),
        (HifiGanConfig, {"width": 40}, "cannot be halved 5 times"),
    ],
)
def test_impossible_shapes_are_refused(config, values, words):
    with pytest.raises(ConfigError, match=words):
        config.read(values)
    assert config().mel == MelConfig(hop_length=160, f_max=8000.0, trim=True)
