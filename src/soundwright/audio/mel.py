"""Log-mel spectrograms: one module, and the front ends of the field as presets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import pad

from soundwright.core.config import Config


class MelConfig(Config):
    """A mel front end, down to the conventions in which implementations differ."""

    sample_rate: int = Field(default=16000, gt=0)
    n_fft: int = Field(default=1024, gt=0)
    win_length: int = Field(default=1024, gt=0)
    """At most `n_fft`."""
    hop_length: int = Field(default=256, gt=0)
    n_mels: int = Field(default=64, gt=0)
    f_min: float = Field(default=0.0, ge=0)
    f_max: float | None = None
    """Upper edge of the last band in Hz; None is half the sample rate."""
    scale: Literal["slaney", "htk"] = "slaney"
    """Slaney's scale is linear below 1 kHz; HTK's (also Kaldi's) is logarithmic throughout."""
    triangles: Literal["hertz", "mel"] = "hertz"
    """The axis on which the bands are straight triangles: librosa's hertz, VGGish's mel."""
    norm: Literal["area", "peak"] = "area"
    """Bands of equal area (librosa's `slaney`) or of equal height."""
    power: Literal[1, 2] = 1
    """Exponent of the magnitude."""
    window: Literal["periodic", "symmetric"] = "periodic"
    """Kind of Hann window."""
    padding: Literal["reflect", "reflect_hops", "none"] = "reflect"
    """Mirror half a window at both ends, so that frame f is centred on sample f * hop; mirror half
    of what a window has more than a hop, so that frame f is centred on the middle of hop f and
    whole hops are as many frames; or begin with the first whole window."""
    trim: bool = False
    """Keep ceil(N / hop) frames instead of the one more that "reflect" gives."""
    pre_emphasis: float = 0.0
    """x[n] - pre_emphasis * x[n - 1], without the first sample; 0 leaves the signal alone."""
    log: Literal["clamp", "add", "decibel", "none"] = "clamp"
    """ln(max(x, floor)), ln(x + floor), 10 * power^-1 * 2 * log10(max(x, floor)), or x."""
    floor: float = Field(default=1e-5, gt=0)
    shift: float = 0.0
    """Added after the logarithm."""
    divisor: float = Field(default=1.0, gt=0)
    """Divides what the shift gave."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} exceeds n_fft {self.n_fft}")
        if not self.f_min < self.top <= self.sample_rate / 2:
            raise ValueError(
                f"the band {self.f_min} to {self.top} Hz does not lie within 0 to "
                f"{self.sample_rate / 2}"
            )
        beyond = self.win_length - self.hop_length
        if self.padding == "reflect_hops" and (beyond < 0 or beyond % 2):
            raise ValueError(
                f"padding reflect_hops: win_length {self.win_length} does not exceed hop_length "
                f"{self.hop_length} by an even number of samples"
            )
        return self

    @property
    def margin(self) -> int:
        """Samples that are mirrored at each end."""
        if self.padding == "none":
            return 0
        return (self.win_length - (self.padding == "reflect_hops") * self.hop_length) // 2

    @property
    def top(self) -> float:
        """Upper edge of the last band in Hz."""
        return self.sample_rate / 2 if self.f_max is None else self.f_max

    def frames(self, samples: int) -> int:
        """Number of frames of a signal of `samples` samples."""
        length = samples - bool(self.pre_emphasis)
        count = max(0, 1 + (length + 2 * self.margin - self.win_length) // self.hop_length)
        return min(count, math.ceil(length / self.hop_length)) if self.trim else count

    def placed_as(self, other: MelConfig) -> MelConfig:
        """This front end with its windows where another one has them.

        Two that are equal then say the same of a sound, up to half a hop and a frame at the end.
        """
        return self.model_copy(update={"padding": other.padding, "trim": other.trim})


PRESETS: Mapping[str, MelConfig] = MappingProxyType(
    {
        "general": MelConfig(),
        # Tango and AudioLDM: 10.24 s are 1024 frames.
        "tango": MelConfig(hop_length=160, f_max=8000.0, trim=True),
        # GenAU: the same windows and bands half a hop later, N / 160 frames without a cut.
        "genau": MelConfig(hop_length=160, f_max=8000.0, padding="reflect_hops"),
        "vggish": MelConfig(
            n_fft=512,
            win_length=400,
            hop_length=160,
            f_min=125.0,
            f_max=7500.0,
            scale="htk",
            triangles="mel",
            norm="peak",
            padding="none",
            log="add",
            floor=0.01,
        ),
        "passt": MelConfig(
            sample_rate=32000,
            win_length=800,
            hop_length=320,
            n_mels=128,
            f_max=15000.0,
            scale="htk",
            triangles="mel",
            norm="peak",
            power=2,
            window="symmetric",
            pre_emphasis=0.97,
            log="add",
            shift=4.5,
            divisor=5.0,
        ),
    }
)
VGGISH_PATCH_FRAMES = 96


class LogMel(nn.Module):
    """[..., N] float waveform to [..., M, F] log-mel spectrogram, differentiable.

    F is `config.frames(N)`. A signal shorter than what is mirrored is so as often as needed.
    """

    window: Tensor
    bands: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        # A model may be built on the meta device; these are no weights, which would be filled in.
        with torch.device("cpu"):
            window = torch.hann_window(
                config.win_length, periodic=config.window == "periodic", dtype=torch.float64
            )
            bands = mel_bands(config)
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("bands", bands.float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the spectrogram; under autocast too, all work is done in float32."""
        with torch.autocast(waveform.device.type, enabled=False):
            energy = self.bands.T @ self.spectrum(waveform.float())
            return (self._log(energy) + self.config.shift) / self.config.divisor

    def spectrum(self, waveform: Tensor) -> Tensor:
        """[..., N] to the linear spectrum [..., n_fft // 2 + 1, F], to the configured power."""
        config = self.config
        if config.pre_emphasis:
            waveform = waveform[..., 1:] - config.pre_emphasis * waveform[..., :-1]
        wanted = config.frames(waveform.shape[-1] + bool(config.pre_emphasis))
        if wanted == 0:
            return waveform.new_zeros((*waveform.shape[:-1], config.n_fft // 2 + 1, 0))
        if config.margin:
            waveform = mirror(waveform, config.margin)
        frames = waveform.unfold(-1, config.win_length, config.hop_length)[..., :wanted, :]
        spectrum = torch.fft.rfft(frames * self.window, n=config.n_fft).transpose(-1, -2)
        if config.power == 2:
            return spectrum.real.square() + spectrum.imag.square()
        return spectrum.abs()

    def _log(self, energy: Tensor) -> Tensor:
        config = self.config
        if config.log == "none":
            return energy
        if config.log == "add":
            return (energy + config.floor).log()
        if config.log == "decibel":
            return (20.0 / config.power) * energy.clamp(min=config.floor).log10()
        return energy.clamp(min=config.floor).log()


def mel_bands(config: MelConfig) -> Tensor:
    """The filterbank [n_fft // 2 + 1, M] in float64."""
    bins = torch.arange(config.n_fft // 2 + 1, dtype=torch.float64)
    hertz = bins * (config.sample_rate / config.n_fft)
    to_mel, to_hertz = (
        (_slaney_mel, _slaney_hertz) if config.scale == "slaney" else (_htk_mel, _htk_hertz)
    )
    limits = to_mel(torch.tensor([config.f_min, config.top], dtype=torch.float64))
    steps = torch.linspace(0, 1, config.n_mels + 2, dtype=torch.float64)
    edges = limits[0] + steps * (limits[1] - limits[0])
    edges_hertz = to_hertz(edges)
    if config.triangles == "mel":
        points, corners = to_mel(hertz), edges
    else:
        points, corners = hertz, edges_hertz
    rising = (points[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - points[:, None]) / (corners[2:] - corners[1:-1])
    bands = torch.minimum(rising, falling).clamp(min=0)
    if config.norm == "area":
        bands = bands * (2.0 / (edges_hertz[2:] - edges_hertz[:-2]))
    return bands


def mirror(waveform: Tensor, margin: int) -> Tensor:
    """Reflect [..., N] by `margin` samples at both ends, however short it is.

    Raises:
        ValueError: There are no samples to mirror.
    """
    if waveform.shape[-1] == 0:
        raise ValueError("a signal without samples cannot be mirrored")
    flat = waveform.reshape(1, -1, waveform.shape[-1])
    left = margin
    while left:
        step = min(left, flat.shape[-1] - 1)
        if step == 0:
            flat = pad(flat, (left, left), mode="replicate")
            break
        flat = pad(flat, (step, step), mode="reflect")
        left -= step
    return flat.reshape(*waveform.shape[:-1], flat.shape[-1])


def patches(spectrogram: Tensor, frames: int = VGGISH_PATCH_FRAMES) -> Tensor:
    """Cut [..., M, F] into [..., P, M, frames] without overlap; an incomplete tail is dropped."""
    whole = spectrogram.shape[-1] // frames
    cut = spectrogram[..., : whole * frames].unflatten(-1, (whole, frames))
    return cut.movedim(-2, -3)


def _htk_mel(hertz: Tensor) -> Tensor:
    return 1127.0 * torch.log1p(hertz / 700.0)


def _htk_hertz(mel: Tensor) -> Tensor:
    return 700.0 * torch.expm1(mel / 1127.0)


def _slaney_mel(hertz: Tensor) -> Tensor:
    above = 15.0 + (hertz.clamp(min=1000.0) / 1000.0).log() * (27.0 / math.log(6.4))
    return torch.where(hertz < 1000.0, hertz * (3.0 / 200.0), above)


def _slaney_hertz(mel: Tensor) -> Tensor:
    above = 1000.0 * ((mel.clamp(min=15.0) - 15.0) * (math.log(6.4) / 27.0)).exp()
    return torch.where(mel < 15.0, mel * (200.0 / 3.0), above)
