"""Sounds of a diffusion model, made during its training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soundwright.audio.sound import Sound
from soundwright.core.protocols import TrainingTask
from soundwright.pipelines.latent_rendering import LatentRenderer
from soundwright.pipelines.samples import SampleConfig, write_samples
from soundwright.pipelines.settings import LatentGenerationConfig


class LatentSamples:
    """A `training.loop.SampleHook`: writes a sound a prompt, and says how many are silent.

    Args:
        config: The prompts.
        generation: How to generate.
        renderer: With the network in training.
    """

    def __init__(
        self, config: SampleConfig, generation: LatentGenerationConfig, renderer: LatentRenderer
    ) -> None:
        self._config, self._generation, self._renderer = config, generation, renderer

    def __call__(
        self,
        step: int,  # noqa: ARG002
        task: TrainingTask[Any],  # noqa: ARG002
        folder: Path,
    ) -> Mapping[str, float] | None:
        """Write the sounds of step `step` to `folder`."""
        latents = self._renderer.draw_latents(self._config.items, self._generation)
        duration = self._generation.duration
        sounds = [
            Sound(self._renderer.finish(row, duration), self._renderer.sample_rate)
            for row in latents
        ]
        return {"silent_fraction": write_samples(folder, self._config, sounds)}
