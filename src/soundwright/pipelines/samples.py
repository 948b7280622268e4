"""Sounds made during training, so that a person hears how it goes and alarms can be raised."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from soundwright.audio.files import write
from soundwright.audio.loudness import is_silent
from soundwright.audio.sound import Sound
from soundwright.core.config import Config
from soundwright.core.protocols import TrainingTask
from soundwright.pipelines.rendering import Renderer
from soundwright.pipelines.settings import GenerationConfig


class SampleConfig(Config):
    """What is made every `training.sample_every` steps."""

    prompts: tuple[str, ...] = Field(
        default=(
            "a dog barks",
            "rain falls",
            "a dog barks three times",
            "a person sneezes, then a rooster crows",
        ),
        min_length=1,
    )
    seed: int = 0


class LmSamples:
    """A `training.loop.SampleHook`: writes a sound a prompt, and says whether they are any good.

    Its metrics are those of `training.health`: `silent_fraction`, the part of the sounds that is
    silent, and `distinct_fraction`, distinct frames as a part of all, mean over the sounds.

    Args:
        config: The prompts.
        generation: How to generate.
        renderer: With the language model in training.
    """

    def __init__(
        self, config: SampleConfig, generation: GenerationConfig, renderer: Renderer
    ) -> None:
        self._config, self._generation, self._renderer = config, generation, renderer

    def __call__(
        self,
        step: int,  # noqa: ARG002
        task: TrainingTask[Any],  # noqa: ARG002
        folder: Path,
    ) -> Mapping[str, float] | None:
        """Write the sounds of step `step` to `folder`."""
        items = [(text, self._config.seed + i) for i, text in enumerate(self._config.prompts)]
        tokens = self._renderer.draw_tokens(items, self._generation)
        sounds = [
            Sound(waveform.clone(), self._renderer.sample_rate)
            for waveform in self._renderer.decode(tokens)
        ]
        for number, (sound, (text, _)) in enumerate(zip(sounds, items, strict=True)):
            write(folder / f"{number:02d}.wav", sound, metadata={"title": text})
        distinct = [row.unique(dim=1).shape[1] / row.shape[1] for row in tokens.cpu()]
        return {
            "silent_fraction": sum(is_silent(sound.samples) for sound in sounds) / len(sounds),
            "distinct_fraction": sum(distinct) / len(distinct),
        }
