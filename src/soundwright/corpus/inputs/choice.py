"""What an input may be."""

from __future__ import annotations

from pathlib import Path
from string import Formatter
from typing import Self

from pydantic import field_validator, model_validator

from soundwright.core.config import Config
from soundwright.core.records import Licence


class Input(Config):
    """One source of recordings; exactly one of `folder`, `table`, `manifest`, `intervals`."""

    folder: Path | None = None
    """Media with transcripts beside them (`talk.mp4`, `talk.en.vtt`, `talk.info.json`); or, with
    `table` or `intervals`, where their files are."""
    table: Path | None = None
    """CSV, TSV or JSON lines; columns as in `COLUMNS` of `tables.py`."""
    manifest: Path | None = None
    """A corpus of Soundwright's, such as an importer writes: each clip is one recording."""
    intervals: Path | None = None
    """AutoReCap's manifest: video ids with intervals and their captions."""
    dataset: str = ""
    """Name in the ids of clips; empty takes that of the folder or file."""
    licence: Licence = Licence(name="unknown")
    """Where nothing closer to a recording says otherwise."""
    languages: tuple[str, ...] = ("en",)
    """Of transcripts that name one (`talk.en.vtt`, `talk.en-GB.vtt`), in order of preference."""
    url: str = ""
    """Address of what has no file, with {item} for its name."""

    @field_validator("url")
    @classmethod
    def _names_the_item(cls, url: str) -> str:
        if url and [field for _, field, _, _ in Formatter().parse(url) if field is not None] != [
            "item"
        ]:
            raise ValueError(
                "an input's url holds {item} once, for a recording's name, and nothing else in "
                "braces: https://example.org/{item}.mp3"
            )
        return url

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        listed = [self.table, self.manifest, self.intervals]
        if sum(kind is not None for kind in listed) > 1 or not (any(listed) or self.folder):
            raise ValueError("an input is one of: folder, table, manifest, intervals")
        return self

    def name(self, root: Path) -> str:
        """Of the data set; `root` is the corpus's folder."""
        given = self.table or self.manifest or self.intervals or self.folder
        assert given is not None, "an input has a source"
        if given.name in ("", ".."):
            given = (root / given).resolve()
        return self.dataset or given.stem
