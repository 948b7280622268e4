"""What the first stages hand on: a recording or video that clips are cut from.

From `decode` on, the rows are the clips of `core.records`.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from soundwright.core.records import Caption, Drop, Licence, Location, Record, Source


class Cue(Record):
    """A stretch of time in which a transcript has words."""

    start: float = Field(ge=0)
    """Seconds from the beginning of the recording."""
    end: float
    text: str = ""

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"the end {self.end} lies before the start {self.start}")
        return self


class Piece(Record):
    """A stretch that becomes a clip."""

    start: float = Field(ge=0)
    """Seconds from the beginning of the recording."""
    end: float
    segment: float = Field(ge=0)
    """Where the stretch begins that is stored as one sound with this piece: pieces of one segment
    follow each other without a gap, and may be merged."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start


class Media(Record):
    """A recording or video, and all that is known of it before it is decoded."""

    id: str
    """`source.clip_id`."""
    source: Source
    """Of the whole: from 0 to its end."""
    location: Location | None = None
    """Where its samples are: below the corpus's folder, or absolute. None where they have to be
    fetched from `source.url`."""
    signature: str = ""
    """Size and time of change of the file, by which a changed one is known."""
    transcripts: tuple[str, ...] = ()
    """Files, like those of `location`; what people wrote stands before what a machine heard."""
    cues: tuple[Cue, ...] | None = None
    """Of the transcript, in order of their starts; None where none has been read."""
    pieces: tuple[Piece, ...] | None = None
    """What is to become clips, in order; None where nobody has decided."""
    duration: float | None = None
    """Seconds, where known."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """What became of them: under cues, in gaps, in gaps that are too short ..."""
    captions: tuple[Caption, ...] = ()
    tags: tuple[str, ...] = ()
    licence: Licence = Licence(name="unknown")
    split: str = ""
    scores: dict[str, float] = Field(default_factory=dict)
    drops: tuple[Drop, ...] = ()
    metadata: dict[str, str | float | int | bool] = Field(default_factory=dict)
    """Further facts: title, visual caption, uploader ..."""
