"""Diffusion by steps of noise: equations 1-8 of arXiv 2404.09956, and what a network predicts.

With ᾱ_n the product of 1 - β_1 ... 1 - β_n, latents at step n are x_n = a x_0 + s ε, where
a = √ᾱ_n and s = √(1 - ᾱ_n). Equation 3 as printed lacks the root of s.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from soundwright.core.config import Config


class NoiseConfig(Config):
    """The schedule of noise, and what the network predicts. The defaults are Tango's."""

    kind: Literal["noise"] = "noise"
    prediction: Literal["v", "epsilon"] = "v"
    """v: a ε - s x_0, as the released models; epsilon: the noise, as the paper has it."""
    steps: int = Field(default=1000, ge=2)
    """N. Steps are numbered from 0 here, as in diffusers."""
    beta_start: float = Field(default=0.00085, gt=0, lt=1)
    beta_end: float = Field(default=0.012, gt=0, lt=1)
    """β grows between the two so that its root grows evenly ("scaled linear")."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.beta_end < self.beta_start:
            raise ValueError(f"beta_end {self.beta_end} must be at least beta_start")
        return self


class NoiseProcess:
    """A `process.Process` with times 0 ... N - 1 (int64), all equally likely."""

    def __init__(self, config: NoiseConfig) -> None:
        self.config = config
        roots = torch.linspace(
            config.beta_start**0.5, config.beta_end**0.5, config.steps, dtype=torch.float64
        )
        self.betas = roots.square()
        """[N] float64."""
        self.alphas_bar = (1 - self.betas).cumprod(0)
        """[N] float64: ᾱ."""

    @property
    def snr(self) -> Tensor:
        """[N] float64: the ratio of signal to noise, ᾱ / (1 - ᾱ)."""
        return self.alphas_bar / (1 - self.alphas_bar)

    def times_at(self, shares: Tensor) -> Tensor:
        """[B] int64."""
        return (shares * self.config.steps).long().clamp_max(self.config.steps - 1)

    def corrupt(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Equation 3, with its root."""
        a, s = self._scales(times, latents)
        return a * latents + s * noise

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """The noise, or v."""
        if self.config.prediction == "epsilon":
            return noise
        a, s = self._scales(times, latents)
        return a * noise - s * latents

    def denoise(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """x_0 as a prediction means it."""
        a, s = self._scales(times, noisy)
        if self.config.prediction == "epsilon":
            return (noisy - s * prediction) / a
        return a * noisy - s * prediction

    def level(self, times: Tensor) -> Tensor:
        """Share of the steps done."""
        return times / self.config.steps

    def network_times(self, times: Tensor) -> Tensor:
        """The numbers of the steps: 0 to 999 with Tango's 1000."""
        return times.float()

    def weights(self, times: Tensor, gamma: float | None) -> Tensor:
        """Min-SNR weights, arXiv 2303.09556: min(SNR, γ) on the error of x_0.

        As a weight of the error of ε that is min(SNR, γ) / SNR, of v min(SNR, γ) / (SNR + 1).
        Tango's code uses the first with v.
        """
        if gamma is None:
            return torch.ones(times.shape, device=times.device)
        snr = self.snr[times.cpu()]
        divisor = snr if self.config.prediction == "epsilon" else snr + 1
        return (snr.clamp_max(gamma) / divisor).to(times.device, torch.float32)

    def _scales(self, times: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """The a and the s of each item, shaped to multiply `like`."""
        alphas = self.alphas_bar[times.cpu()].view(-1, *[1] * (like.dim() - 1))
        return alphas.sqrt().to(like), (1 - alphas).sqrt().to(like)
