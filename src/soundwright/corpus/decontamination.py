"""Decontamination: clips that an evaluation set holds, by identity, by samples and by sound."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from soundwright.core.records import Clip
from soundwright.corpus.evaluation_sets import EvaluationSet
from soundwright.corpus.fingerprints import Fingerprint
from soundwright.corpus.identities import possible_identities


@dataclass(frozen=True)
class Leak:
    """Which item of which evaluation set a clip gives away."""

    set: str
    how: Literal["same-recording", "same-samples", "same-sound"]
    item: str
    score: float = 1.0
    """Of the match of a sound; 1 where nothing was compared."""


def find_leak(
    clip: Clip,
    fingerprint: Fingerprint | None,
    sets: Iterable[EvaluationSet],
    *,
    margin: float = 0.0,
) -> Leak | None:
    """The first leak of a clip, in the order of the sets; the surest kind first in each.

    Args:
        clip: Of it, source and `pcm_hash` count. Where the source does not say which part of the
            recording the clip is, it is taken for the whole, which overlaps every part.
        fingerprint: Of its sound; None where it is not at hand.
        sets: What must not leak.
        margin: Seconds around an item in which its recording counts as the item as well.
    """
    names = possible_identities(clip.source)
    for held_out in sets:
        for name in names:
            for span in held_out.spans.get(name, ()):
                if span.overlaps(clip.source, margin):
                    return Leak(held_out.name, "same-recording", span.item)
        if clip.pcm_hash in held_out.hashes:
            return Leak(held_out.name, "same-samples", held_out.hashes[clip.pcm_hash])
        if fingerprint is None or held_out.fingerprints is None:
            continue
        found = held_out.fingerprints.find(fingerprint)
        if found is not None:
            return Leak(held_out.name, "same-sound", found.item, round(found.match.score, 6))
    return None
