"""Losses of codec training: adversarial, feature matching, waveform, mel and STFT.

All are pure functions or modules without parameters; masks keep what lies beyond a clip's end out
of every mean. Spectral losses compute in fp32 under autocast too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from soundwright.audio.mel import LogMel, MelConfig
from soundwright.codecs.discriminators import Verdict
from soundwright.core.config import Config

FftSize = Annotated[int, Field(ge=16, multiple_of=4)]


def discriminator_hinge(real: Sequence[Verdict], fake: Sequence[Verdict]) -> Tensor:
    """Hinge loss of the discriminators, mean over them (EnCodec, section 3.4)."""
    losses = [
        F.relu(1 - right.logits.float()).mean() + F.relu(1 + wrong.logits.float()).mean()
        for right, wrong in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def generator_hinge(fake: Sequence[Verdict]) -> Tensor:
    """Adversarial loss of the generator: minus the mean logit (AudioCraft's "hinge")."""
    return torch.stack([-verdict.logits.float().mean() for verdict in fake]).mean()


def feature_matching(real: Sequence[Verdict], fake: Sequence[Verdict]) -> Tensor:
    """L1 between hidden layers relative to their mean size (EnCodec, equation 2)."""
    losses = [
        (wanted.detach() - got).abs().float().mean()
        / wanted.detach().abs().float().mean().clamp(min=1e-8)
        for right, wrong in zip(real, fake, strict=True)
        for wanted, got in zip(right.features, wrong.features, strict=True)
    ]
    return torch.stack(losses).mean()


def gradient_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """R1 (Mescheder et al. 2018, equation 9) at weight 1: half of E |dD(x) / dx|^2.

    An item of P logits has P discriminators, whose gradients are taken together: |d sum(D) / dx|^2
    over P, which does not grow with the length of the item.

    Args:
        logits: [B, ...], what a discriminator says of `real`.
        real: [B, ...], recordings, with a gradient.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.square().sum() / (2 * logits.numel())


def gradient_ratio(first: Tensor, second: Tensor, at: Tensor) -> Tensor:
    """|d first / d at| over |d second / d at|, at most 10^4 (Esser et al. 2021, equation 7).

    They take it at the last layer's weights; here it is taken at what that layer gives.
    """
    sizes = [
        torch.autograd.grad(loss, at, retain_graph=True)[0].float().norm()
        for loss in (first, second)
    ]
    return (sizes[0] / (sizes[1] + 1e-6)).clamp(max=1e4).detach()


def waveform_l1(real: Tensor, fake: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean absolute difference of samples: [B, C, N] twice, mask [B, N]."""
    return masked_mean((real - fake).abs(), None if mask is None else mask[:, None])


class MelLossConfig(Config):
    """Configuration of `MultiScaleMelLoss`; the defaults are AudioCraft's `msspec`."""

    fft_sizes: tuple[FftSize, ...] = Field(default=(64, 128, 256, 512, 1024), min_length=1)
    """Windows; the hop is a quarter."""
    mels: int = Field(default=64, ge=1)
    """Bands at each scale."""
    lowest: float = Field(default=64.0, ge=0)
    """Hz where the lowest band begins."""
    floor: float = Field(default=1e-5, gt=0)
    """Added to the mel power before the logarithm."""
    alpha: float = Field(default=1.0, ge=0)
    """Weight of the logarithmic term beside the linear one."""
    log_distance: Literal["squared", "absolute"] = "squared"
    """Of the logarithmic term. Absolute differences bear a far lower floor."""


class MultiScaleMelLoss(nn.Module):
    """L1 of mel power plus alpha times the squared difference of its log10, mean over scales.

    The mean is over both terms of all scales, 10 of them by default.
    """

    def __init__(self, config: MelLossConfig, sample_rate: int) -> None:
        super().__init__()
        self.config = config
        self.scales = nn.ModuleList(
            MelPower(config, sample_rate, fft_size) for fft_size in config.fft_sizes
        )

    def forward(self, real: Tensor, fake: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scalar loss of [B, C, N] against [B, C, N]; mask [B, N]."""
        config = self.config
        total = real.new_zeros((), dtype=torch.float32)
        for size, scale in zip(config.fft_sizes, self.scales, strict=True):
            wanted, got = scale(real), scale(fake)
            frames = spectral_mask(mask, size)
            total = total + masked_mean((wanted - got).abs(), frames)
            logs = (wanted + config.floor).log10() - (got + config.floor).log10()
            apart = logs.square() if config.log_distance == "squared" else logs.abs()
            total = total + config.alpha * masked_mean(apart, frames)
        return total / (len(self.scales) * (1 + config.alpha))


class MelPower(nn.Module):
    """Mel bands (HTK scale, triangles of height 1) of a power spectrogram of unit noise gain."""

    def __init__(self, config: MelLossConfig, sample_rate: int, fft_size: int) -> None:
        super().__init__()
        self.fft_size = fft_size
        self.mel = LogMel(
            MelConfig(
                sample_rate=sample_rate,
                n_fft=fft_size,
                win_length=fft_size,
                hop_length=fft_size // 4,
                n_mels=config.mels,
                f_min=config.lowest,
                scale="htk",
                norm="peak",
                power=2,
                padding="none",
                log="none",
                divisor=float(torch.hann_window(fft_size).square().sum()),
            )
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, C, N] float to [B, C, M, T], T = N // hop and at least 1."""
        return self.mel(pad_spectral(waveform, self.fft_size))


class LogMelError(nn.Module):
    """A number to watch, not to train on: mean |ln mel(real) - ln mel(fake)|.

    Mel magnitudes of 64 bands at n_fft 1024, hop 256, floored at 1e-5.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.mel = LogMel(MelConfig(sample_rate=sample_rate, padding="none"))

    def forward(self, real: Tensor, fake: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scalar of [B, C, N] against [B, C, N]; mask [B, N]."""
        size = self.mel.config.n_fft
        difference = self.mel(pad_spectral(real, size)) - self.mel(pad_spectral(fake, size))
        return masked_mean(difference.abs(), spectral_mask(mask, size))


class StftLossConfig(Config):
    """Configuration of `MultiResolutionStftLoss`."""

    fft_sizes: tuple[FftSize, ...] = Field(default=(512, 1024, 2048), min_length=1)
    """Windows; the hop is a quarter."""


class MultiResolutionStftLoss(nn.Module):
    """Spectral convergence plus L1 of log magnitudes (Yamamoto et al. 2020, equations 4-6).

    Convergence is taken item by item, so that a loud clip does not drown a soft one.
    """

    def __init__(self, config: StftLossConfig) -> None:
        super().__init__()
        self.config = config
        for size in config.fft_sizes:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)

    def forward(self, real: Tensor, fake: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scalar loss of [B, C, N] against [B, C, N]; mask [B, N]."""
        losses = []
        for size in self.config.fft_sizes:
            wanted, got = self._magnitudes(real, size), self._magnitudes(fake, size)
            frames = spectral_mask(mask, size)
            weights = torch.ones_like(wanted) if frames is None else frames.expand_as(wanted)
            distance = ((wanted - got) * weights).flatten(1).norm(dim=1)
            norm = (wanted * weights).flatten(1).norm(dim=1)
            convergence = (distance / norm.clamp(min=1e-5)).mean()
            losses.append(convergence + masked_mean((wanted.log() - got.log()).abs(), frames))
        return torch.stack(losses).mean()

    def _magnitudes(self, waveform: Tensor, size: int) -> Tensor:
        """[B, C, N] to [B, C, F, T]."""
        with torch.autocast(waveform.device.type, enabled=False):
            samples = pad_spectral(waveform.float(), size).flatten(0, 1)
            window = self.get_buffer(f"window_{size}")
            spectrum = torch.stft(
                samples, size, size // 4, window=window, center=False, return_complex=True
            )
            # Floored before the root, which has no gradient at 0, where silence lies.
            squares = torch.view_as_real(spectrum).square().sum(-1).clamp(min=1e-10)
            return squares.sqrt().unflatten(0, waveform.shape[:2])


def pad_spectral(waveform: Tensor, fft_size: int) -> Tensor:
    """Mirror both ends so that frame t is centred on samples [t * hop, (t + 1) * hop).

    A waveform that is shorter than what would be mirrored gets zeros instead.
    """
    side = (fft_size - fft_size // 4) // 2
    mode = "reflect" if waveform.shape[-1] > side else "constant"
    padded = F.pad(waveform, (side, side), mode)
    return F.pad(padded, (0, max(0, fft_size - padded.shape[-1])))


def spectral_mask(mask: Tensor | None, fft_size: int) -> Tensor | None:
    """[B, N] bool over samples to [B, 1, 1, T] over frames whose own hop begins within."""
    if mask is None:
        return None
    hop = fft_size // 4
    return mask[:, ::hop][:, : max(1, mask.shape[-1] // hop)][:, None, None]


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the places where a mask that broadcasts to `values` is True."""
    if mask is None:
        return values.mean()
    weights = mask.expand(values.shape).to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1)
