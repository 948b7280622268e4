"""`keywords`: captions and tags that tell of speech or music (AutoReCap's fifth step)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from soundwright.core.config import Config
from soundwright.core.records import Clip, Drop
from soundwright.corpus.keywords import find_keywords, load_word_list
from soundwright.corpus.stage import Output, Stage


class KeywordsConfig(Config):
    """Which words are looked for, and where."""

    lists: Annotated[tuple[str, ...], Field(min_length=1)] = ("speech-1", "music-1")
    """Names of the lists that ship, or paths of your own, as seen from the corpus's folder; one
    term a line."""
    tags: bool = True
    """Look at tags too."""
    titles: bool = False
    """Look at titles too, which tell of a whole recording rather than of a clip."""


class Keywords(Stage):
    """Annotates clips whose texts have a word of a list; the reason is `<list>-words`."""

    name = "keywords"

    def __init__(self, config: KeywordsConfig, root: Path) -> None:
        self.config = config
        self._lists = [load_word_list(name, root) for name in config.lists]

    def identity(self) -> str:
        """Of the words."""
        return " ".join(words.hash for words in self._lists)

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Annotate; see `Stage`."""
        for clip in rows:
            drops = list(clip.drops)
            for words in self._lists:
                found = {word for text in self._texts(clip) for word in find_keywords(text, words)}
                if found:
                    kind = words.name.rpartition("-")[0] or words.name
                    reason = f"{kind}-words"
                    value = ", ".join(sorted(found))
                    drops.append(Drop(stage=self.name, reason=reason, value=value))
            out.keep(clip.model_copy(update={"drops": tuple(drops)}))

    def _texts(self, clip: Clip) -> Iterator[str]:
        yield from (caption.text for caption in clip.captions)
        if self.config.tags:
            yield from clip.tags
        if self.config.titles and "title" in clip.metadata:
            yield str(clip.metadata["title"])
