"""The paired difference of one metric between two systems, over the prompts that they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from soundwright.core.errors import UserError
from soundwright.core.protocols import Encoded
from soundwright.evaluation.baseline import recall_embeddings
from soundwright.evaluation.distances.kernel import SCALE, median_distance
from soundwright.evaluation.distances.moments import accumulate_moments
from soundwright.evaluation.evaluating import Evaluation
from soundwright.evaluation.metrics import Metric
from soundwright.evaluation.results import ClipRow, Results
from soundwright.evaluation.set_scores import gaussian
from soundwright.evaluation.sides import Rows
from soundwright.evaluation.statistics.frechet_bootstrap import frechet_difference
from soundwright.evaluation.statistics.frechet_permutation import frechet_swap_test
from soundwright.evaluation.statistics.intervals import Interval
from soundwright.evaluation.statistics.kernel_bootstrap import kernel_difference
from soundwright.evaluation.statistics.paired import pair_up, paired_difference
from soundwright.evaluation.statistics.permutation import kernel_scores, sign_flip_test

DRAWS = 400
PERMUTATIONS = 199
"""Of Fréchet distances, where each costs two eigenvalue problems: enough for p = 0.005."""


@dataclass(frozen=True)
class Difference:
    """This system less the baseline."""

    interval: Callable[[float], Interval]
    """At a level."""
    p: float
    """Of a permutation test within prompts."""
    prompts: int
    lacking: int
    """Prompts of the baseline of which this system has no sound."""


def compare(metric: Metric, evaluation: Evaluation, baseline: Results, folder: Path) -> Difference:
    """Compare two systems by a metric.

    Args:
        metric: One that both results have.
        evaluation: This system.
        baseline: The other's results.
        folder: Where they lie.

    Raises:
        UserError: The metric cannot be compared pairwise, embeddings are gone, or prompts too few.
    """
    if metric.facts.pairs:
        return _compare_clips(metric.name, evaluation.results.clips, baseline.clips)
    if metric.kind not in ("fd", "kad"):
        raise UserError(
            f"{metric.name} has neither numbers of single sounds nor a paired interval.",
            change="Compare kad, fd, kl, match or accuracy.",
        )
    systems = _both_systems(metric, evaluation, baseline, folder)
    return (_compare_fd if metric.kind == "fd" else _compare_kad)(systems)


def _compare_clips(name: str, ours: Sequence[ClipRow], theirs: Sequence[ClipRow]) -> Difference:
    pairs = pair_up(_by_group(name, ours), _by_group(name, theirs))
    return Difference(
        interval=lambda level: paired_difference(pairs.new, pairs.old, level=level),
        p=sign_flip_test(pairs.differences),
        prompts=len(pairs.prompts),
        lacking=len(pairs.only_old),
    )


def _by_group(name: str, rows: Sequence[ClipRow]) -> dict[str, list[float]]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        if name in row.values:
            found[row.group].append(row.values[name])
    return dict(found)


class _Systems(NamedTuple):
    """Embeddings of both systems over shared prompts, and of the reference."""

    new: dict[str, list[Rows]]
    """By prompt, [W, D] of each sound."""
    old: dict[str, list[Rows]]
    reference: list[Rows]
    lacking: int


def _both_systems(
    metric: Metric, evaluation: Evaluation, baseline: Results, folder: Path
) -> _Systems:
    ear, encoder = evaluation.ear, metric.encoder
    reference = list(evaluation.sides.reference)
    old_keys = {row.pcm_hash for row in baseline.clips}
    new_keys = {row.pcm_hash for row in evaluation.results.clips}
    here = ear.recall(encoder, {*reference, *new_keys})
    there = recall_embeddings(folder, evaluation, encoder, old_keys)
    new = _rows_by_group(evaluation.results.clips, here)
    old = _rows_by_group(baseline.clips, there)
    shared = sorted(new.keys() & old.keys())
    rows = [here[key].embeddings.double().numpy() for key in reference]
    return _Systems(
        {group: new[group] for group in shared},
        {group: old[group] for group in shared},
        [windows for windows in rows if len(windows)],
        len(old.keys() - new.keys()),
    )


def _rows_by_group(
    rows: Sequence[ClipRow], encoded: Mapping[str, Encoded]
) -> dict[str, list[Rows]]:
    found: defaultdict[str, list[Rows]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.pcm_hash, row.name)):
        windows = encoded[row.pcm_hash].embeddings.double().numpy()
        if len(windows):
            found[row.group].append(windows)
    return dict(found)


def _compare_fd(systems: _Systems) -> Difference:
    moments = accumulate_moments(systems.reference)
    new, new_prompts = _flatten(systems.new)
    old, old_prompts = _flatten(systems.old)
    given = (new, new_prompts, old, old_prompts, moments.mean, moments.covariance)
    return Difference(
        interval=cache(lambda level: frechet_difference(*given, draws=DRAWS, level=level)),
        p=frechet_swap_test(*given, permutations=PERMUTATIONS),
        prompts=len(systems.new),
        lacking=systems.lacking,
    )


def _flatten(groups: Mapping[str, Sequence[Rows]]) -> tuple[Rows, list[str]]:
    """All windows [W, D], and the prompt of each."""
    prompts = [group for group, clips in groups.items() for rows in clips for _ in rows]
    return np.concatenate([rows for clips in groups.values() for rows in clips]), prompts


def _compare_kad(systems: _Systems) -> Difference:
    reference = np.stack([rows.mean(0) for rows in systems.reference])
    bandwidth = median_distance(reference)
    new, new_places = _vectors(systems.new)
    old, old_places = _vectors(systems.old)
    kernels = [
        SCALE * _mean_by(left_places, gaussian(left, right, bandwidth), right_places)
        for left, left_places, right, right_places in (
            (new, new_places, new, new_places),
            (old, old_places, old, old_places),
            (new, new_places, old, old_places),
        )
    ]
    to_reference = [
        SCALE * places @ gaussian(vectors, reference, bandwidth).mean(1)
        for vectors, places in ((new, new_places), (old, old_places))
    ]
    return Difference(
        interval=lambda level: kernel_difference(*kernels[:2], *to_reference, level=level),
        p=sign_flip_test(kernel_scores(*kernels, *to_reference)),
        prompts=len(systems.new),
        lacking=systems.lacking,
    )


def _vectors(groups: Mapping[str, Sequence[Rows]]) -> tuple[Rows, Rows]:
    """Sounds [N, D], and a matrix [P, N] that takes the mean over each prompt's sounds."""
    counts = [len(clips) for clips in groups.values()]
    vectors = np.stack([rows.mean(0) for clips in groups.values() for rows in clips])
    owner = np.repeat(np.arange(len(counts)), counts)
    return vectors, (owner == np.arange(len(counts))[:, None]) / np.array(counts)[:, None]


def _mean_by(left: Rows, kernel: Rows, right: Rows) -> Rows:
    return left @ kernel @ right.T
