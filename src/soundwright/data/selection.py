"""Which clips of a corpus a use takes, and which caption of a clip a draw takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from soundwright.core.config import Config
from soundwright.core.errors import UserError, nearest
from soundwright.core.records import CaptionKind, Clip, Mixture
from soundwright.data.manifest import Manifest


class Selection(Config):
    """Conditions that a clip meets; empty ones ask for nothing."""

    splits: tuple[str, ...] = ()
    """Splits to take; empty takes all."""
    exclude_splits: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    """Names of licences to take; empty takes all."""
    exclude_licences: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    """At least one of these."""
    min_duration: float = Field(default=0.0, ge=0)
    """Seconds."""
    max_duration: float | None = None
    """Seconds."""
    captioned: bool = False
    """Only clips with a caption."""
    ignore_drops: bool = False
    """Take clips, too, that a filter would leave out."""


def select_clips(
    manifest: Manifest,
    selection: Selection,
    *,
    rejects_text: Callable[[str], bool] | None = None,
) -> Manifest:
    """The clips that meet every condition, in the manifest's order.

    A mixture is taken where all the clips that it was made of are.

    Args:
        manifest: The corpus.
        selection: The conditions.
        rejects_text: Leaves out a clip when it is true of one of its captions or tags, such as
            a test for words of speech (AudioGen leaves out samples with speech).

    Raises:
        UserError: A split or licence is named that no clip has, or no clip is left.
    """
    _check_names("split", {clip.split for clip in manifest.clips}, selection.splits)
    _check_names("licence", {clip.licence.name for clip in manifest.clips}, selection.licences)
    meeting = {
        clip.id
        for clip in manifest.clips
        if not isinstance(clip.location, Mixture)
        and _meets(clip, selection)
        and not (rejects_text and any(map(rejects_text, _texts_of(clip))))
    }
    kept = [
        clip
        for clip in manifest.clips
        if clip.id in meeting
        or (isinstance(clip.location, Mixture) and meeting.issuperset(clip.parents))
    ]
    if not kept:
        raise UserError(
            f"None of the {len(manifest.clips)} clips meets the selection "
            f"{selection.model_dump(exclude_defaults=True)}.",
            change="Loosen it.",
        )
    return manifest.with_clips(kept)


def _check_names(what: str, there: set[str], wanted: tuple[str, ...]) -> None:
    for name in wanted:
        if name not in there:
            raise UserError(f"No clip has the {what} {name!r}; {nearest(name, there)}")


def _meets(clip: Clip, selection: Selection) -> bool:
    longest = selection.max_duration
    return (
        _among(clip.split, selection.splits, selection.exclude_splits)
        and _among(clip.licence.name, selection.licences, selection.exclude_licences)
        and _among(clip.source.dataset, selection.datasets, ())
        and (not selection.tags or not set(selection.tags).isdisjoint(clip.tags))
        and clip.duration >= selection.min_duration
        and (longest is None or clip.duration <= longest)
        and (bool(clip.captions) or not selection.captioned)
        and (not clip.drops or selection.ignore_drops)
    )


def _among(value: str, wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> bool:
    return (not wanted or value in wanted) and value not in unwanted


def _texts_of(clip: Clip) -> tuple[str, ...]:
    return (*(caption.text for caption in clip.captions), *clip.tags)


class CaptionChoice(Config):
    """Which of a clip's captions a draw takes."""

    mode: Literal["random", "first"] = "random"
    weights: dict[CaptionKind, float] = Field(default_factory=dict)
    """Relative weight of a caption by its kind, 1 where not named; 0 never takes it."""


def choose_caption(clip: Clip, choice: CaptionChoice, stream: np.random.Generator) -> str:
    """The text of one caption; empty where the clip has none that may be taken."""
    weights = [max(choice.weights.get(caption.kind, 1.0), 0.0) for caption in clip.captions]
    usable = [number for number, weight in enumerate(weights) if weight > 0]
    if not usable:
        return ""
    if choice.mode == "first" or len(usable) == 1:
        return clip.captions[usable[0]].text
    shares = np.array([weights[number] for number in usable])
    return clip.captions[int(stream.choice(usable, p=shares / shares.sum()))].text
