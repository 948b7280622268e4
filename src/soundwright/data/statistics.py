"""What a corpus holds, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from soundwright.audio.loudness import integrated_loudness
from soundwright.core.errors import AudioError
from soundwright.core.progress import Meter
from soundwright.core.records import Clip
from soundwright.data.manifest import Manifest, read_clip
from soundwright.data.prefetch import compute_in_order

QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True)
class Amount:
    """How much there is of something."""

    clips: int
    hours: float


@dataclass(frozen=True)
class Spread:
    """How a quantity is spread over the clips or captions."""

    count: int
    mean: float
    quantiles: dict[str, float]
    """By share: "0.0" is the least, "0.5" the median, "1.0" the greatest."""


@dataclass(frozen=True)
class Statistics:
    """A corpus in numbers."""

    total: Amount
    splits: dict[str, Amount]
    licences: dict[str, Amount]
    datasets: dict[str, Amount]
    tags: dict[str, Amount]
    """A clip counts for each of its tags."""
    sample_rates: dict[str, Amount]
    channels: dict[str, Amount]
    durations: Spread
    """Seconds."""
    captions: int
    captions_by_kind: dict[str, int]
    uncaptioned: int
    """Clips without a caption."""
    caption_words: Spread | None
    """Words of a caption; None where there are none."""
    dropped: dict[str, int]
    """Clips that a filter would leave out, by reason."""
    same_sound: int
    """Clips whose samples an earlier clip has too."""
    loudness: Spread | None
    """LUFS of the clips above the absolute gate; None where it was not measured."""
    silent: int | None
    """Clips below the absolute gate of -70 LUFS; None where it was not measured."""
    unreadable: tuple[str, ...]
    """Ids of clips whose loudness could not be measured."""

    def plain(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return asdict(self)


def summarise(manifest: Manifest, *, loudness: bool = False, workers: int = 0) -> Statistics:
    """Count a corpus.

    Args:
        manifest: The corpus; its files are opened only for the loudness.
        loudness: Measure each clip by BS.1770.
        workers: Threads that decode for it.
    """
    clips = manifest.clips
    captions = [caption for clip in clips for caption in clip.captions]
    levels, unreadable = _measure(manifest, workers) if loudness else (None, ())
    gated = None if levels is None else [level for level in levels if level > -np.inf]
    return Statistics(
        total=_amount(clips),
        splits=_by(clips, lambda clip: (clip.split or "(none)",)),
        licences=_by(clips, lambda clip: (clip.licence.name,)),
        datasets=_by(clips, lambda clip: (clip.source.dataset,)),
        tags=_by(clips, lambda clip: clip.tags),
        sample_rates=_by(clips, lambda clip: (str(clip.sample_rate),)),
        channels=_by(clips, lambda clip: (str(clip.channels),)),
        durations=_spread([clip.duration for clip in clips]) or Spread(0, 0.0, {}),
        captions=len(captions),
        captions_by_kind=dict(Counter(caption.kind for caption in captions).most_common()),
        uncaptioned=sum(not clip.captions for clip in clips),
        caption_words=_spread([len(caption.text.split()) for caption in captions]),
        dropped=dict(Counter(drop.reason for clip in clips for drop in clip.drops).most_common()),
        same_sound=len(clips) - len({clip.pcm_hash for clip in clips}),
        loudness=None if gated is None else _spread(gated),
        silent=None if levels is None or gated is None else len(levels) - len(gated),
        unreadable=unreadable,
    )


def _amount(clips: Sequence[Clip]) -> Amount:
    return Amount(len(clips), sum(clip.duration for clip in clips) / 3600)


def _by(clips: Iterable[Clip], names: Callable[[Clip], Iterable[str]]) -> dict[str, Amount]:
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        for name in dict.fromkeys(names(clip)):
            groups.setdefault(name, []).append(clip)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return {name: _amount(group) for name, group in ordered}


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    found = np.quantile(values, QUANTILES)
    quantiles = {str(share): float(value) for share, value in zip(QUANTILES, found, strict=True)}
    return Spread(len(values), float(np.mean(values)), quantiles)


def _measure(manifest: Manifest, workers: int) -> tuple[list[float], tuple[str, ...]]:
    def level(clip: Clip) -> float | None:
        try:
            sound = read_clip(manifest, clip)
        except AudioError:
            return None
        return integrated_loudness(sound.samples, sound.sample_rate)

    levels: list[float] = []
    unreadable: list[str] = []
    with Meter("loudness", len(manifest.clips), unit="clip") as meter:
        found = compute_in_order(level, manifest.clips, workers=workers)
        for clip, value in zip(manifest.clips, found, strict=True):
            meter.advance()
            if value is None:
                unreadable.append(clip.id)
            else:
                levels.append(value)
    return levels, tuple(unreadable)
