import pytest
import torch

from soundwright.codecs.encodec import PRESETS, EncodecCodec
from soundwright.codecs.stereo import StereoCodec
from soundwright.core.errors import ConfigError
from soundwright.core.protocols import TokenCodec


@pytest.fixture
def codec():
    codec = StereoCodec(EncodecCodec(PRESETS["encodec-tiny"]))
    for level in codec.mono.quantizer.levels:
        level.embed.copy_(torch.randn(level.embed.shape, generator=torch.Generator()))
        level.inited.fill_(1)
    return codec.eval()


@pytest.fixture
def sound():
    return torch.randn(2, 2, 1600, generator=torch.Generator().manual_seed(0))


def test_the_sides_alternate_and_do_not_hear_each_other(codec, sound):
    assert isinstance(codec, TokenCodec)
    assert (codec.channels, codec.codebooks) == (2, 2 * codec.mono.codebooks)
    tokens = codec.encode(sound)
    assert tokens.shape == (2, codec.codebooks, 5)
    for side in (0, 1):
        assert torch.equal(tokens[:, side::2], codec.mono.encode(sound[:, side : side + 1]))
    assert not torch.equal(tokens[:, ::2], tokens[:, 1::2])
    whole = codec.decode(tokens)
    assert whole.shape == sound.shape
    for side in (0, 1):
        assert torch.equal(whole[:, side : side + 1], codec.mono.decode(tokens[:, side::2]))
    assert torch.equal(codec.decode(tokens[:, :2])[:, :1], codec.mono.decode(tokens[:, :1]))


def test_in_training_each_side_is_an_item(codec, sound):
    mask = torch.ones(2, 1600, dtype=torch.bool)
    output = codec.forward_training(sound, mask)
    assert output.reconstruction.shape == sound.shape
    alone = codec.mono.forward_training(sound[:1, 1:], mask[:1])
    torch.testing.assert_close(
        output.reconstruction[:1, 1:], alone.reconstruction, atol=1e-6, rtol=1e-5
    )


def test_a_codec_of_two_channels_has_its_sides_already():
    config = PRESETS["encodec-tiny"].model_copy(update={"channels": 2})
    with pytest.raises(ConfigError, match="channels: 1"):
        StereoCodec(EncodecCodec(config))
