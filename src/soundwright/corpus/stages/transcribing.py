"""`transcripts`: when words are spoken, as the transcript says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.records import Drop
from soundwright.corpus.failures import Failure
from soundwright.corpus.records import Media
from soundwright.corpus.stage import Output, Stage
from soundwright.corpus.transcripts.reading import read_transcript


class TranscriptsConfig(Config):
    """How transcripts are read."""

    missing: Literal["drop", "silent"] = "drop"
    """What a recording without a transcript is, or with one that has no cues: left out, since
    nobody knows where it has words (AutoReCap), or without words."""
    words: bool = False
    """Take the times of words where a transcript has them; else those of whole cues."""


class Transcripts(Stage):
    """Reads the first transcript of each recording that can be read."""

    name = "transcripts"
    version = 2
    reads = Media
    writes = Media

    def __init__(self, config: TranscriptsConfig, root: Path) -> None:
        self.config, self._root = config, root

    def process(self, rows: Iterator[Media], out: Output) -> None:
        """Set `cues`; see `Stage`."""
        for media in rows:
            if media.cues is not None:
                out.keep(media)
            elif not media.transcripts:
                out.keep(self._without(media))
            else:
                read = self._read(media)
                if isinstance(read, Failure):
                    out.fail(read)
                else:
                    out.keep(read)

    def _without(self, media: Media) -> Media:
        if self.config.missing == "silent":
            return media.model_copy(update={"cues": ()})
        drop = Drop(stage=self.name, reason="no-transcript")
        return media.model_copy(update={"drops": (*media.drops, drop), "pieces": ()})

    def _read(self, media: Media) -> Media | Failure:
        problems: list[str] = []
        empty = False
        for path in media.transcripts:
            try:
                found = read_transcript(self._root / path, words=self.config.words)
            except UserError as error:
                problems.append(error.problem)
                continue
            if not found.cues:
                # Words without times would be lost; a mere header says nothing at all.
                if any(problem.reason == "stray-text" for problem in found.problems):
                    problems.append(f"{self._root / path} has text, but no cues.")
                empty = True
                continue
            metadata = {**media.metadata, "transcript": Path(path).name}
            counts = Counter(problem.reason for problem in found.problems)
            if counts:
                told = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items()))
                metadata["transcript_problems"] = told
            return media.model_copy(update={"cues": found.cues, "metadata": metadata})
        if empty and not problems:
            return self._without(media)
        return Failure(
            item=media.id,
            stage=self.name,
            kind="permanent",
            reason="unreadable-transcript",
            detail="; ".join(problems),
        )
