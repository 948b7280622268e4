"""`tag`: whether it is speech, music or other sound, by scorers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from soundwright.audio.sound import Sound
from soundwright.core.config import Config
from soundwright.core.errors import AudioError
from soundwright.core.protocols import Scorer
from soundwright.core.records import Clip, Drop
from soundwright.corpus.failures import failure_of
from soundwright.corpus.plugins import load_plugin
from soundwright.corpus.repeats import Distinct
from soundwright.corpus.sounds import ClipSounds
from soundwright.corpus.speech_cuts import Part, divide
from soundwright.corpus.stage import Output, Stage
from soundwright.data.clips import hash_samples
from soundwright.scorers.speech import SpeechDetector, find_speech, score_speech

SPEECH = "speech"


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
    cut: Annotated[float, Field(ge=0.1)] | None = None
    """Cut clips where the detector of `speech` hears somebody, so that only that part is lost. What
    lies between and is shorter than so many seconds goes with the speech. None cuts nothing."""

    @model_validator(mode="after")
    def _hears_speech(self) -> Self:
        if self.cut is not None and all(one.kind != "speech" for one in self.scorers):
            raise ValueError("cut needs a scorer of kind speech")
        return self


class Tag(Stage):
    """Adds what the scorers say; the thresholds are `select`'s.

    With `cut`, a clip with speech becomes several, which name it as their parent; those in which
    somebody talks have the drop `speech`.
    """

    name = "tag"
    version = 2

    def __init__(self, config: TagConfig, root: Path) -> None:
        self.config, self._root = config, root

    def identity(self) -> str:
        """Of all scorers."""
        every = [*self._scorers, *([self._detector] if self._detector else [])]
        return " ".join(getattr(scorer, "identity", scorer.name) for scorer in every)

    def scores(self) -> tuple[str, ...] | None:
        """Of all scorers that say what they tell."""
        names = list(self._detector.numbers) if self._detector else []
        for scorer in self._scorers:
            # Taggers' labels may be of several words; plugins need not tell.
            told = getattr(scorer, "numbers", None)
            if told is None:
                return None
            names += told
        return tuple(names)

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Annotate, and cut where that is wanted; see `Stage`."""
        sounds, distinct = ClipSounds(self._root), Distinct(out, self.name)
        for clip in rows:
            try:
                found = [self._score(*heard) for heard in self._listen(clip, sounds.read(clip))]
            except AudioError as error:
                out.fail(failure_of(error, clip.id, self.name))
                continue
            for part in found:
                distinct.keep(part)
            if len(found) > 1:
                out.absorb()

    def _listen(self, clip: Clip, sound: Sound) -> Iterator[tuple[Clip, Sound]]:
        """The clip with what is known of its speech, or its parts where it is cut."""
        if self._detector is None:
            yield clip, sound
            return
        detector, settings = self._detector, self._detector.config
        likely = detector.probabilities(sound.samples, sound.sample_rate)
        spans = find_speech(likely, detector.frame_rate, clip.duration, settings)
        parts = (Part(0.0, clip.duration, bool(spans)),)
        if self.config.cut is not None:
            parts = divide(spans, clip.duration, self.config.cut)
        for part in parts:
            piece, heard = (clip, sound) if len(parts) == 1 else _cut(clip, sound, part)
            frames = likely[int(part.start * detector.frame_rate) :][
                : max(1, round((part.end - part.start) * detector.frame_rate))
            ]
            found = score_speech(frames, detector.frame_rate, part.end - part.start, settings)
            drops = piece.drops
            if self.config.cut is not None and part.is_speech:
                seconds = round(found["speech_seconds"], 3)
                drops = (*drops, Drop(stage=self.name, reason=SPEECH, value=seconds))
            scores = {**piece.scores, **_finite(found)}
            yield piece.model_copy(update={"scores": scores, "drops": drops}), heard

    def _score(self, clip: Clip, sound: Sound) -> Clip:
        scores = dict(clip.scores)
        for scorer in self._scorers:
            (found,) = scorer.score([sound.samples], sound.sample_rate)
            scores |= _finite(found)
        return clip.model_copy(update={"scores": scores})

    @cached_property
    def _detector(self) -> SpeechDetector | None:
        """Of speech: asked for its frames, so that one pass gives scores and cuts."""
        wanted = any(choice.kind == SPEECH for choice in self.config.scorers)
        return SpeechDetector() if wanted else None

    @cached_property
    def _scorers(self) -> list[Scorer]:
        """All others."""
        return [_build(choice) for choice in self.config.scorers if choice.kind != SPEECH]


def _finite(found: dict[str, float]) -> dict[str, float]:
    """What a scorer cannot tell, such as of a sound that is too short, is no score."""
    return {name: round(value, 6) for name, value in found.items() if isfinite(value)}


def _cut(clip: Clip, sound: Sound, part: Part) -> tuple[Clip, Sound]:
    rate = sound.sample_rate
    first, last = round(part.start * rate), round(part.end * rate)
    piece = Sound(sound.samples[:, first:last].contiguous(), rate)
    begin = round(clip.source.start + part.start, 6)
    source = clip.source.model_copy(
        update={"start": begin, "end": round(begin + part.end - part.start, 6)}
    )
    location = clip.location.model_copy(update={"start": clip.location.start + first / rate})
    return clip.model_copy(
        update={
            "id": source.clip_id,
            "source": source,
            "location": location,
            "pcm_hash": hash_samples(piece),
            "duration": piece.duration,
            "parents": (clip.id,),
        }
    ), piece


def _build(choice: ScorerChoice) -> Scorer:
    if choice.kind == "clap":
        from soundwright.scorers.clap import load_clap
        from soundwright.scorers.kinds import KindScorer

        return KindScorer(load_clap(choice.name) if choice.name else load_clap())
    if choice.kind == "tagger":
        from soundwright.scorers.tagger import Tagger, tagger2_folder

        return Tagger.load(Path(choice.name) if choice.name else tagger2_folder())
    return load_plugin(choice.name, "scorer", ("name", "score"))
