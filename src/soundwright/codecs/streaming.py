"""Tokens to sound piece by piece, in memory that does not grow with the sound.

The codecs look to both sides: a sample depends on frames before and behind its own. A piece is
therefore decoded with as many neighbours as the decoder's convolutions reach, which gives the
samples of a decoding of the whole up to rounding. EnCodec's LSTM, which looks back without an end,
goes on with the state that it had.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from soundwright.audio.overlapping import Overlapped
from soundwright.codecs.compact import CompactCodec, CompactCodecConfig
from soundwright.codecs.encodec import EncodecCodec, EncodecCodecConfig
from soundwright.codecs.stereo import StereoCodec


class DecodingStream(Protocol):
    """One sound in the making."""

    def push(self, tokens: Tensor, /, *, last: bool = False) -> Tensor | None:
        """Take the next tokens [1, K, t]; give the samples [1, C, n] that they decide, if any."""
        ...


def open_stream(codec: CompactCodec | EncodecCodec | StereoCodec) -> DecodingStream:
    """A stream of one sound through `codec`; its pieces together are what `codec.decode` gives.

    A network that normalises over the whole sound (`norm: time_group_norm`) gives nothing before
    the end.
    """
    if isinstance(codec, CompactCodec):
        return Overlapped(codec.decode, compact_reach(codec.config), codec.hop_length)
    if isinstance(codec, StereoCodec):
        return _StereoStream(codec)
    if codec.config.norm == "time_group_norm":
        return Overlapped(codec.decode, None, codec.hop_length)
    return _EncodecStream(codec)


def compact_reach(config: CompactCodecConfig) -> int:
    """Token frames to either side of its own on which a sample depends."""
    side = config.kernel // 2
    wide, fine = (blocks * side for blocks in config.decoder_blocks)
    margin = (config.fft_size - config.fine_hop) // 2
    return 1 + wide + -(-(fine + -(-margin // config.fine_hop)) // config.stack)


def encodec_reach(config: EncodecCodecConfig) -> int:
    """Frames to either side of its own on which a sample depends, behind the LSTM."""
    residual = sum(
        (config.residual_kernel - 1) * config.dilation_growth**depth
        for depth in range(config.residual_layers)
    )
    reach = config.last_kernel - 1
    for ratio in reversed(config.ratios):
        reach = 1 + -(-(reach + residual) // ratio)
    return reach


class _EncodecStream:
    def __init__(self, codec: EncodecCodec) -> None:
        first, recurrent, *rest = cast(Any, codec.model.decoder).layers
        self._lstm: nn.LSTM = recurrent.lstm
        self._state: tuple[Tensor, Tensor] | None = None

        def begin(tokens: Tensor) -> Tensor:
            return first(codec.quantizer.decode(tokens))

        def end(hidden: Tensor) -> Tensor:
            for layer in rest:
                hidden = layer(hidden)
            return hidden

        self._begin = Overlapped(begin, codec.config.kernel - 1)
        self._end = Overlapped(end, encodec_reach(codec.config), codec.hop_length)

    @torch.no_grad()
    def push(self, tokens: Tensor, *, last: bool = False) -> Tensor | None:
        hidden = self._begin.push(tokens, last=last)
        if hidden is not None:
            steps = hidden.permute(2, 0, 1)
            read, self._state = self._lstm(steps, self._state)
            hidden = (read + steps).permute(1, 2, 0)
        return self._end.push(hidden, last=last)


class _StereoStream:
    def __init__(self, codec: StereoCodec) -> None:
        self._sides = [open_stream(codec.mono) for _ in range(2)]

    def push(self, tokens: Tensor, *, last: bool = False) -> Tensor | None:
        sides = [
            stream.push(tokens[:, side::2], last=last) for side, stream in enumerate(self._sides)
        ]
        left, right = sides
        return None if left is None or right is None else torch.cat([left, right], dim=1)
