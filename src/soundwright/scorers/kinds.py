"""Speech, music or something else: told without training, by an encoder of texts and sounds.

A sound is compared with descriptions of each kind. With z the cosine of sound and description over
the temperature, a kind is as likely as the mean of exp(z) over its descriptions. A mean of the
descriptions' vectors would not do: what is neither speech nor music has no centre.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from soundwright.audio.channels import to_channels
from soundwright.audio.resampling import resample
from soundwright.core.config import Config
from soundwright.core.files import hash_bytes
from soundwright.core.protocols import TextAudioEncoder
from soundwright.scorers.windows import check_sound

REVISION = 1
"""Raised when this file makes other scores of the same sounds with the same settings."""
Prompts = Annotated[tuple[str, ...], Field(min_length=1)]


class KindConfig(Config):
    """What sounds are compared with."""

    speech: Prompts = (
        "a person is speaking",
        "a man is talking",
        "a woman is talking",
        "people have a conversation",
        "somebody gives a speech to an audience",
        "a narrator reads aloud",
    )
    music: Prompts = (
        "music is playing",
        "a song with vocals",
        "a melody is played on an instrument",
        "a band plays with drums and bass",
        "an orchestra plays",
        "electronic music with a beat",
    )
    other: Prompts = (
        "a sound effect",
        "sounds of nature",
        "an animal makes a sound",
        "a machine is running",
        "an object is hit or moved",
        "background noise",
    )
    """Neither speech nor music."""
    temperature: Annotated[float, Field(gt=0)] = 0.05
    """Cosines are divided by it; CLAP was trained with 0.01 to 0.07."""


class KindScorer:
    """Implements `core.protocols.Scorer` around an encoder of texts and sounds, such as CLAP.

    Args:
        encoder: What hears and reads.
        config: What sounds are compared with.
    """

    def __init__(
        self,
        encoder: TextAudioEncoder,
        config: KindConfig = KindConfig(),  # noqa: B008 (frozen)
    ) -> None:
        self.config = config
        self._encoder = encoder
        self._prompts = {"speech": config.speech, "music": config.music, "other": config.other}

    @property
    def name(self) -> str:
        """What it is, and the encoder's name."""
        return f"kinds-{self._encoder.name}"

    @property
    def identity(self) -> str:
        """The encoder's identity, hash of the settings, and the revision of this code."""
        settings = hash_bytes(self.config.model_dump_json().encode())[:16]
        return f"kinds/{self._encoder.identity}/{settings}/{REVISION}"

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the scores."""
        return tuple(f"kind_{kind}" for kind in self._prompts)

    def score(
        self,
        waveforms: Sequence[Tensor],
        sample_rate: int,
        texts: Sequence[str] | None = None,  # noqa: ARG002 (of the protocol)
    ) -> list[dict[str, float]]:
        """How likely each sound is speech, music or something else.

        Args:
            waveforms: [C, N] or [N] each, of any length; the mean of the channels is heard.
            sample_rate: Of all waveforms; they are resampled to the encoder's own rate.
            texts: Not used.

        Returns:
            For each sound `kind_speech`, `kind_music` and `kind_other`, which sum to 1; NaN where
            the sound is too short for the encoder.

        Raises:
            AudioError: A waveform without samples, or with some that are not finite.
            MissingWeightsError: The encoder's weights for texts are not here.
        """
        heard = [self._prepare(waveform, sample_rate) for waveform in waveforms]
        return [self._probabilities(encoded.vector) for encoded in self._encoder.encode(heard)]

    def _prepare(self, waveform: Tensor, sample_rate: int) -> Tensor:
        mono = check_sound(to_channels(torch.atleast_2d(waveform.detach().float()), 1)[0])
        return resample(mono, sample_rate, self._encoder.sample_rate)

    def _probabilities(self, vector: Tensor) -> dict[str, float]:
        evidence = (self._descriptions @ vector.double()) / self.config.temperature
        parts = evidence.split([len(prompts) for prompts in self._prompts.values()])
        likely = torch.stack([part.logsumexp(0) - math.log(len(part)) for part in parts]).softmax(0)
        return {f"kind_{kind}": p for kind, p in zip(self._prompts, likely.tolist(), strict=True)}

    @cached_property
    def _descriptions(self) -> Tensor:
        """[P, D], the prompts of one kind after those of another."""
        every = [prompt for prompts in self._prompts.values() for prompt in prompts]
        return self._encoder.embed_texts(every).double()
