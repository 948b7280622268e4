"""Between tokens and waveforms: given sounds in, portions of finished sound out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from soundwright.audio.channels import to_channels
from soundwright.audio.files import read
from soundwright.audio.limiting import limit
from soundwright.audio.overlapping import Overlapped
from soundwright.audio.resampling import resample
from soundwright.audio.sound import Sound
from soundwright.codecs.streaming import open_stream
from soundwright.core.errors import UserError
from soundwright.pipelines.parts import Codec

SEAM_S = 0.02
"""Cross-fade from a continued sound to its continuation."""
LOUDEST = 0.99
"""Peak to which what is beyond full scale is turned down ..."""
LIMITER_REACH_S = 0.2
"""... and the time to either side of a peak over which the gain moves."""
PORTION_S = 0.64
"""Sound that is decoded at a time: smaller portions cost more in neighbours that are decoded again.
The first three are half as long, so that a stream is heard soon: a codec that looks as far ahead as
the compact one, and the limiter behind it, give their first sound after 0.9 s of tokens."""


class Waveforms:
    """A codec with what sounds go through before and behind it.

    Args:
        codec: In evaluation mode, on any device; samples come and go on the CPU.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.sample_rate, self.channels = codec.sample_rate, codec.channels
        self.hop_length = codec.hop_length

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length

    @property
    def portion(self) -> int:
        """Frames that are decoded at a time; an even number."""
        return 2 * max(1, round(PORTION_S * self.frame_rate / 2))

    def frames(self, duration: float) -> int:
        """T, the frames that hold `duration` seconds."""
        return math.ceil(duration * self.frame_rate)

    def read_sound(self, given: Path | str | Sound) -> Tensor:
        """A given sound, [C, N] at the codec's rate.

        Raises:
            AudioError: The file cannot be used.
        """
        if isinstance(given, Sound):
            samples = resample(given.samples, given.sample_rate, self.sample_rate)
            return to_channels(samples, self.channels)
        return read(given, sample_rate=self.sample_rate, channels=self.channels).samples

    def read_beginning(self, given: Path | str | Sound) -> Tensor:
        """The sound to continue, [C, N] at the codec's rate, cut to whole frames.

        Raises:
            AudioError: The file cannot be used.
            UserError: The sound is shorter than a frame.
        """
        samples = self.read_sound(given)
        whole = samples.shape[1] // self.hop_length * self.hop_length
        if whole == 0:
            raise UserError(
                "The sound to continue is too short.",
                expected=f"at least {self.hop_length / self.sample_rate:.2f} s",
            )
        return samples[:, :whole]

    @torch.inference_mode()
    def encode(self, samples: Tensor) -> Tensor:
        """Samples [C, N] to tokens [K, T]."""
        return self._codec.encode(samples[None].to(self._device))[0]

    def decode(self, tokens: Iterable[Tensor], frames: int) -> Iterator[Tensor]:
        """Pieces [C, n] of one sound as the codec gives it, from tokens [1, K, t].

        However the tokens come, they are decoded in the same portions, so that every bit of the
        sound is the same.

        Args:
            tokens: Pieces of any size.
            frames: T, the sum of their sizes.
        """
        decoder = open_stream(self._codec)
        for portion, last in _portions(tokens, frames, self.portion):
            samples = decoder.push(portion.to(self._device), last=last)
            if samples is not None:
                yield samples[0].float().cpu()

    def pour(
        self, tokens: Iterable[Tensor], duration: float, beginning: Tensor | None
    ) -> Iterator[Tensor]:
        """Pieces [C, n] of one finished sound of `duration` seconds, from tokens [1, K, t].

        Args:
            tokens: `frames(duration)` of them, in pieces of any size.
            duration: Seconds.
            beginning: [C, M], stands in front as it was given.
        """
        wanted = round(duration * self.sample_rate)
        reach = round(LIMITER_REACH_S * self.sample_rate)
        limiter = Overlapped(lambda samples: limit(samples, LOUDEST, reach), reach)
        given = 0
        for decoded in self.decode(tokens, self.frames(duration)):
            piece = decoded[:, : wanted - given]
            if beginning is not None:
                piece = _begin_with(beginning, piece, given, round(SEAM_S * self.sample_rate))
            given += piece.shape[1]
            limited = limiter.push(piece, last=given == wanted)
            if limited is not None:
                yield limited

    @property
    def _device(self) -> torch.device:
        return next(self._codec.parameters()).device


def _portions(pieces: Iterable[Tensor], frames: int, size: int) -> Iterator[tuple[Tensor, bool]]:
    """Tokens [1, K, size], and whether it is the end, from pieces of any size.

    The first three portions are half as long, and the last one is what is left.
    """
    held: Tensor | None = None
    done = 0
    for piece in pieces:
        held = piece if held is None else torch.cat([held, piece], dim=-1)
        while held.shape[-1] >= (wanted := min(_portion_at(done, size), frames - done)) > 0:
            portion, held = held[..., :wanted], held[..., wanted:]
            done += wanted
            yield portion, done == frames


def _portion_at(frame: int, size: int) -> int:
    return size // 2 if frame < 3 * size // 2 else size


def _begin_with(beginning: Tensor, piece: Tensor, position: int, seam: int) -> Tensor:
    """Put the continued sound itself in the place of its copy, as far as a piece holds that.

    Args:
        beginning: [C, M].
        piece: [C, n].
        position: Of the piece in the sound.
        seam: Samples over which the beginning goes over into its copy at its end.
    """
    length = beginning.shape[1]
    count = min(length - position, piece.shape[1])
    if count <= 0:
        return piece
    places = torch.arange(position, position + count)
    seam = min(length, seam)
    share = ((length - 1 - places) / max(1, seam - 1)).clamp(max=1.0)
    given = beginning[:, position : position + count]
    begun = share * given + (1 - share) * piece[:, :count]
    return torch.cat([begun, piece[:, count:]], dim=1)
