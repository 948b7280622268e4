"""What clients send: the words and the limits of `soundwright generate`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from soundwright.core.errors import UserError
from soundwright.pipelines.requests import LONGEST_PROMPT, check_prompts

Format = Literal["wav", "flac", "mp3", "ogg"]
MOST_SEED = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly."""
MOST_PROMPTS = 1000
SHORTEST_S = 0.1
"""Of a sound: what is shorter is a click, or nothing at all."""

JobId = Annotated[str, StringConstraints(pattern=r"^job-[0-9a-f]{20}$")]
UploadId = Annotated[str, StringConstraints(pattern=r"^upload-[0-9a-f]{20}$")]
Words = Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": LONGEST_PROMPT})]
"""Texts, whose length is checked where the message can say what it is."""


class Body(BaseModel):
    """Base of what is sent: unknown fields and other types are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


class SoundOfJob(Body):
    """A sound that the server has made."""

    job: JobId
    sound: int = Field(ge=0, le=MOST_PROMPTS)


class GenerationBody(Body):
    """What shall be heard, and how it is made; what is left out is the model's default."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "a dog barks twice", "duration": 5.0, "seed": 7},
                {"prompts": ["rain on a roof", "sea waves"], "format": "flac"},
                {"prompt": "a clock ticks", "num_samples": 4, "cfg_scale": 3.5},
            ]
        }
    )

    prompt: Words | None = None
    """What shall be heard."""
    prompts: list[Words] | None = Field(default=None, max_length=MOST_PROMPTS)
    """Several, in the place of `prompt`."""
    model: str | None = Field(default=None, max_length=200)
    """One of `GET /v1/models`."""
    duration: float | None = Field(default=None, allow_inf_nan=False)
    """Seconds."""
    seed: int | None = Field(default=None, ge=0, le=MOST_SEED)
    """Of the first sound; the next one has one more. Left out, one is drawn and told."""
    num_samples: int = 1
    """Sounds for each prompt."""
    cfg_scale: float | None = Field(default=None, allow_inf_nan=False)
    """How closely to follow the words; 1 is no guidance."""
    temperature: float | None = Field(default=None, allow_inf_nan=False)
    """Below 1 safer, above 1 bolder; 0 always the likeliest. Language models."""
    top_k: int | None = Field(default=None, le=MOST_SEED)
    """Draw among so many tokens; 0 is all. Language models."""
    top_p: float | None = Field(default=None, allow_inf_nan=False)
    """Draw among those with this probability together. Language models."""
    steps: int | None = Field(default=None, le=1000)
    """More take longer. Diffusion models."""
    sampler: str | None = Field(default=None, max_length=20)
    """dpm++, ddim, ddpm or unipc; euler or midpoint for a model of flow."""
    cfg_rescale: float | None = Field(default=None, allow_inf_nan=False)
    """Take back how much louder guidance makes it, 0 to 1. Diffusion models."""
    negative: Words | None = None
    """What shall not be heard."""
    best_of: int = 1
    """Make so many candidates for each sound and keep what fits its words best."""
    loop: bool = False
    """Let the end flow into the beginning."""
    continue_from: UploadId | SoundOfJob | None = None
    """A sound to begin with and go on from: an upload, or a sound that was made here."""
    format: Format = "wav"
    """Of the file."""
    stream: bool = False
    """Answer with the sound itself, a WAV, while it is made. Language models."""

    @property
    def wanted(self) -> list[str]:
        """The prompts."""
        return [self.prompt] if self.prompt is not None else list(self.prompts or ())

    def check(self, most: int, candidates: int) -> None:
        """Refuse what cannot be meant, as the command line does.

        Args:
            most: Sounds of a request.
            candidates: Most of a sound.

        Raises:
            UserError: Says what and why.
        """
        if (self.prompt is None) == (self.prompts is None):
            raise UserError(
                "A request has either a prompt or prompts.", expected='"prompt": "a dog barks"'
            )
        check_prompts(self.wanted)
        for name, limit in (("num_samples", most), ("best_of", candidates)):
            if not 1 <= getattr(self, name) <= limit:
                raise UserError(
                    f"{name} is {getattr(self, name)}.", expected=f"at least 1 and at most {limit}"
                )
        sounds = len(self.wanted) * self.num_samples
        if sounds > most:
            raise UserError(
                f"{sounds} sounds were asked for in one request.",
                expected=f"at most {most}",
                change="Send several requests: those that arrive together are made together.",
            )
        if self.duration is not None and self.duration < SHORTEST_S:
            raise UserError(
                f"duration is {self.duration:g} s.", expected=f"at least {SHORTEST_S:g} s"
            )
        if self.loop and self.continue_from is not None:
            raise UserError("loop and continue_from cannot both be meant.")
        if self.stream:
            self._check_stream(sounds)

    def drawing(self) -> dict[str, Any]:
        """The settings that models have defaults for, by name; None where not given."""
        names = (
            "duration", "cfg_scale", "temperature", "top_k", "top_p", "steps", "sampler",
            "cfg_rescale",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def _check_stream(self, sounds: int) -> None:
        faults = {
            "num_samples": sounds != 1,
            "best_of": self.best_of != 1,
            "loop": self.loop,
            "format": self.format != "wav",
        }
        for name, given in faults.items():
            if given:
                raise UserError(
                    f"stream and {name} cannot both be meant.",
                    expected="a stream of one sound as wav",
                )
