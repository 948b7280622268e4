"""Mixtures: pairs of a corpus' clips that are heard at once, as clips of their own.

A mixture has no file. Its record says of which sounds it is made, and `read_clip` mixes them
(Tango, section 2.2): each is heard as well as the other.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.core.records import Caption, Clip, Event, Mixture, Part, Source
from soundwright.core.seeding import numpy_stream
from soundwright.data.clips import joint_licence
from soundwright.data.manifest import Manifest

DATASET = "mixtures"
RULE = "equal levels, 1"
"""Part of a mixture's hash; changes whenever other samples come of the same record."""


class MixtureConfig(Config):
    """Which mixtures are made."""

    per_clip: float = Field(default=0.5, gt=0)
    """Mixtures for each clip that may be mixed; Tango trains on one for two sounds."""
    captions: int = Field(default=4, ge=1)
    """Captions of a mixture, at most."""
    seed: int = 0


def add_mixtures(manifest: Manifest, clips: Sequence[Clip], config: MixtureConfig) -> Manifest:
    """A corpus with mixtures of some of its clips behind the others.

    Each mixture is of two captioned clips of one split, and belongs to it; no two are of the same
    pair, and all clips are mixed about as often. A shorter clip lies anywhere within the longer.
    Mixtures have joined captions, the tags of both, and the events where both have marked ones.
    What they are depends on seed and clips alone, not on the order of the manifest.

    Args:
        manifest: The corpus.
        clips: Those of it that may be mixed: the ones to train on, never others.
        config: How many.

    Raises:
        UserError: There are too few captioned clips for so many mixtures.
    """
    splits: dict[str, list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: clip.id):
        if not isinstance(clip.location, Mixture) and _texts(clip):
            splits.setdefault(clip.split, []).append(clip)
    made = [
        _mix(first, second, config)
        for split, members in sorted(splits.items())
        for first, second in _draw_pairs(split, members, config)
    ]
    if not made:
        raise UserError(
            f"{len(clips)} clips give no mixtures.",
            expected="at least two captioned clips of one split",
            change="Raise per_clip, caption the clips, or leave mixtures out.",
        )
    return manifest.with_clips((*manifest.clips, *made), mixtures=config.plain())


def join_captions(first: Caption, second: Caption) -> Caption:
    """The caption of two sounds at once: "A dog barks." and "A bell rings" become one sentence."""
    alike = first.kind == second.kind
    same = alike and (first.model, first.revision) == (second.model, second.revision)
    return Caption(
        text=f"{first.text.strip().rstrip('.')} and {_uncapitalise(second.text.strip())}",
        kind=first.kind if alike else "template",
        model=first.model if same else None,
        revision=first.revision if same else None,
    )


def _draw_pairs(
    split: str, clips: Sequence[Clip], config: MixtureConfig
) -> Iterator[tuple[Clip, Clip]]:
    """Different pairs of different clips: neighbours in one shuffle after another."""
    wanted, possible = round(config.per_clip * len(clips)), len(clips) * (len(clips) - 1) // 2
    if len(clips) > 1 and wanted > possible:
        raise UserError(
            f"{wanted} mixtures are wanted of {len(clips)} clips of the split {split!r}.",
            expected=f"at most {possible}, one a pair",
            change=f"Set per_clip to {(len(clips) - 1) / 2:g} or less.",
        )
    stream = numpy_stream(config.seed, "mixtures", split)
    seen: set[frozenset[int]] = set()
    while len(seen) < min(wanted, possible):
        order = stream.permutation(len(clips)).tolist()
        for one, other in zip(order[::2], order[1::2], strict=False):
            if len(seen) < wanted and frozenset((one, other)) not in seen:
                seen.add(frozenset((one, other)))
                yield clips[one], clips[other]


def _mix(first: Clip, second: Clip, config: MixtureConfig) -> Clip:
    stream = numpy_stream(config.seed, "mixture", first.id, second.id)
    both, duration = (first, second), max(first.duration, second.duration)
    # Whole milliseconds, so that a record says it exactly.
    onsets = [int(stream.random() * (duration - clip.duration) * 1000) / 1000 for clip in both]
    item = "+".join(f"{clip.id}@{onset:.3f}" for clip, onset in zip(both, onsets, strict=True))
    source = Source(dataset=DATASET, item=item)
    hashes = [clip.pcm_hash for clip in both]
    parts = [
        Part(location=clip.location, duration=clip.duration, onset=onset)
        for clip, onset in zip(both, onsets, strict=True)
    ]
    return Clip(
        id=source.clip_id,
        source=source,
        location=Mixture(**first.location.model_dump(), parts=(parts[0], parts[1])),
        pcm_hash=hash_bytes(json.dumps([RULE, hashes, onsets, duration]).encode()),
        duration=duration,
        sample_rate=max(clip.sample_rate for clip in both),
        channels=max(clip.channels for clip in both),
        captions=_join_some(first, second, config.captions, stream),
        tags=tuple(dict.fromkeys(first.tags + second.tags)),
        events=_join_events(both, onsets),
        parents=(first.id, second.id),
        licence=joint_licence(clip.licence for clip in both),
        split=first.split,
    )


def _join_some(
    first: Clip, second: Clip, count: int, stream: np.random.Generator
) -> tuple[Caption, ...]:
    """At most `count` joined captions, of two of a kind where there are such."""
    pairs = list(itertools.product(_texts(first), _texts(second)))
    pairs = [pair for pair in pairs if pair[0].kind == pair[1].kind] or pairs
    chosen = stream.permutation(len(pairs))[:count]
    return tuple(join_captions(*pairs[number]) for number in sorted(chosen.tolist()))


def _join_events(clips: Sequence[Clip], onsets: Sequence[float]) -> tuple[Event, ...] | None:
    """The events of all, by onset; None where one has not been marked."""
    events: list[Event] = []
    for clip, shift in zip(clips, onsets, strict=True):
        if clip.events is None:
            return None
        events += (
            Event(label=event.label, onset=event.onset + shift, offset=event.offset + shift)
            for event in clip.events
        )
    return tuple(sorted(events, key=lambda event: (event.onset, event.offset, event.label)))


def _texts(clip: Clip) -> list[Caption]:
    return [caption for caption in clip.captions if caption.text.strip()]


def _uncapitalise(text: str) -> str:
    """The first letter small, but for an acronym or a name with further capitals, and for I."""
    word = text.split(maxsplit=1)[0]
    is_name = word == "I" or word[1:] != word[1:].lower()
    return text if is_name else text[0].lower() + text[1:]
