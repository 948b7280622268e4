"""Settings that a model folder carries: how it reads texts, and how it generates."""

from __future__ import annotations

from pydantic import Field

from soundwright.core.config import Config
from soundwright.diffusion.sampling import SamplingConfig
from soundwright.diffusion.solvers import Sampler, Spacing
from soundwright.text.encoders import TextEncoderConfig
from soundwright.text.preparation import PreparationConfig


class TextConfig(Config):
    """How texts are read."""

    encoder: TextEncoderConfig = TextEncoderConfig()
    preparation: PreparationConfig = PreparationConfig()


class GenerationConfig(Config):
    """How a model generates; the sampling values are those of section 4.2 and of AudioCraft."""

    duration: float = Field(default=5.0, gt=0)
    """Seconds."""
    window: float | None = Field(default=None, gt=0)
    """Seconds that the model reads at once: longer sounds are made window by window. Null takes
    the length of the segments that it was trained on."""
    cfg_scale: float = Field(default=3.0, ge=0)
    """Guidance: unconditional + scale * (conditional - unconditional); 1 is none."""
    temperature: float = Field(default=1.0, ge=0)
    """0 takes the likeliest token."""
    top_k: int = Field(default=250, ge=0)
    """Draw among the likeliest k; 0 is all."""
    top_p: float = Field(default=0.0, ge=0, le=1)
    """Draw among the likeliest that make up this probability; 0 is off, anything else replaces
    `top_k`."""


class LatentGenerationConfig(Config):
    """How a diffusion model generates."""

    duration: float = Field(default=5.0, gt=0)
    """Seconds."""
    cfg_scale: float = Field(default=3.0, ge=0)
    """Guidance: unconditional + scale * (conditional - unconditional); 1 is none."""
    sampler: Sampler | None = None
    """Null is dpm++ for a model of noise and euler for one of flow."""
    steps: int = Field(default=25, ge=1)
    """Of the sampler."""
    cfg_rescale: float = Field(default=0.0, ge=0, le=1)
    """How far the growth of deviation that guidance brings is taken back."""
    spacing: Spacing | None = None
    """Where the steps through noise lie; null is trailing for ddpm and quadratic for the others."""

    def sampling(self) -> SamplingConfig:
        """What concerns the sampler.

        Raises:
            UserError: Values that do not go together.
        """
        values = {
            "sampler": self.sampler,
            "steps": self.steps,
            "guidance": self.cfg_scale,
            "rescale": self.cfg_rescale,
            "spacing": self.spacing,
        }
        return SamplingConfig.read(values, origin="generation")
