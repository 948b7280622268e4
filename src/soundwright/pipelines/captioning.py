"""The Python interface of captioners: load one, tell what is heard in sounds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from soundwright.audio.files import read
from soundwright.audio.resampling import resample
from soundwright.audio.sound import Sound
from soundwright.captioner.decoding import CaptioningConfig, write_captions
from soundwright.captioner.heard import Impression, join_sounds
from soundwright.captioner.metadata import FIELDS, Field
from soundwright.core.devices import choose_device
from soundwright.core.errors import UserError, nearest
from soundwright.core.records import Caption
from soundwright.core.seeding import derive_seed
from soundwright.pipelines.captioner_parts import CaptionerParts, load_captioner_parts
from soundwright.pipelines.models import BUNDLED_CAPTIONER

BATCH_SIZE = 16
SILENCE = "silence"
"""What is said of digital silence, by rule: no model has heard it."""

Progress = Callable[[int, int], None]
"""Called with the number of sounds done and of all."""


@dataclass(frozen=True)
class Span:
    """What is heard in a sound, or in a part of it."""

    start: float
    """Seconds."""
    end: float
    caption: Caption
    agreement: float | None
    """Cosine between the sound and the caption by the captioner's own CLAP, or what stands for it;
    None where it has none, and of silence."""

    @property
    def text(self) -> str:
        """The caption's."""
        return self.caption.text


@dataclass(frozen=True)
class Captioned:
    """What is heard in one sound, part after part."""

    spans: tuple[Span, ...]

    @property
    def text(self) -> str:
        """The captions of all spans, in their order."""
        return ", then ".join(span.text for span in self.spans)

    @property
    def confidence(self) -> float:
        """The least of the spans'."""
        return min(span.caption.confidence or 0.0 for span in self.spans)

    @property
    def agreement(self) -> float | None:
        """The least of the spans'; None where none has one."""
        return min(
            (one for span in self.spans if (one := span.agreement) is not None), default=None
        )


class CaptioningModel:
    """A captioner with its towers, ready to listen. A `core.protocols.Captioner`.

    Made by `load_captioner`. Its defaults are in `defaults`, its origin in `record`.
    """

    def __init__(self, parts: CaptionerParts) -> None:
        self._parts = parts
        self.record = parts.record
        self.defaults = CaptioningConfig.read(parts.record.settings["generation"])

    @property
    def name(self) -> str:
        """What the model calls itself."""
        return self.record.name

    @property
    def identity(self) -> str:
        """Changes whenever it may say something else."""
        return self.record.hash

    @property
    def longest(self) -> float:
        """Seconds that it hears at once; longer sounds are captioned part by part."""
        return self._parts.ears.towers.longest

    @property
    def fields(self) -> tuple[Field, ...]:
        """The metadata that it reads."""
        return self._parts.model.config.fields

    def caption(
        self,
        sounds: Path | str | Sound | Iterable[Path | str | Sound],
        metadata: Sequence[Mapping[str, str]] | None = None,
        *,
        method: str | None = None,
        beams: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
    ) -> list[Captioned]:
        """Tell what is heard in each sound.

        A sound longer than `longest` is captioned in even parts, and parts in a row that have one
        caption become one span, as AutoReCap joins its clips.

        Args:
            sounds: Files, or sounds in memory, of any rate and number of channels.
            metadata: What is known of each: texts by `title`, `tags` or `visual`. What the model
                does not read is left out.
            method: beam or sample; None, here and below, takes the model's default.
            beams: Of beam search.
            temperature: Of sampling.
            top_p: Of sampling.
            seed: Of sampling; each sound has a stream of its own.
            batch_size: Parts at once.
            progress: Told how many sounds are done.

        Raises:
            UserError: A setting that cannot be used, or metadata of unknown fields.
            AudioError: A file that is no sound, or a sound without samples.
        """
        chosen = [sounds] if isinstance(sounds, Path | str | Sound) else list(sounds)
        known = _check_metadata(metadata, len(chosen))
        given = {"method": method, "beams": beams, "temperature": temperature, "top_p": top_p}
        config = self._settle(given)
        if batch_size < 1:
            raise UserError(f"The batch size is {batch_size}.", expected="at least 1")
        found: list[list[Span]] = [[] for _ in chosen]
        total = len(chosen)
        for parts in _in_batches(self._cut(chosen, known), batch_size):
            for part, span in zip(parts, self._write(parts, config, seed), strict=True):
                found[part.sound].append(span)
            if progress is not None:
                progress(parts[-1].sound + (parts[-1].is_last), total)
        return [Captioned(tuple(_join_spans(spans))) for spans in found]

    def describe(
        self,
        waveforms: Sequence[Tensor],
        sample_rate: int,
        metadata: Sequence[Mapping[str, str]] | None = None,
    ) -> list[Caption]:
        """One caption for each sound [C, N], by the model's defaults; see the protocol."""
        sounds = [Sound(torch.atleast_2d(waveform).float(), sample_rate) for waveform in waveforms]
        captioned = self.caption(sounds, metadata)
        return [self._record(one.text, one.confidence) for one in captioned]

    def _settle(self, given: Mapping[str, Any]) -> CaptioningConfig:
        values = {key: value for key, value in given.items() if value is not None}
        return CaptioningConfig.read({**self.defaults.plain(), **values}, origin="captioning")

    def _cut(
        self, sounds: Sequence[Path | str | Sound], known: Sequence[Mapping[Field, str]]
    ) -> Iterator[_Part]:
        """The parts of all sounds, one sound after another."""
        rate = self._parts.ears.towers.sample_rate
        for number, sound in enumerate(sounds):
            if not isinstance(sound, Sound):
                sound = read(sound, sample_rate=rate, channels=1, max_duration=None)
            mono = resample(sound.samples.mean(0), sound.sample_rate, rate)
            count = max(1, math.ceil(len(mono) / (self.longest * rate)))
            edges = [round(place * len(mono) / count) for place in range(count + 1)]
            for place in range(count):
                first, last = edges[place], edges[place + 1]
                yield _Part(
                    number,
                    mono[first:last],
                    first / rate,
                    last / rate,
                    known[number],
                    is_last=place == count - 1,
                )

    def _write(self, parts: Sequence[_Part], config: CaptioningConfig, seed: int) -> list[Span]:
        heard = self._parts.ears.towers.listen([part.waveform for part in parts])
        audible = [place for place, one in enumerate(heard) if len(one.states)]
        spans = [self._silent(part) for part in parts]
        if not audible:
            return spans
        device = next(self._parts.model.parameters()).device
        written = write_captions(
            self._parts.model,
            self._parts.words,
            join_sounds([heard[place] for place in audible]).to(device),
            [parts[place].metadata for place in audible],
            config,
            [
                derive_seed(seed, parts[place].sound, f"{parts[place].start:.3f}")
                for place in audible
            ],
        )
        agreements = self._agree([heard[place] for place in audible], [one.text for one in written])
        for place, one, agreement in zip(audible, written, agreements, strict=True):
            part, caption = parts[place], self._record(one.text, one.confidence)
            spans[place] = Span(part.start, part.end, caption, agreement)
        return spans

    def _agree(self, heard: Sequence[Impression], texts: Sequence[str]) -> list[float | None]:
        clap = self._parts.ears.clap
        vectors = [one.vector for one in heard if one.vector is not None]
        if clap is None or not vectors:
            return [None] * len(heard)
        return cosine_similarity(torch.stack(vectors), clap.embed_texts(texts).cpu()).tolist()

    def _silent(self, part: _Part) -> Span:
        return Span(part.start, part.end, self._record(SILENCE, 1.0), None)

    def _record(self, text: str, confidence: float) -> Caption:
        return Caption(
            text=text,
            kind="model",
            model=self.name,
            revision=self.identity,
            confidence=round(confidence, 6),
        )


def load_captioner(
    name: str | Path = BUNDLED_CAPTIONER, *, device: str = "auto"
) -> CaptioningModel:
    """Load a captioner.

    Args:
        name: "bundled-captioner", the name of an installed model, a model folder, or owner/name on
            the hub.
        device: auto, cpu, cuda, cuda:N or mps.

    Raises:
        UserError: There is no such model or device.
        MissingWeightsError: The model is known, but its weights are not here.
        CheckpointError: The model is damaged, newer than this Soundwright, or no captioner.
    """
    return CaptioningModel(load_captioner_parts(name, choose_device(device)))


@dataclass(frozen=True)
class _Part:
    """A part of a sound that is heard at once."""

    sound: int
    """Number of the sound."""
    waveform: Tensor
    """[N] at the towers' rate."""
    start: float
    end: float
    metadata: Mapping[Field, str]
    is_last: bool


def _in_batches(parts: Iterator[_Part], size: int) -> Iterator[list[_Part]]:
    while batch := list(islice(parts, size)):
        yield batch


def _join_spans(spans: Sequence[Span]) -> Iterator[Span]:
    """Spans in a row with one caption as one, no surer than the least sure of them."""
    joined: Span | None = None
    for span in spans:
        if joined is None or joined.text != span.text:
            if joined is not None:
                yield joined
            joined = span
            continue
        surer = (joined.caption.confidence or 0) > (span.caption.confidence or 0)
        agreements = [one for one in (joined.agreement, span.agreement) if one is not None]
        joined = dataclasses.replace(
            joined,
            end=span.end,
            caption=span.caption if surer else joined.caption,
            agreement=min(agreements, default=None),
        )
    if joined is not None:
        yield joined


def _check_metadata(
    metadata: Sequence[Mapping[str, str]] | None, sounds: int
) -> list[dict[Field, str]]:
    if metadata is None:
        return [{} for _ in range(sounds)]
    if len(metadata) != sounds:
        raise UserError(
            f"There are metadata of {len(metadata)} sounds for {sounds} sounds.",
            expected="one mapping each, empty where nothing is known",
        )
    for known in metadata:
        for field in known:
            if field not in FIELDS:
                raise UserError(
                    f"There is no metadata field {field!r}; {nearest(field, FIELDS)}",
                    expected=", ".join(FIELDS),
                )
    return [
        {field: text for field in FIELDS if (text := str(known.get(field, "")).strip())}
        for known in metadata
    ]
