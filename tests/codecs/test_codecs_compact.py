"""The light codec: shapes, batch mates, STFT round trip, seeds, bad shapes."""

import pytest
import torch

from soundwright.codecs.compact import CompactCodec, CompactCodecConfig
from soundwright.codecs.quantizer import QuantizerConfig
from soundwright.codecs.spectrum import Frames
from soundwright.core.config import Config
from soundwright.core.errors import ConfigError
from soundwright.core.protocols import TokenCodec


def tiny(seed: int = 0, **changes) -> CompactCodec:
    values = {
        "fft_size": 64,
        "fine_hop": 16,
        "fine_width": 16,
        "wide_width": 24,
        "encoder_blocks": (1, 1),
        "decoder_blocks": (1, 1),
        "latent_width": 8,
        "quantizer": QuantizerConfig(
            codebooks=3, codebook_size=16, kmeans_iterations=5, dropout=0.5, normalise_latents=True
        ),
    }
    codec = CompactCodec(CompactCodecConfig(**values | changes), seed)
    waveform = noise(4, 640)
    codec.forward_training(waveform, torch.ones(4, 640, dtype=torch.bool))
    return codec.eval()


def noise(items: int, samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(items, 1, samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("samples", [1, 63, 64, 65, 1000])
def test_lengths_are_whole_frames(samples):
    codec = tiny()
    tokens = codec.encode(noise(2, samples))
    frames = -(-samples // codec.hop_length)
    assert tokens.shape == (2, 3, frames)
    assert tokens.dtype == torch.int64
    assert 0 <= tokens.min() <= tokens.max() < codec.codebook_size
    assert codec.decode(tokens).shape == (2, 1, frames * codec.hop_length)
    assert codec.decode(tokens[:, :1]).shape == (2, 1, frames * codec.hop_length)
    assert isinstance(codec, TokenCodec)


def test_an_item_does_not_depend_on_its_batch_mates():
    codec = tiny()
    waveform = noise(3, 640)
    alone, together = codec.encode(waveform[1:2]), codec.encode(waveform)
    assert torch.equal(alone[0], together[1])
    torch.testing.assert_close(codec.decode(alone)[0], codec.decode(together)[1])


def test_analysis_and_synthesis_are_inverse():
    frames = Frames(64, 16)
    waveform = noise(2, 640)[:, 0]
    padded = torch.nn.functional.pad(waveform, (frames.margin, frames.margin))
    spectrum = torch.fft.rfft(padded.unfold(-1, 64, 16) * frames.window)
    magnitudes = (spectrum.abs() + 1e-12).log() / 3 + 0.5
    back = frames.synthesise(magnitudes, spectrum.angle())
    torch.testing.assert_close(back, waveform, atol=1e-5, rtol=1e-4)


def test_the_seed_decides_on_the_weights():
    same, other = tiny(3).state_dict(), tiny(4).state_dict()
    for name, value in tiny(3).state_dict().items():
        assert torch.equal(value, same[name])
    assert any(not torch.equal(value, other[name]) for name, value in same.items())


def test_every_part_gets_a_gradient():
    codec = tiny().train()
    output = codec.forward_training(noise(4, 640), torch.ones(4, 640, dtype=torch.bool))
    (output.reconstruction.square().mean() + output.quantised.commitment).backward()
    without = [name for name, p in codec.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize(
    ("values", "words"),
    [({"fft_size": 100, "fine_hop": 161}, "fft_size"), ({"kernel": 4}, "kernel must be odd")],
)
def test_impossible_shapes_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        CompactCodecConfig.read(values)
    assert issubclass(CompactCodecConfig, Config)
