"""The autoencoder over time alone: GenAU's size, literal layers, batch mates, bad shapes."""

import pytest
import torch
from torch.nn import functional as F

from soundwright.audio.mel import PRESETS, LogMel
from soundwright.codecs.mel_codec import MelCodec
from soundwright.codecs.mel_vae_1d import Attention, MelVae1d, MelVae1dConfig
from soundwright.codecs.spectrum_vocoder import SpectrumVocoder, SpectrumVocoderConfig
from soundwright.core.errors import ConfigError
from soundwright.core.protocols import LatentCodec
from soundwright.core.seeding import torch_stream

GENAU = PRESETS["genau"]
SMALL = {"widths": (8, 12, 16), "layers": 1, "groups": 4, "neck": 6, "latent_channels": 5}


def small(seed: int = 0, **changes) -> MelVae1d:
    return MelVae1d(MelVae1dConfig(**SMALL | changes), seed).eval()


def mels(items: int, frames: int) -> torch.Tensor:
    return 2 * torch.randn(items, 64, frames, generator=torch_stream(0, "mels")) - 5


def test_the_defaults_are_genaus():
    """The paper's layers, counted by hand: convolutions of 3, biases, norms, 1 x 1 shortcuts."""

    def conv(below, above, kernel=3):
        return kernel * below * above + above

    def block(below, above):
        shortcut = 0 if below == above else conv(below, above, 1)
        return 2 * below + conv(below, above) + 2 * above + conv(above, above) + shortcut

    middle = 2 * block(2048, 2048) + 2 * 2048 + 4 * conv(2048, 2048, 1)
    encoder = (
        conv(64, 512)
        + 3 * block(512, 512)
        + conv(512, 512)
        + block(512, 1024)
        + 2 * block(1024, 1024)
        + conv(1024, 1024)
        + block(1024, 2048)
        + 2 * block(2048, 2048)
        + middle
        + 2 * 2048
        + conv(2048, 2 * 256)
        + conv(2 * 256, 2 * 64, 1)
    )
    decoder = (
        conv(64, 256, 1)
        + conv(256, 2048)
        + middle
        + 4 * block(2048, 2048)
        + conv(2048, 2048)
        + block(2048, 1024)
        + 3 * block(1024, 1024)
        + conv(1024, 1024)
        + block(1024, 512)
        + 3 * block(512, 512)
        + 2 * 512
        + conv(512, 64)
    )
    config = MelVae1dConfig()
    assert (config.compression, config.hop_length, config.latent_shape) == (4, 640, (64,))
    assert GENAU.frames(163_840) == 1024
    with torch.device("meta"):
        vae = MelVae1d(config)
        posterior = vae.infer(torch.zeros(1, 64, 1024))
        assert posterior.mean.shape == (1, 64, 256)
        assert vae.rebuild(posterior.mean).shape == (1, 64, 1024)
    assert sum(p.numel() for p in vae.parameters()) == encoder + decoder == 391_639_488


@pytest.mark.parametrize("frames", [1, 3, 4, 17])
@torch.no_grad()
def test_any_number_of_frames_becomes_whole_latent_frames(frames):
    vae = small()
    posterior = vae.encode(mels(2, frames))
    latents = -(-frames // 4)
    assert posterior.mean.shape == posterior.deviation.shape == (2, 5, latents)
    assert (posterior.deviation > 0).all()
    assert vae.decode(posterior.mean).shape == (2, 64, latents * 4)


@torch.no_grad()
def test_what_is_missing_in_the_last_frame_is_silence():
    vae, mel = small(), mels(1, 15)
    whole = torch.cat([mel, LogMel(GENAU)(torch.zeros(1, 160))], -1)
    assert torch.equal(vae.encode(mel).mean, vae.encode(whole).mean)


@torch.no_grad()
def test_the_network_is_what_its_layers_say_in_float64():
    """One level, layer by layer, in the functions that define them."""
    vae = small(widths=(8,), center=-5.0, spread=2.0, scale=0.5).double()
    state = vae.state_dict()

    def conv(hidden, name):
        weight = state[f"{name}.weight"]
        return F.conv1d(hidden, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def norm(hidden, name):
        parts = hidden.reshape(len(hidden), 4, -1)
        parts = parts - parts.mean(-1, keepdim=True)
        parts = parts / (parts.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        scaled = parts.view_as(hidden) * state[f"{name}.weight"][:, None]
        return scaled + state[f"{name}.bias"][:, None]

    def block(hidden, name):
        update = conv(F.silu(norm(hidden, f"{name}.first_norm")), f"{name}.first")
        return hidden + conv(F.silu(norm(update, f"{name}.second_norm")), f"{name}.second")

    def attend(hidden, name):
        query, key, value = conv(norm(hidden, f"{name}.norm"), f"{name}.project").chunk(3, 1)
        scores = torch.einsum("bdt,bds->bts", query, key) / 8**0.5
        return hidden + conv(
            torch.einsum("bts,bds->bdt", scores.softmax(-1), value), f"{name}.last"
        )

    mel = mels(2, 9).double()
    hidden = block(conv((mel + 5) / 2, "encoder.stem"), "encoder.levels.0")
    hidden = block(
        attend(block(hidden, "encoder.levels.1"), "encoder.levels.2"), "encoder.levels.3"
    )
    moments = conv(conv(F.silu(norm(hidden, "encoder.norm")), "encoder.last"), "moments")
    mean, log_variance = moments.chunk(2, 1)
    posterior = vae.encode(mel)
    torch.testing.assert_close(posterior.mean, (0.5 * mean).float(), check_dtype=False)
    wanted = 0.5 * log_variance.exp().sqrt()
    torch.testing.assert_close(posterior.deviation, wanted.float(), check_dtype=False)

    hidden = conv(conv(mean, "unfold"), "decoder.stem")
    hidden = block(hidden, "decoder.levels.0")
    hidden = block(attend(hidden, "decoder.levels.1"), "decoder.levels.2")
    hidden = block(block(hidden, "decoder.levels.3"), "decoder.levels.4")
    rebuilt = conv(F.silu(norm(hidden, "decoder.norm")), "decoder.last") * 2 - 5
    torch.testing.assert_close(vae.decode(0.5 * mean), rebuilt.float(), check_dtype=False)


@torch.no_grad()
def test_latent_frames_lie_where_their_mel_frames_do():
    """Mel frames 32 to 35 are latent frame 8, down and up: nothing is shifted."""
    vae = small()
    for module in vae.modules():
        if isinstance(module, Attention | torch.nn.GroupNorm):  # both look at everything
            module.forward = lambda hidden: hidden
    quiet, latents = mels(1, 64), torch.zeros(1, 5, 16)
    loud, moved = quiet.clone(), latents.clone()
    loud[..., 32:36] += 1
    moved[..., 8] += 1
    change = (vae.infer(loud).mean - vae.infer(quiet).mean).square().sum((0, 1))
    assert (change * torch.arange(16)).sum() / change.sum() == pytest.approx(8, abs=0.5)
    change = (vae.rebuild(moved) - vae.rebuild(latents)).square().sum((0, 1))
    assert (change * torch.arange(64)).sum() / change.sum() == pytest.approx(33.5, abs=1.5)


@torch.no_grad()
def test_an_item_does_not_depend_on_its_batch_mates():
    vae, mel = small(), mels(3, 16)
    alone, together = vae.encode(mel[1:2]), vae.encode(mel)
    torch.testing.assert_close(alone.mean[0], together.mean[1])
    torch.testing.assert_close(alone.deviation[0], together.deviation[1])
    torch.testing.assert_close(vae.decode(alone.mean)[0], vae.decode(together.mean)[1])


def test_the_seed_decides_on_the_weights():
    first, same, other = small(3).state_dict(), small(3).state_dict(), small(4).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


@torch.no_grad()
def test_with_a_vocoder_it_is_a_latent_codec():
    vocoder = SpectrumVocoder(SpectrumVocoderConfig(mel=GENAU, width=8, blocks=1)).eval()
    codec = MelCodec(small(), vocoder)
    assert isinstance(codec, LatentCodec)
    assert (codec.latent_shape, codec.hop_length, codec.sample_rate) == ((5,), 640, 16_000)
    sound = 0.1 * torch.randn(2, 1, 5000, generator=torch_stream(0, "sound"))
    posterior = codec.encode(sound)
    assert posterior.mean.shape == (2, 5, 8)
    assert codec.decode(posterior.mean).shape == (2, 1, 5120)
    with pytest.raises(ConfigError, match="different mel front ends"):
        MelCodec(small(), SpectrumVocoder(SpectrumVocoderConfig(width=8, blocks=1)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"widths": [8, 18]}, r"not all multiples of groups 4"),
        ({"widths": []}, "widths"),
        ({"mel": {"hop_length": 160}}, "mel.padding to reflect_hops"),
        ({"scale": 0}, "scale"),
        ({"latent_chanels": 8}, "did you mean 'latent_channels'"),
    ],
)
def test_impossible_shapes_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        MelVae1dConfig.read(SMALL | values)
