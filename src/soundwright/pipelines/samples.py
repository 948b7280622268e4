"""Sounds made during training, so that a person hears how it goes and alarms can be raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from soundwright.audio.files import write
from soundwright.audio.loudness import is_silent
from soundwright.audio.sound import Sound
from soundwright.core.config import Config
from soundwright.core.protocols import TrainingTask
from soundwright.pipelines.making import Item
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

    @property
    def items(self) -> list[Item]:
        """Prompts with their seeds."""
        return [(text, self.seed + number) for number, text in enumerate(self.prompts)]


def write_samples(folder: Path, config: SampleConfig, sounds: Sequence[Sound]) -> float:
    """Write a sound for each prompt, and tell which part of them is silent."""
    for number, (sound, text) in enumerate(zip(sounds, config.prompts, strict=True)):
        write(folder / f"{number:02d}.wav", sound, metadata={"title": text})
    return sum(is_silent(sound.samples) for sound in sounds) / len(sounds)


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
        items = self._config.items
        tokens = self._renderer.draw_tokens(items, self._generation)
        sounds = [
            Sound(waveform.clone(), self._renderer.sample_rate)
            for waveform in self._renderer.decode(tokens)
        ]
        silent = write_samples(folder, self._config, sounds)
        distinct = [row.unique(dim=1).shape[1] / row.shape[1] for row in tokens.cpu()]
        return {
            "silent_fraction": silent,
            "distinct_fraction": sum(distinct) / len(distinct),
        }
