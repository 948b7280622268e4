"""Intersection-based PSDS of a judge on true scenes, where sed_scores_eval is installed."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from soundwright.core.records import Event
from soundwright.evaluation.scenes.events import join_spans, spans_of

LIBRARY = "sed_scores_eval"
NEWEST_PANDAS = 3
"""From this version on pandas hands out read-only arrays, which the library (0.0.4) cannot take."""
DETECTION = GROUND_TRUTH = 0.7
"""Share of a detection within the truth, and of the truth within detections: PSDS 1 of DCASE."""
MOST_FALSE_PER_HOUR = 100.0


@runtime_checkable
class Graded(Protocol):
    """A judge that tells how sure it is, frame by frame."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What it can tell apart."""
        ...

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        ...

    def probabilities(self, waveform: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
        """Activity, and onsets, [L, F] each."""
        ...


def why_unavailable() -> str:
    """Why PSDS cannot be computed; empty where it can."""
    if importlib.util.find_spec(LIBRARY) is None:
        return f"{LIBRARY} is not installed"
    if int(version("pandas").split(".")[0]) >= NEWEST_PANDAS:
        return f"{LIBRARY} fails with pandas {NEWEST_PANDAS}: install an older one"
    return ""


def psds(
    true: Mapping[str, Sequence[Event]],
    activities: Mapping[str, Tensor],
    labels: Sequence[str],
    frame_rate: float,
    duration: float,
) -> float:
    """Polyphonic sound detection score, 0 to 1 (Bilen et al., 2020), over all thresholds.

    Args:
        true: The events of every clip.
        activities: [L, F] of every clip.
        labels: Names of the L rows; those that are in no clip are left out.
        frame_rate: Frames a second.
        duration: Seconds of every clip.
    """
    intersection: Any = importlib.import_module(f"{LIBRARY}.intersection_based")
    tables: Any = importlib.import_module(f"{LIBRARY}.base_modules.scores")
    used = sorted({event.label for events in true.values() for event in events} & set(labels))
    rows = [list(labels).index(label) for label in used]
    scores = {}
    # A frame that would begin at the end, or behind it, has no length.
    frames = math.ceil(round(duration * frame_rate, 6))
    for clip, activity in activities.items():
        kept = activity[rows, :frames].T.numpy()
        edges = [round(min(frame / frame_rate, duration), 6) for frame in range(len(kept) + 1)]
        scores[clip] = tables.create_score_dataframe(kept, edges, used)
    truth = {
        clip: [
            (start, end, label)
            for label in used
            for start, end in join_spans(spans_of(events, label))
        ]
        for clip, events in true.items()
    }
    value, *_ = intersection.psds(
        scores=scores,
        ground_truth=truth,
        audio_durations=dict.fromkeys(true, duration),
        dtc_threshold=DETECTION,
        gtc_threshold=GROUND_TRUTH,
        cttc_threshold=None,
        alpha_ct=0.0,
        alpha_st=1.0,
        unit_of_time="hour",
        max_efpr=MOST_FALSE_PER_HOUR,
    )
    return float(value)
