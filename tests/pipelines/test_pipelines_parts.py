import pytest
import torch

from soundwright.core.errors import ConfigError
from soundwright.pipelines.parts import CodecChoice, build_codec, coarser_codec, load_codec
from soundwright.pipelines.systems import read_recipe


@pytest.fixture(scope="module")
def bundled():
    codec, record, _ = load_codec("bundled")
    return codec, CodecChoice.read(record.parts["codec"])


def test_the_first_codebooks_of_a_codec_are_a_codec_of_their_own(bundled):
    codec, choice = bundled
    coarse, coarse_choice = coarser_codec(codec, choice, 3)
    sound = torch.randn(1, 1, 16_000, generator=torch.Generator().manual_seed(0)) * 0.1
    tokens = coarse.encode(sound)
    assert torch.equal(tokens, codec.encode(sound)[:, :3])
    assert coarse.decode(tokens).shape == codec.decode(codec.encode(sound)).shape
    built = build_codec(coarse_choice)
    built.load_state_dict(coarse.state_dict())
    assert torch.equal(built.eval().decode(tokens), coarse.decode(tokens))


def test_more_codebooks_than_there_are_cannot_be_kept(bundled):
    with pytest.raises(ConfigError, match="is 9, but the codec has 8"):
        coarser_codec(*bundled, 9)


def test_a_codec_recipe_decides_its_codebooks_itself():
    with pytest.raises(ConfigError, match="says itself how many codebooks"):
        read_recipe(
            "rr-study-tiny", ["codec.model=null", "codec.recipe=synth-codec", "codec.codebooks=2"]
        )
