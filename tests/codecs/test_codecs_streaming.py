"""Decoding tokens piece by piece: the samples of a decoding of the whole, none held back long."""

import pytest
import torch

from soundwright.codecs.compact import CompactCodec, CompactCodecConfig
from soundwright.codecs.encodec import PRESETS, EncodecCodec
from soundwright.codecs.quantizer import QuantizerConfig
from soundwright.codecs.stereo import StereoCodec
from soundwright.codecs.streaming import compact_reach, encodec_reach, open_stream
from soundwright.core.seeding import torch_stream

TINY = PRESETS["encodec-tiny"]


def lively(codec):
    """Weights and codes with which every frame within reach is heard."""
    stream = torch_stream(0, "test")
    with torch.no_grad():
        for weight in codec.parameters():
            if weight.dim() > 1:
                weight.copy_(0.3 * torch.randn(weight.shape, generator=stream))
        for name, buffer in codec.named_buffers():
            if name.endswith("embed"):
                buffer.copy_(torch.randn(buffer.shape, generator=stream))
    return codec.eval()


def compact(**changes):
    values = {
        "fft_size": 64,
        "fine_hop": 16,
        "fine_width": 16,
        "wide_width": 24,
        "encoder_blocks": (1, 1),
        "decoder_blocks": (1, 2),
        "latent_width": 8,
        "quantizer": QuantizerConfig(codebooks=2, codebook_size=16),
    }
    return lively(CompactCodec(CompactCodecConfig(**values | changes)))


def encodec(**changes):
    return lively(EncodecCodec(TINY.model_copy(update=changes)))


CODECS = {
    "compact": compact,
    "compact, wide window": lambda: compact(fft_size=160, kernel=3, stack=2),
    "encodec": encodec,
    "encodec, causal": lambda: encodec(causal=True),
    "encodec, reflecting, two residual layers": lambda: encodec(
        pad_mode="reflect", residual_layers=2, conv_shortcut=True
    ),
    "encodec, normalised over time": lambda: encodec(norm="time_group_norm"),
    "encodec, two channels": lambda: encodec(channels=2),
    "stereo": lambda: StereoCodec(encodec()).eval(),
}


@pytest.fixture(params=CODECS)
def codec(request):
    return CODECS[request.param]()


def tokens_for(codec, frames):
    shape = (1, codec.codebooks, frames)
    return torch.randint(codec.codebook_size, shape, generator=torch_stream(1, "test"))


@torch.no_grad()
def pour(codec, tokens, sizes):
    stream, pieces = open_stream(codec), []
    parts = tokens.split(sizes, dim=-1)
    for number, part in enumerate(parts):
        pieces.append(stream.push(part, last=number == len(parts) - 1))
    return pieces


@pytest.mark.parametrize("sizes", [[60], [1] * 60, [20, 20, 20], [59, 1]])
def test_pieces_are_together_the_whole(codec, sizes):
    tokens = tokens_for(codec, 60)
    with torch.no_grad():
        whole = codec.decode(tokens)
    poured = torch.cat([piece for piece in pour(codec, tokens, sizes) if piece is not None], dim=-1)
    assert poured.shape == whole.shape
    torch.testing.assert_close(poured, whole, rtol=0, atol=2e-5 * float(whole.abs().max()))


def _reach(codec):
    """How far from a changed frame samples change, in frames, to the left and to the right."""
    tokens = tokens_for(codec, 81)
    changed = tokens.clone()
    changed[..., 40] = (changed[..., 40] + 1) % codec.codebook_size
    with torch.no_grad():
        there = (codec.decode(tokens) != codec.decode(changed)).any(dim=1)[0].nonzero()[:, 0]
    return 40 - int(there.min()) // codec.hop_length, int(there.max()) // codec.hop_length - 40


def test_a_stream_holds_back_no_more_than_its_reach():
    codec = compact()
    reach = compact_reach(codec.config)
    assert max(_reach(codec)) <= reach <= max(_reach(codec)) + 3
    pieces = pour(codec, tokens_for(codec, 60), [1] * 60)
    first = next(number for number, piece in enumerate(pieces) if piece is not None)
    assert first == reach
    codec = encodec()
    assert _reach(codec)[0] <= encodec_reach(codec.config) + codec.config.kernel - 1


def test_what_normalises_over_time_waits_for_the_end():
    pieces = pour(encodec(norm="time_group_norm"), tokens_for(encodec(), 20), [5] * 4)
    assert [piece is None for piece in pieces] == [True, True, True, False]
