"""Loops: sounds that go on where they began."""

from __future__ import annotations

from torch import Tensor

from soundwright.audio.joining import check_loop, close_loop, needed_for_loop
from soundwright.pipelines.requests import Settings
from soundwright.pipelines.settings import GenerationConfig, LatentGenerationConfig

FADE_S = 0.5
"""Of a loop that goes over from the sound as it goes on to the sound as it began."""


def lengthen_for_loop(config: Settings, sample_rate: int) -> Settings:
    """The same settings with as much sound as `cut_loop` needs.

    Raises:
        UserError: The loop is too short.
    """
    check_loop(config.duration, FADE_S)
    length, fade = _samples(config, sample_rate)
    needed = needed_for_loop(length, fade, sample_rate)
    return config.model_copy(update={"duration": needed / sample_rate})


def cut_loop(
    samples: Tensor,
    config: GenerationConfig | LatentGenerationConfig,
    sample_rate: int,
    loudest: float,
) -> Tensor:
    """A loop of `config.duration` from the longer sound [C, N].

    Args:
        samples: Made with `lengthen_for_loop(config)`.
        config: As it was asked for.
        sample_rate: Samples a second.
        loudest: Peak to which a loop beyond it is turned down as a whole.
    """
    length, fade = _samples(config, sample_rate)
    looped = close_loop(samples, length, fade, sample_rate)
    return looped / max(1.0, looped.abs().max().item() / loudest)


def _samples(
    config: GenerationConfig | LatentGenerationConfig, sample_rate: int
) -> tuple[int, int]:
    return round(config.duration * sample_rate), round(FADE_S * sample_rate)
