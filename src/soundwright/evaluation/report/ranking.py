"""The order in which single sounds are worth hearing: worst first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from soundwright.evaluation.results import Results


@dataclass(frozen=True)
class RankedClip:
    """One generated sound."""

    name: str
    prompt: str
    group: str
    references: tuple[str, ...]
    values: Mapping[str, float]
    deltas: Mapping[str, float]
    """Less the mean of the baseline's sounds of the same prompt."""


def rank_clips(results: Results, baseline: Results | None) -> list[RankedClip]:
    """The sounds, worst first by the first metric that gives single sounds a number.

    With a baseline the difference counts, and sounds that have none come last.
    """
    old = _means_by_group(baseline) if baseline is not None else {}
    clips = [
        RankedClip(
            name=row.name,
            prompt=row.prompt,
            group=row.group,
            references=row.references,
            values=row.values,
            deltas={
                metric: value - old[row.group][metric]
                for metric, value in row.values.items()
                if metric in old.get(row.group, {})
            },
        )
        for row in results.clips
    ]
    metrics = clip_metrics(results)
    if not metrics:
        return clips
    first = metrics[0]
    sign = -1 if better_of(results, first) == "lower" else 1

    def badness(clip: RankedClip) -> tuple[float, str]:
        numbers = clip.values if baseline is None else clip.deltas
        return sign * numbers[first] if first in numbers else np.inf, clip.name

    return sorted(clips, key=badness)


def clip_metrics(results: Results) -> list[str]:
    """The metrics that give single sounds numbers, in the order of the report."""
    there = {metric for row in results.clips for metric in row.values}
    return [score.metric for score in results.scores if score.metric in there]


def better_of(results: Results, metric: str) -> str:
    """Which way a metric is better."""
    return next(score.better for score in results.scores if score.metric == metric)


def _means_by_group(results: Results) -> dict[str, dict[str, float]]:
    numbers: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in results.clips:
        for metric, value in row.values.items():
            numbers[row.group][metric].append(value)
    return {
        group: {metric: float(np.mean(values)) for metric, values in by_metric.items()}
        for group, by_metric in numbers.items()
    }
