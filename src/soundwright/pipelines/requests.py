"""What a person may ask of a model, checked before any work is done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.pipelines.settings import GenerationConfig, LatentGenerationConfig

LONGEST_PROMPT = 1000
"""Characters; the text encoders read about as much."""
LONGEST_DURATION_S = 600.0
"""Of a sound that is made as a whole."""
LONGEST_STREAM_S = 86_400.0
"""Of a sound that is written as it is made, in memory that does not grow: a day."""

Settings = TypeVar("Settings", GenerationConfig, LatentGenerationConfig)
"""How a language model generates, or a diffusion model."""


@dataclass(frozen=True)
class Request(Generic[Settings]):
    """How sounds shall be made, apart from their prompts and seeds."""

    config: Settings
    negative: str | None = None
    """A text to be guided away from."""
    beginning: Tensor | None = None
    """[C, N], what every sound begins with; from `Waveforms.read_beginning`."""
    loop: bool = False

    def describe(self) -> dict[str, Any]:
        """As JSON values; what is not asked for is left out."""
        settings = self.config.plain()
        if self.negative is not None:
            settings["negative"] = self.negative
        if self.beginning is not None:
            settings["continued"] = hash_samples(self.beginning)
        if self.loop:
            settings["loop"] = True
        return settings


def settle(
    defaults: Settings, given: Mapping[str, Any], *, longest: float = LONGEST_DURATION_S
) -> Settings:
    """A model's defaults with what was given, if it was not None, in their place.

    Args:
        defaults: Of the model.
        given: Settings by name.
        longest: Seconds.

    Raises:
        UserError: A value that cannot be.
    """
    known = {name: value for name, value in given.items() if value is not None}
    for name, value in known.items():
        if not isinstance(value, str):
            _check_setting(name, value, longest)
    return defaults.model_copy(update=known)


def check_prompts(prompts: Sequence[str], origin: str = "") -> None:
    """Refuse prompts that cannot be generated from.

    Args:
        prompts: What was given.
        origin: The file that they come from, for the message.

    Raises:
        UserError: There is none, or one is empty or too long.
    """
    if not prompts:
        raise UserError(f"There is no prompt{f' in {origin}' if origin else ''}.")
    for number, prompt in enumerate(prompts, start=1):
        which = f"Prompt {number} of {len(prompts)}" if len(prompts) > 1 else "The prompt"
        _check_text(prompt, f"{which} in {origin}" if origin else which)


def check_negative(negative: str | None, guidance: float) -> None:
    """Refuse a negative prompt without words or without effect.

    Raises:
        UserError: It is empty or too long, or there is no guidance.
    """
    if negative is None:
        return
    _check_text(negative, "The negative prompt")
    if guidance == 1:
        raise UserError(
            "A negative prompt has no effect without guidance, and cfg_scale is 1.",
            change="Ask for a cfg_scale above 1, such as 3.",
        )


def check_seeds(seed: int | Sequence[int], wanted: Sequence[str]) -> None:
    """Refuse a list of seeds that is not one for each sound.

    Raises:
        UserError: It is shorter or longer.
    """
    if not isinstance(seed, int) and len(seed) != len(wanted):
        raise UserError(
            f"There are {len(seed)} seeds for {len(wanted)} sounds.",
            expected="one seed, or one for each sound",
        )


def check_counts(**counts: int) -> None:
    """Refuse counts below 1.

    Raises:
        UserError: One is.
    """
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"{name} is {value}.", expected="at least 1")


def hash_samples(samples: Tensor) -> str:
    """16 hexadecimal digits by which a given sound is known again."""
    return hash_bytes(samples.contiguous().numpy().tobytes())[:16]


def _check_text(text: str, what: str) -> None:
    if not text.strip():
        raise UserError(f"{what} is empty.", expected="words, such as: a dog barks twice")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UserError(
            f"{what} holds a NUL or half a character.",
            expected="text that can be written as UTF-8",
        )
    if len(text) > LONGEST_PROMPT:
        raise UserError(
            f"{what} has {len(text)} characters.",
            expected=f"at most {LONGEST_PROMPT}",
            change="Say it in fewer words: what is not read would be lost silently.",
        )


def _check_setting(name: str, value: float, longest: float) -> None:
    highest = {"duration": longest, "top_p": 1.0}.get(name, math.inf)
    above_zero = name == "duration"
    fits = math.isfinite(value) and 0 <= value <= highest and (value > 0 or not above_zero)
    if fits:
        return
    least = "more than 0" if above_zero else "at least 0"
    most = "" if highest == math.inf else f" and at most {highest:g}"
    unit = " s" if name == "duration" else ""
    streamed = above_zero and longest < value <= LONGEST_STREAM_S
    raise UserError(
        f"{name} is {value:g}{unit}.",
        expected=f"{least}{most}{unit}",
        change="A stream (--stream, Model.stream) may be longer: it is written as it is made."
        if streamed
        else "",
    )
