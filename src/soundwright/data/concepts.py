"""How many events captions name, noted in a manifest by whoever counted them.

`soundwright evaluate` splits its prompts by these numbers (Tango 2, Table 4), and counts by rule
where there are none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from soundwright.core.errors import UserError
from soundwright.core.journal import Journal
from soundwright.core.progress import Meter
from soundwright.core.records import Clip
from soundwright.data.manifest import Manifest
from soundwright.text.chat import ChatError
from soundwright.text.concepts import split_concepts

COUNT_KEY = "concept_count"
"""Of a clip's metadata: how many concepts its first caption names."""
CONCEPTS_KEY = "concepts"
"""Of a clip's metadata: which, with semicolons between."""
COUNTER_KEY = "concept_counter"
"""Of a clip's metadata: who counted."""


class ConceptExtractor(Protocol):
    """Tells which events a caption names."""

    @property
    def name(self) -> str:
        """Stands in the records that it counted."""
        ...

    @property
    def identity(self) -> str:
        """Changes whenever it may say something else."""
        ...

    def extract(self, caption: str) -> list[str]:
        """At least one.

        Raises:
            ChatError: There is no answer.
        """
        ...


class RuleConcepts:
    """Tells events by the joints of a caption: commas, "and", "while", "followed by" ..."""

    name = "rules"
    identity = "concepts/rules/1"

    def extract(self, caption: str) -> list[str]:
        """See the protocol; a caption that names nothing counts as one event."""
        return split_concepts(caption)[0] or [caption]


def note_concepts(manifest: Manifest, extractor: ConceptExtractor, journal: Path) -> Manifest:
    """The manifest with the events of every clip's first caption in its metadata.

    Clips without captions stay as they are. No caption is asked about twice, in a later run
    neither: answers are kept in `journal`.

    Raises:
        UserError: No clip has a caption, there is no answer, or `journal` is of another extractor.
    """
    captions = dict.fromkeys(clip.captions[0].text for clip in manifest.clips if clip.captions)
    if not captions:
        raise UserError(
            "No clip has a caption.", change="Import the corpus with its captions first."
        )
    with Journal(journal, extractor.identity) as noted:
        known: dict[str, list[str]] = {one["caption"]: one["concepts"] for one in noted.entries}
        missing = [caption for caption in captions if caption not in known]
        done = len(captions) - len(missing)
        with Meter("concepts", len(captions), done=done, unit="caption") as meter:
            for caption in missing:
                try:
                    known[caption] = extractor.extract(caption)
                except ChatError as error:
                    raise UserError(
                        f"The chat model gave nothing for {caption!r}: {error}.",
                        change="Repeat the command to go on here.",
                    ) from error
                noted.append({"caption": caption, "concepts": known[caption]})
                meter.advance()
    return manifest.with_clips([_note(clip, known, extractor.name) for clip in manifest.clips])


def _note(clip: Clip, known: dict[str, list[str]], counter: str) -> Clip:
    if not clip.captions:
        return clip
    concepts = known[clip.captions[0].text]
    found: dict[str, Any] = {
        COUNT_KEY: len(concepts),
        CONCEPTS_KEY: "; ".join(concepts),
        COUNTER_KEY: counter,
    }
    return clip.model_copy(update={"metadata": {**clip.metadata, **found}})
