"""`tag`: whether it is speech, music or other sound, by scorers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from soundwright.core.config import Config
from soundwright.core.errors import AudioError
from soundwright.core.protocols import Scorer
from soundwright.core.records import Clip
from soundwright.corpus.failures import failure_of
from soundwright.corpus.plugins import load_plugin
from soundwright.corpus.sounds import ClipSounds
from soundwright.corpus.stage import Output, Stage


class ScorerChoice(Config):
    """One scorer; its numbers join the scores of a clip."""

    kind: Literal["speech", "clap", "tagger", "plugin"]
    """`speech` is a voice activity detector, `clap` asks a text-audio model for speech, music and
    other, `tagger` gives the probability of each of a tagger's labels, `plugin` is yours."""
    name: str = ""
    """Of the CLAP checkpoint, the tagger's folder, or the plugin: `package.module:function`, which
    gives a `Scorer` (`soundwright.core.protocols`)."""


class TagConfig(Config):
    """Which scorers listen."""

    scorers: Annotated[tuple[ScorerChoice, ...], Field(min_length=1)] = (
        ScorerChoice(kind="speech"),
    )


class Tag(Stage):
    """Adds what the scorers say; the thresholds are `select`'s."""

    name = "tag"

    def __init__(self, config: TagConfig, root: Path) -> None:
        self.config, self._root = config, root

    def identity(self) -> str:
        """Of all scorers."""
        return " ".join(getattr(scorer, "identity", scorer.name) for scorer in self._scorers)

    def scores(self) -> tuple[str, ...] | None:
        """Of all scorers that say what they tell."""
        names: list[str] = []
        for scorer in self._scorers:
            # Taggers' labels may be of several words; plugins need not tell.
            told = getattr(scorer, "numbers", None)
            if told is None:
                return None
            names += told
        return tuple(names)

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Annotate; see `Stage`."""
        sounds = ClipSounds(self._root)
        for clip in rows:
            scores = dict(clip.scores)
            try:
                sound = sounds.read(clip)
                for scorer in self._scorers:
                    (found,) = scorer.score([sound.samples], sound.sample_rate)
                    # What a scorer cannot tell, such as of a sound that is too short, is no score.
                    known = {name: value for name, value in found.items() if isfinite(value)}
                    scores |= {name: round(value, 6) for name, value in known.items()}
            except AudioError as error:
                out.fail(failure_of(error, clip.id, self.name))
                continue
            out.keep(clip.model_copy(update={"scores": scores}))

    @cached_property
    def _scorers(self) -> list[Scorer]:
        return [_build(choice) for choice in self.config.scorers]


def _build(choice: ScorerChoice) -> Scorer:
    if choice.kind == "speech":
        from soundwright.scorers.speech import SpeechDetector

        return SpeechDetector()
    if choice.kind == "clap":
        from soundwright.scorers.clap import load_clap
        from soundwright.scorers.kinds import KindScorer

        return KindScorer(load_clap(choice.name) if choice.name else load_clap())
    if choice.kind == "tagger":
        from soundwright.scorers.tagger import Tagger, tagger2_folder

        return Tagger.load(Path(choice.name) if choice.name else tagger2_folder())
    return load_plugin(choice.name, "scorer", ("name", "score"))
