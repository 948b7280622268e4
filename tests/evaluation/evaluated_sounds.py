"""Folders of short tones for the tests of evaluation."""

import math
from pathlib import Path

import torch

from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.files import write_json
from soundwright.core.protocols import Encoded
from soundwright.core.seeding import torch_stream

RATE = 16_000


def tone(number: int, *, detune: float = 0.0, noise: float = 0.05, seconds: float = 1.0) -> Sound:
    """A sine with some noise, of which number and detuning decide all."""
    time = torch.arange(round(seconds * RATE)) / RATE
    hiss = torch.randn(time.shape, generator=torch_stream(number, "hiss", str(detune), str(noise)))
    pitch = 200 * 2 ** (number / 3) + detune
    return Sound((0.3 * torch.sin(2 * math.pi * pitch * time) + noise * hiss)[None], RATE)


def write_sounds(folder: Path, numbers, *, prompt="tone {}", **settings) -> Path:
    """Tones with the JSON that `soundwright generate` writes beside them."""
    for number in numbers:
        sound = tone(number, **settings)
        file = folder / f"{number}.wav"
        write(file, sound)
        described = {"prompt": prompt.format(number), "seed": number, "duration": sound.duration}
        write_json(file.with_suffix(".json"), {"file": file.name, **described})
    return folder


class BandEncoder:
    """A real, small encoder: levels of eight bands of each window, and what it was asked."""

    name = "bands"
    sample_rate = 8_000

    def __init__(self, identity: str = "bands-1", gain: str = "none") -> None:
        self.identity = identity
        self.facts = {"gain": gain, "window": "0.25 s"}
        self.heard = 0

    def encode(self, waveforms):
        self.heard += len(waveforms)
        return [self._encode(waveform) for waveform in waveforms]

    def _encode(self, waveform):
        if len(waveform) < 2000:
            return Encoded(torch.zeros(0, 8), torch.full((8,), torch.nan))
        windows = waveform.unfold(0, 2000, 2000)
        power = torch.fft.rfft(windows).abs()[:, 1:].unflatten(1, (8, 125)).square().mean(2)
        levels = (power + 1e-3).log()
        return Encoded(levels, levels.mean(0), levels[:, :4] - levels[:, 4:])
