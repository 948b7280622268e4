"""The records that rooms hand to each other: clip, caption, event, scene and what belongs to them.

All are frozen and round-trip through JSON. Times are seconds from the start of the clip, levels
are decibels.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from soundwright.core.files import hash_bytes


class Record(BaseModel):
    """Base of all records: frozen, strict about its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


CaptionKind = Literal["human", "tags", "metadata", "template", "model"]


class Caption(Record):
    """One text about a clip, and where the text comes from."""

    text: str
    kind: CaptionKind = "human"
    model: str | None = None
    """Name of the captioner or template set, None for people."""
    revision: str | None = None
    confidence: float | None = None


class Event(Record):
    """Something that is heard from `onset` to `offset`."""

    label: str
    onset: float = Field(ge=0)
    offset: float = Field(ge=0)

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.offset < self.onset:
            raise ValueError(f"offset {self.offset} lies before onset {self.onset}")
        return self


class Licence(Record):
    """Under which terms a recording may be used, and how that is known."""

    name: str
    """SPDX-like name: CC0, CC-BY, CC-Sampling+, generated, unknown ..."""
    url: str = ""
    author: str = ""
    title: str = ""
    evidence: str = ""
    """Where the statement was found: a file, a column, a page."""


class Source(Record):
    """The recording that a clip was cut from."""

    dataset: str
    item: str
    """Identity within the data set, such as a YouTube id or a file name."""
    url: str = ""
    start: float = 0.0
    end: float | None = None
    """Span within the source in seconds; None is its end."""

    @property
    def clip_id(self) -> str:
        """Hash of data set, item, start and end: the identity of a clip (20 hex digits)."""
        end = "end" if self.end is None else f"{self.end:.6f}"
        return hash_bytes(f"{self.dataset}\n{self.item}\n{self.start:.6f}\n{end}".encode())[:20]


class Location(Record):
    """Where a clip's samples are: a file, or a span of bytes in a shard."""

    path: str
    """Relative to the manifest's folder, with forward slashes, or absolute."""
    offset: int | None = None
    length: int | None = None
    start: float = 0.0
    """Where the clip begins within the file, in seconds."""


class Part(Record):
    """One of the sounds of a mixture."""

    location: Location
    duration: float = Field(gt=0)
    """Seconds taken from it."""
    onset: float = Field(default=0.0, ge=0)
    """Where it begins in the mixture, in seconds."""


class Mixture(Location):
    """Two sounds, mixed when they are read; the fields of `Location` are those of the first."""

    parts: tuple[Part, Part]


class Drop(Record):
    """Why a stage would leave a clip out. Filters annotate; only a selection decides."""

    stage: str
    reason: str
    value: float | str | None = None
    threshold: float | str | None = None


class Clip(Record):
    """One sound of a corpus with everything known about it."""

    id: str
    source: Source
    location: Mixture | Location
    pcm_hash: str
    """SHA-256 of the decoded samples (float32, interleaved) and the sample rate; of a mixture, one
    that follows from those of its parts and from how they are mixed."""
    duration: float = Field(gt=0)
    sample_rate: int = Field(gt=0)
    channels: int = Field(default=1, ge=1)
    captions: tuple[Caption, ...] = ()
    tags: tuple[str, ...] = ()
    events: tuple[Event, ...] | None = None
    """None where nobody has marked the events; empty where there are none."""
    parents: tuple[str, ...] = ()
    """Ids of the clips that this one was made from."""
    licence: Licence = Licence(name="unknown")
    split: str = ""
    scores: dict[str, float] = {}
    drops: tuple[Drop, ...] = ()
    metadata: dict[str, str | float | int | bool] = {}
    """Further facts of the source by name: genre, tempo, title ..."""


class SceneEvent(Event):
    """One sound of a scene, and all that is needed to make it again."""

    source: str
    """`synthesis:<generator>` or `clip:<clip id>`."""
    partner: str = ""
    """Another recording of the label, `clip:<clip id>`, that `source` is blended with."""
    group: int = Field(ge=0)
    """Events of one group are one phrase of the caption: "a dog barks three times"."""
    seed: int = 0
    parameters: dict[str, float] = {}
    gain_db: float = 0.0
    distance: Literal["near", "far"] | None = None


class Scene(Record):
    """What is heard, when, how loud. Caption, audio and score all derive from this record."""

    duration: float = Field(gt=0)
    seed: int
    events: tuple[SceneEvent, ...]
    """Sorted by onset."""
    absent: tuple[str, ...] = ()
    """Labels that the caption names as not being there."""
    form: str = "single"
    """How the scene was composed: single, count, sequence, overlap ..."""
