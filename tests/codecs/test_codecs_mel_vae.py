"""The spectrogram autoencoder: shapes, parity with diffusers, scale, batch mates, bad shapes."""

import sys

import pytest
import torch

from soundwright.audio.mel import PRESETS, LogMel
from soundwright.codecs.mel_vae import MelVae, MelVaeConfig
from soundwright.core.errors import ConfigError, UserError
from soundwright.core.seeding import torch_stream

TANGO = PRESETS["tango"]
SMALL = {"widths": (8, 16), "layers": 1, "groups": 4, "latent_channels": 4}


def small(seed: int = 0, **changes) -> MelVae:
    return MelVae(MelVaeConfig(**SMALL | changes), seed).eval()


def mels(items: int, frames: int) -> torch.Tensor:
    return 2 * torch.randn(items, 64, frames, generator=torch_stream(0, "mels")) - 5


def test_the_defaults_are_tangos():
    config = MelVaeConfig()
    assert (config.compression, config.hop_length) == (4, 640)
    assert TANGO.frames(163_840) == 1024
    with torch.device("meta"):
        vae = MelVae(config)
        posterior = vae.network.encode(torch.zeros(1, 1, 1024, 64)).latent_dist
    assert posterior.mean.shape == (1, 8, 256, 16)
    count = sum(p.numel() for p in vae.parameters())
    assert count == 55_376_873  # as AudioLDM's own code


@pytest.mark.parametrize("frames", [1, 2, 3, 16, 17])
@pytest.mark.parametrize("patch", [1, 2])
def test_any_number_of_frames_becomes_whole_latent_frames(frames, patch):
    vae = small(patch=patch)
    per = 2 * patch
    assert vae.config.compression == per
    with torch.no_grad():
        posterior = vae.encode(mels(2, frames))
        latents = -(-frames // per)
        assert posterior.mean.shape == posterior.deviation.shape == (2, 4, latents, 64 // per)
        assert (posterior.deviation > 0).all()
        assert vae.decode(posterior.mean).shape == (2, 64, latents * per)


@torch.no_grad()
def test_what_is_missing_in_the_last_frame_is_silence():
    vae, mel = small(), mels(1, 15)
    silence = LogMel(TANGO)(torch.zeros(1, 160))
    assert silence.shape == (1, 64, 1)
    whole = torch.cat([mel, silence], -1)
    assert torch.equal(vae.encode(mel).mean, vae.encode(whole).mean)


@torch.no_grad()
def test_latents_and_mels_are_those_of_diffusers_autoencoder():
    vae, mel = small(scale=0.5), mels(2, 16)
    theirs = vae.network
    image = mel.transpose(1, 2)[:, None]
    found = theirs.encode(image).latent_dist
    posterior = vae.encode(mel)
    torch.testing.assert_close(posterior.mean, 0.5 * found.mean)
    torch.testing.assert_close(posterior.deviation, 0.5 * found.std)
    noise = torch.randn(found.mean.shape, generator=torch_stream(1, "noise"))
    latents = posterior.sample(noise)
    torch.testing.assert_close(latents, 0.5 * (found.mean + found.std * noise))
    rebuilt = theirs.decode(latents / 0.5).sample
    torch.testing.assert_close(vae.decode(latents), rebuilt[:, 0].transpose(1, 2))
    assert theirs.config.scaling_factor == 0.5


@torch.no_grad()
def test_the_networks_scale_of_mels_is_undone():
    plain, mel = small(), mels(1, 8)
    scaled = small(center=-5.0, spread=2.0)
    scaled.load_state_dict(plain.state_dict())
    torch.testing.assert_close(scaled.encode(2 * mel - 5).mean, plain.encode(mel).mean)
    latents = plain.encode(mel).mean
    torch.testing.assert_close(scaled.decode(latents), 2 * plain.decode(latents) - 5)


@torch.no_grad()
def test_an_item_does_not_depend_on_its_batch_mates():
    vae, mel = small(patch=2), mels(3, 16)
    alone, together = vae.encode(mel[1:2]), vae.encode(mel)
    torch.testing.assert_close(alone.mean[0], together.mean[1])
    torch.testing.assert_close(vae.decode(alone.mean)[0], vae.decode(together.mean)[1])


def test_the_seed_decides_on_the_weights():
    first, same, other = small(3).state_dict(), small(3).state_dict(), small(4).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"widths": [8, 18]}, r"not all multiples of groups 4"),
        ({"widths": []}, "widths"),
        ({"widths": [8] * 8}, r"mel.n_mels 64 is no multiple of 128"),
        ({"patch": 3}, "no multiple of 6"),
        ({"mel": {"hop_length": 160}}, "set mel.trim to true"),
        ({"scale": 0}, "scale"),
        ({"latent_chanels": 8}, "did you mean 'latent_channels'"),
    ],
)
def test_impossible_shapes_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        MelVaeConfig.read(SMALL | values)


def test_a_missing_diffusers_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UserError, match=r'pip install "soundwright\[diffusion\]"'):
        small()
