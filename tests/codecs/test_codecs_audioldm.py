"""Weights of AudioLDM and Tango: names, round trip, and what the named weights compute."""

import pytest
import torch
from torch.nn import functional as F

from soundwright.codecs.audioldm_weights import from_audioldm, to_audioldm
from soundwright.codecs.hifigan import HifiGan, HifiGanConfig
from soundwright.codecs.mel_vae import MelVae, MelVaeConfig
from soundwright.core.errors import CheckpointError
from soundwright.core.seeding import torch_stream

WIDTHS, LAYERS, LATENTS, GROUPS = (8, 16, 16), 2, 4, 4
VAE = MelVaeConfig(widths=WIDTHS, layers=LAYERS, groups=GROUPS, latent_channels=LATENTS)
VOCODER = HifiGanConfig(width=32, residual_kernels=(3, 5), residual_dilations=((1, 3), (1, 3)))


def conv(name, out, into, *kernel):
    return {f"{name}.weight": (out, into, *kernel), f"{name}.bias": (out,)}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def block(name, into, out):
    shapes = norm(f"{name}.norm1", into) | conv(f"{name}.conv1", out, into, 3, 3)
    shapes |= norm(f"{name}.norm2", out) | conv(f"{name}.conv2", out, out, 3, 3)
    return shapes | (conv(f"{name}.nin_shortcut", out, into, 1, 1) if into != out else {})


def middle(side, width):
    shapes = block(f"{side}.mid.block_1", width, width) | block(f"{side}.mid.block_2", width, width)
    shapes |= norm(f"{side}.mid.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        shapes |= conv(f"{side}.mid.attn_1.{part}", width, width, 1, 1)
    return shapes


def audioldm_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes as AudioLDM's code makes them, in Tango's pytorch_model_vae.bin."""
    return encoder_shapes() | decoder_shapes() | vocoder_shapes()


def encoder_shapes():
    shapes = conv("encoder.conv_in", WIDTHS[0], 1, 3, 3)
    below = WIDTHS[0]
    for level, width in enumerate(WIDTHS):
        for number in range(LAYERS):
            shapes |= block(f"encoder.down.{level}.block.{number}", below, width)
            below = width
        if level < len(WIDTHS) - 1:
            shapes |= conv(f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    shapes |= middle("encoder", below) | norm("encoder.norm_out", below)
    shapes |= conv("encoder.conv_out", 2 * LATENTS, below, 3, 3)
    return shapes | conv("quant_conv", 2 * LATENTS, 2 * LATENTS, 1, 1)


def decoder_shapes():
    below = WIDTHS[-1]
    shapes = conv("post_quant_conv", LATENTS, LATENTS, 1, 1)
    shapes |= conv("decoder.conv_in", below, LATENTS, 3, 3) | middle("decoder", below)
    for level, width in reversed(list(enumerate(WIDTHS))):
        for number in range(LAYERS + 1):
            shapes |= block(f"decoder.up.{level}.block.{number}", below, width)
            below = width
        if level:
            shapes |= conv(f"decoder.up.{level}.upsample.conv", width, width, 3, 3)
    return shapes | norm("decoder.norm_out", below) | conv("decoder.conv_out", 1, below, 3, 3)


def vocoder_shapes():
    shapes = conv("vocoder.conv_pre", 32, 64, 7)
    width, number = 32, 0
    for stage, kernel in enumerate((16, 16, 8, 4, 4)):
        shapes |= {
            f"vocoder.ups.{stage}.weight": (width, width // 2, kernel),
            f"vocoder.ups.{stage}.bias": (width // 2,),
        }
        width //= 2
        for size in (3, 5):
            for which in ("convs1", "convs2"):
                for layer in range(2):
                    name = f"vocoder.resblocks.{number}.{which}.{layer}"
                    shapes |= conv(name, width, width, size)
            number += 1
    return shapes | conv("vocoder.conv_post", 1, width, 7)


def checkpoint() -> dict[str, torch.Tensor]:
    generator = torch_stream(0, "audioldm")
    return {
        name: 0.2 * torch.randn(shape, generator=generator) + (".norm" in name)
        for name, shape in audioldm_shapes().items()
    }


def test_a_literal_checkpoint_goes_in_and_comes_out_as_it_was():
    state = checkpoint()
    found = from_audioldm(state, VAE, VOCODER)
    vae, vocoder = MelVae(VAE), HifiGan(VOCODER)
    vae.load_state_dict(found.vae)
    vocoder.load_state_dict(found.vocoder)
    back = to_audioldm(vae.state_dict(), vocoder.state_dict(), levels=3)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], value) for name, value in state.items())


def test_a_whole_checkpoint_has_them_among_other_things():
    state = {f"first_stage_model.{name}": value for name, value in checkpoint().items()}
    state |= {"model.diffusion_model.out.weight": torch.zeros(1), "scale_factor": torch.ones(())}
    found, bare = from_audioldm(state, VAE, VOCODER), from_audioldm(checkpoint(), VAE, VOCODER)
    for ours, theirs in zip(found, bare, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_weight_norm_in_the_checkpoint_is_undone():
    state = checkpoint()
    name = "vocoder.ups.1.weight"
    weight = state.pop(name)
    state[f"{name}_g"] = weight.flatten(1).norm(dim=1)[:, None, None]
    state[f"{name}_v"] = 3 * weight
    found = from_audioldm(state, VAE, VOCODER)
    torch.testing.assert_close(found.vocoder["network.upsampler.1.weight"], weight)


class Literal:
    """The autoencoder as functions of the checkpoint's own names, in float64."""

    def __init__(self, state):
        self.state = {name: value.double() for name, value in state.items()}

    def conv(self, name, x, **more):
        return F.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], **more)

    def norm(self, name, x):
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.group_norm(x, GROUPS, weight, bias, eps=1e-6)

    def block(self, name, x):
        h = self.conv(f"{name}.conv1", F.silu(self.norm(f"{name}.norm1", x)), padding=1)
        h = self.conv(f"{name}.conv2", F.silu(self.norm(f"{name}.norm2", h)), padding=1)
        wider = f"{name}.nin_shortcut.weight" in self.state
        return h + (self.conv(f"{name}.nin_shortcut", x) if wider else x)

    def middle(self, side, x):
        x = self.block(f"{side}.mid.block_1", x)
        h = self.norm(f"{side}.mid.attn_1.norm", x)
        q, k, v = (self.conv(f"{side}.mid.attn_1.{part}", h).flatten(2) for part in "qkv")
        weights = (q.mT @ k * q.shape[1] ** -0.5).softmax(-1)
        x = x + self.conv(f"{side}.mid.attn_1.proj_out", (v @ weights.mT).view_as(x))
        return self.block(f"{side}.mid.block_2", x)

    def encode(self, image):
        x = self.conv("encoder.conv_in", image, padding=1)
        for level in range(3):
            for number in range(LAYERS):
                x = self.block(f"encoder.down.{level}.block.{number}", x)
            if level < 2:
                padded = F.pad(x, (0, 1, 0, 1))
                x = self.conv(f"encoder.down.{level}.downsample.conv", padded, stride=2)
        x = F.silu(self.norm("encoder.norm_out", self.middle("encoder", x)))
        return self.conv("quant_conv", self.conv("encoder.conv_out", x, padding=1)).chunk(2, 1)

    def decode(self, latents):
        x = self.conv("decoder.conv_in", self.conv("post_quant_conv", latents), padding=1)
        x = self.middle("decoder", x)
        for level in (2, 1, 0):
            for number in range(LAYERS + 1):
                x = self.block(f"decoder.up.{level}.block.{number}", x)
            if level:
                doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                x = self.conv(f"decoder.up.{level}.upsample.conv", doubled, padding=1)
        x = F.silu(self.norm("decoder.norm_out", x))
        return self.conv("decoder.conv_out", x, padding=1)


@torch.no_grad()
def test_imported_weights_compute_what_their_names_say():
    literal = Literal(checkpoint())
    mel = torch.randn(2, 64, 16, generator=torch_stream(1, "mel"), dtype=torch.float64)
    mean, log_variance = literal.encode(mel.mT[:, None])
    rebuilt = literal.decode(mean)[:, 0].mT

    vae = MelVae(VAE)
    vae.load_state_dict(from_audioldm(checkpoint(), VAE, VOCODER).vae)
    posterior = vae.eval().encode(mel.float())
    latents = (mean * VAE.scale).float()
    deviation = ((log_variance / 2).exp() * VAE.scale).float()
    torch.testing.assert_close(posterior.mean, latents, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(posterior.deviation, deviation, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(vae.decode(latents), rebuilt.float(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder.conv_in.weight": None}, "autoencoder lacks 'network.encoder.conv_in.weight'"),
        ({"vocoder.conv_post.bias": None}, "vocoder lacks 'network.conv_post.bias'"),
        ({"encoder.mid.attn_2.q.weight": torch.zeros(1)}, "has no place|has 'network.encoder.mid"),
        ({"quant_conv.bias": torch.zeros(3)}, r"'network.quant_conv.bias' in the shape \(3,\)"),
        (dict.fromkeys(audioldm_shapes()), "autoencoder lacks"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(change, words):
    state = {**checkpoint(), **change}
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(CheckpointError, match=words):
        from_audioldm(state, VAE, VOCODER)
