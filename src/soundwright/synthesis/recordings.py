"""Recorded events: single happenings and long spans, cut from labelled clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, find_peaks, sosfilt

from soundwright.audio.channels import to_channels
from soundwright.audio.resampling import resample
from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError
from soundwright.synthesis.lexicon import entry_of

Span = tuple[float, float]
"""Onset and offset in seconds."""

HOP_S = 0.004
WINDOW_S = 0.03
RUMBLE_HZ = 60.0
PROMINENCE_DB = 9.0
"""How far the level must fall between two events."""
FAINT_DB = 13.0
"""An event this far below the clip's loudest is left out."""
ABOVE_FLOOR_DB = 9.0
"""How far an event must stand above the clip's background."""
DEPTH_DB = 30.0
"""An event reaches down to this far below its own peak, or into the background."""
SHORTEST_SPAN_S = 0.8
SILENCE_DB = -66.0
SILENT_GAP_S = 0.25


@dataclass(frozen=True)
class EventStyle:
    """What counts as one event of a label."""

    join: float = 0.0
    """Seconds between two peaks of the level below which they belong to one event: syllables."""
    shortest: float = 0.02
    longest: float = 10.0


STYLES: Mapping[str, EventStyle] = {
    "baby cry": EventStyle(join=0.1, shortest=0.3),
    "clock tick": EventStyle(longest=0.4),
    "dog bark": EventStyle(shortest=0.08, longest=0.8),
    "person sneeze": EventStyle(join=0.35, shortest=0.15),
    "rooster": EventStyle(join=0.3, shortest=0.6),
}
"""By label; others have the plain style."""


def find_events(sound: Sound, style: EventStyle = EventStyle()) -> list[Span]:
    """Find the single happenings in a recording by peaks of its level.

    Args:
        sound: The recording.
        style: What counts as one event.

    Returns:
        Onset and offset in seconds, in order; no two overlap. Empty for silence.
    """
    level = _level_db(sound, WINDOW_S)
    heard = level[level > SILENCE_DB]
    if not len(heard):
        return []
    floor, top = float(np.percentile(heard, 5)), float(level.max())
    height = max(top - FAINT_DB, min(floor + ABOVE_FLOOR_DB, top - 1))
    padded = np.pad(level, 1, constant_values=SILENCE_DB - 40)
    peaks, _ = find_peaks(padded, height=height, prominence=PROMINENCE_DB, distance=12)
    peaks = peaks - 1
    bounds = [
        0,
        *(int(a + np.argmin(level[a:b])) for a, b in pairwise(peaks)),
        len(level),
    ]
    spans = [
        _reach(level, int(peak), bounds[number], bounds[number + 1], floor)
        for number, peak in enumerate(peaks)
    ]
    events = [(first * HOP_S, min(last * HOP_S, sound.duration)) for first, last in spans]
    return [
        (onset, offset)
        for onset, offset in _joined(events, style.join)
        if style.shortest <= offset - onset <= style.longest
    ]


def find_spans(sound: Sound) -> list[Span]:
    """Find the stretches of at least 0.8 s without silence: the material of textures."""
    level = _level_db(sound, 0.05)
    edges = np.flatnonzero(np.diff(np.pad((level > SILENCE_DB).astype(int), 1)))
    spans = [
        (first * HOP_S, min(last * HOP_S, sound.duration))
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]
    return [s for s in _joined(spans, SILENT_GAP_S) if s[1] - s[0] >= SHORTEST_SPAN_S]


@dataclass(frozen=True)
class RecordedClip:
    """A labelled recording."""

    id: str
    label: str
    sound: Sound


@dataclass(frozen=True)
class Cut:
    """A part of a recorded clip that is one event or one stretch of a texture."""

    clip_id: str
    label: str
    start: float
    end: float

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.start


class RecordingBank:
    """Recorded events by label.

    Args:
        clips: Labelled recordings; a clip in which nothing is found adds nothing.
        sample_rate: The rate at which the clips are kept; choose the one that scenes have.

    Raises:
        UserError: Two clips have the same id.
    """

    def __init__(self, clips: Iterable[RecordedClip], sample_rate: int = 16000) -> None:
        self.sample_rate = sample_rate
        self._samples: dict[str, torch.Tensor] = {}
        self._cuts: dict[str, dict[str, tuple[Cut, ...]]] = {}
        for clip in clips:
            self._add(clip)

    def _add(self, clip: RecordedClip) -> None:
        if clip.id in self._samples:
            raise UserError(f"Two recordings have the id {clip.id!r}.")
        mono = to_channels(clip.sound.samples, 1)
        kept = resample(mono, clip.sound.sample_rate, self.sample_rate)[0]
        self._samples[clip.id] = kept
        sound = Sound(kept[None], self.sample_rate)
        if entry_of(clip.label).countable:
            spans = find_events(sound, STYLES.get(clip.label, EventStyle()))
        else:
            spans = find_spans(sound)
        if spans:
            cuts = tuple(Cut(clip.id, clip.label, round(a, 6), round(b, 6)) for a, b in spans)
            self._cuts.setdefault(clip.label, {})[clip.id] = cuts

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels for which there is at least one cut, sorted."""
        return tuple(sorted(self._cuts))

    @property
    def clip_ids(self) -> tuple[str, ...]:
        """All clips, sorted."""
        return tuple(sorted(self._samples))

    def cuts(self, label: str) -> Mapping[str, tuple[Cut, ...]]:
        """The cuts of a label by clip: those of one clip come from one source."""
        return self._cuts.get(label, {})

    def samples(
        self, clip_id: str, start: float, end: float, *, speed: float = 1.0, sample_rate: int
    ) -> npt.NDArray[np.float32]:
        """A part of a clip, played `speed` times as fast and so that much higher.

        Args:
            clip_id: One of `clip_ids`.
            start: Seconds within the clip.
            end: Seconds within the clip.
            speed: Ratio of playback to recording.
            sample_rate: Of the result.

        Returns:
            [N] float32.

        Raises:
            UserError: The bank has no such clip.
        """
        if clip_id not in self._samples:
            raise UserError(
                f"The scene needs the recording {clip_id!r}, which is not in the bank.",
                change="Render it with the recordings that it was composed from.",
            )
        whole = self._samples[clip_id]
        part = whole[round(start * self.sample_rate) : round(end * self.sample_rate)]
        played = round(self.sample_rate * speed)
        return np.ascontiguousarray(resample(part, played, sample_rate).numpy())


def _level_db(sound: Sound, window: float) -> npt.NDArray[np.float64]:
    """The level in decibels of full scale, every HOP_S seconds, without rumble."""
    mono = to_channels(sound.samples, 1)[0].numpy().astype(np.float64)
    if not len(mono):
        return np.zeros(0)
    sections = butter(2, RUMBLE_HZ, "highpass", fs=sound.sample_rate, output="sos")
    power = np.asarray(sosfilt(sections, mono)) ** 2
    smooth = uniform_filter1d(power, max(1, round(window * sound.sample_rate)), mode="constant")
    places = np.arange(0, sound.duration, HOP_S) * sound.sample_rate
    return 10 * np.log10(smooth[places.astype(int)] + 1e-12)


def _reach(
    level: npt.NDArray[np.float64], peak: int, low: int, high: int, floor: float
) -> tuple[int, int]:
    """Where the event around `peak` begins and ends between the frames `low` and `high`."""
    bottom = max(level[peak] - DEPTH_DB, min(floor + 3, level[peak] - 6))
    before = np.flatnonzero(level[low:peak] < bottom)
    after = np.flatnonzero(level[peak:high] < bottom)
    # The window of the level reaches half its length ahead of the sound.
    early = round(WINDOW_S / 2 / HOP_S)
    first = low + int(before[-1]) + 1 if len(before) else low
    last = peak + int(after[0]) if len(after) else high
    return min(first + early, peak), last


def _joined(spans: list[Span], gap: float) -> list[Span]:
    joined: list[Span] = []
    for span in spans:
        if joined and span[0] - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], span[1])
        else:
            joined.append(span)
    return joined
