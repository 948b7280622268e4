"""`merge`: neighbours of which a captioner says the same become one clip (AutoReCap)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from soundwright.audio.sound import Sound
from soundwright.core.config import Config
from soundwright.core.errors import AudioError
from soundwright.core.records import Caption, Clip, Drop
from soundwright.corpus.failures import failure_of
from soundwright.corpus.repeats import Distinct
from soundwright.corpus.sounds import ClipSounds
from soundwright.corpus.stage import Output, Stage
from soundwright.data.clips import hash_samples

TOUCHING_S = 1e-3


class MergeConfig(Config):
    """How far clips are joined."""

    max_duration: Annotated[float, Field(gt=0)] = 60.0
    """Longest clip in seconds. Those of different segments are never joined, and `gaps` ends a
    segment after its own `max_segment`."""


class Merge(Stage):
    """Joins clips of one segment that follow each other and have the same captions of a model.

    Scores of a joined clip are the means of its parts, weighted by their lengths; its `drops` are
    those of any part; `parents` names the parts.
    """

    name = "merge"
    version = 2

    def __init__(self, config: MergeConfig, root: Path) -> None:
        self.config, self._root = config, root

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Join; see `Stage`."""
        sounds = ClipSounds(self._root)
        distinct = Distinct(out, self.name)
        run: list[Clip] = []
        for clip in rows:
            if run and not self._joins(run, clip):
                self._emit(run, sounds, distinct, out)
                run = []
            run.append(clip)
        if run:
            self._emit(run, sounds, distinct, out)

    def _joins(self, run: Sequence[Clip], clip: Clip) -> bool:
        last = run[-1]
        place = (last.location.path, last.location.offset)
        gap = clip.location.start - (last.location.start + last.duration)
        total = sum(one.duration for one in run) + clip.duration
        return (
            place == (clip.location.path, clip.location.offset)
            and abs(gap) < TOUCHING_S
            and total <= self.config.max_duration + TOUCHING_S
            and bool(_said(last))
            and _said(last) == _said(clip)
            # Else a part that was cut off for its speech would come back.
            and _reasons(last) == _reasons(clip)
        )

    def _emit(
        self, run: Sequence[Clip], sounds: ClipSounds, distinct: Distinct, out: Output
    ) -> None:
        if len(run) == 1:
            distinct.keep(run[0])
            return
        try:
            joined = _join(run, sounds)
        except AudioError as error:
            for clip in run:
                out.fail(failure_of(error, clip.id, self.name))
            return
        out.absorb(len(run) - 1)
        distinct.keep(joined)


def _said(clip: Clip) -> tuple[str, ...]:
    """What models say of a clip, apart from case and white space."""
    texts = (one.text for one in clip.captions if one.kind == "model")
    return tuple(" ".join(text.lower().split()) for text in texts)


def _reasons(clip: Clip) -> set[tuple[str, str]]:
    return {(drop.stage, drop.reason) for drop in clip.drops}


def _join(run: Sequence[Clip], sounds: ClipSounds) -> Clip:
    first, last = run[0], run[-1]
    source = first.source.model_copy(update={"end": last.source.end})
    frames = sum(round(clip.duration * clip.sample_rate) for clip in run)
    whole = first.model_copy(update={"duration": frames / first.sample_rate})
    return whole.model_copy(
        update={
            "id": source.clip_id,
            "source": source,
            "pcm_hash": _hash(whole, sounds),
            "parents": tuple(clip.id for clip in run),
            "captions": _join_captions(run),
            "scores": _join_scores(run),
            "drops": _join_drops(run),
        }
    )


def _hash(clip: Clip, sounds: ClipSounds) -> str:
    if not clip.pcm_hash:
        return ""  # Nothing was decoded.
    sound = sounds.read(clip)
    return hash_samples(Sound(sound.samples.contiguous(), sound.sample_rate))


def _join_captions(run: Sequence[Clip]) -> tuple[Caption, ...]:
    """Those of the first part; a confidence is that of the least sure part."""
    joined = list(run[0].captions)
    for place, caption in enumerate(joined):
        known = [
            one.confidence
            for clip in run
            for one in clip.captions
            if one.model == caption.model and one.confidence is not None
        ]
        if caption.kind == "model" and known:
            joined[place] = caption.model_copy(update={"confidence": min(known)})
    return tuple(joined)


def _join_scores(run: Sequence[Clip]) -> dict[str, float]:
    names = [name for name in run[0].scores if all(name in clip.scores for clip in run)]
    seconds = math.fsum(clip.duration for clip in run)
    return {
        name: round(math.fsum(clip.scores[name] * clip.duration for clip in run) / seconds, 6)
        for name in names
    }


def _join_drops(run: Sequence[Clip]) -> tuple[Drop, ...]:
    return tuple(dict.fromkeys(drop for clip in run for drop in clip.drops))
