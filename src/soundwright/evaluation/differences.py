"""The paired difference of one metric between two systems, over the prompts that they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundwright.core.protocols import Encoded
from soundwright.evaluation.baseline import recall_embeddings
from soundwright.evaluation.distances.extrapolation import extrapolate_frechet
from soundwright.evaluation.distances.inception import (
    InceptionConvention,
    clip_probabilities,
    deal_splits,
)
from soundwright.evaluation.distances.kernel import SCALE, median_distance
from soundwright.evaluation.distances.moments import accumulate_moments
from soundwright.evaluation.evaluating import Evaluation
from soundwright.evaluation.metrics import Metric
from soundwright.evaluation.results import ClipRow, Results
from soundwright.evaluation.set_scores import gaussian, inception_convention
from soundwright.evaluation.sides import Rows
from soundwright.evaluation.statistics.frechet_bootstrap import frechet_difference
from soundwright.evaluation.statistics.frechet_influence import extrapolated_difference
from soundwright.evaluation.statistics.frechet_permutation import frechet_swap_test
from soundwright.evaluation.statistics.inception_jackknife import (
    inception_difference,
    inception_swap_test,
)
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
        UserError: Embeddings are gone, or prompts too few for the metric.
    """
    if metric.facts.per_sound:
        return _compare_clips(metric.name, evaluation.results.clips, baseline.clips)
    systems = _both_systems(metric, evaluation, baseline, folder)
    match metric.kind:
        case "fd":
            return _compare_fd(systems)
        case "fd-inf":
            return _compare_fd_inf(systems)
        case "kad":
            return _compare_kad(systems)
        case _:
            return _compare_is(systems, inception_convention(metric.convention))


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
    """What an encoder makes of both systems over shared prompts, and of the reference."""

    new: dict[str, list[Encoded]]
    """By prompt, each sound that has a window."""
    old: dict[str, list[Encoded]]
    reference: list[Encoded]
    lacking: int
    """Prompts that the new system lacks."""


def _both_systems(
    metric: Metric, evaluation: Evaluation, baseline: Results, folder: Path
) -> _Systems:
    ear, encoder = evaluation.ear, metric.encoder
    reference = list(evaluation.sides.reference)
    old_keys = {row.pcm_hash for row in baseline.clips}
    new_keys = {row.pcm_hash for row in evaluation.results.clips}
    here = ear.recall(encoder, {*reference, *new_keys})
    there = recall_embeddings(folder, evaluation, encoder, old_keys)
    new = _sounds_by_group(evaluation.results.clips, here)
    old = _sounds_by_group(baseline.clips, there)
    shared = sorted(new.keys() & old.keys())
    return _Systems(
        {group: new[group] for group in shared},
        {group: old[group] for group in shared},
        [here[key] for key in reference if len(here[key].embeddings)],
        len(old.keys() - new.keys()),
    )


def _sounds_by_group(
    rows: Sequence[ClipRow], encoded: Mapping[str, Encoded]
) -> dict[str, list[Encoded]]:
    found: defaultdict[str, list[Encoded]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.pcm_hash, row.name)):
        if len(encoded[row.pcm_hash].embeddings):
            found[row.group].append(encoded[row.pcm_hash])
    return dict(found)


def _compare_fd(systems: _Systems) -> Difference:
    moments = accumulate_moments(map(_rows, systems.reference))
    given = (*_flatten(systems.new), *_flatten(systems.old), moments.mean, moments.covariance)
    return Difference(
        interval=cache(lambda level: frechet_difference(*given, draws=DRAWS, level=level)),
        p=frechet_swap_test(*given, permutations=PERMUTATIONS),
        prompts=len(systems.new),
        lacking=systems.lacking,
    )


def _compare_fd_inf(systems: _Systems) -> Difference:
    reference = [_rows(sound) for sound in systems.reference]
    moments = accumulate_moments(reference)
    new, old = (
        extrapolate_frechet(reference, [_rows(sound) for clips in side.values() for sound in clips])
        for side in (systems.new, systems.old)
    )
    both = (*_flatten(systems.new), *_flatten(systems.old))
    gap = new.value - old.value
    # Whether sounds can be exchanged does not depend on the estimator; the plug-in one is cheaper.
    p = frechet_swap_test(*both, moments.mean, moments.covariance, permutations=PERMUTATIONS)
    return Difference(
        interval=cache(lambda level: extrapolated_difference(gap, *both, reference, level=level)),
        p=p,
        prompts=len(systems.new),
        lacking=systems.lacking,
    )


def _flatten(groups: Mapping[str, Sequence[Encoded]]) -> tuple[Rows, list[str]]:
    """All windows [W, D], and the prompt of each."""
    rows = [(group, _rows(sound)) for group, sounds in groups.items() for sound in sounds]
    prompts = [group for group, windows in rows for _ in windows]
    return np.concatenate([windows for _, windows in rows]), prompts


def _rows(sound: Encoded) -> Rows:
    return sound.embeddings.double().numpy()


def _compare_is(systems: _Systems, convention: InceptionConvention) -> Difference:
    new, old = (_judge(side, convention) for side in (systems.new, systems.old))
    return Difference(
        interval=cache(lambda level: inception_difference(*new, *old, level=level)),
        p=inception_swap_test(*new, *old),
        prompts=len(systems.new),
        lacking=systems.lacking,
    )


def _judge(
    groups: Mapping[str, Sequence[Encoded]], convention: InceptionConvention
) -> tuple[Rows, list[str], NDArray[np.intp]]:
    """Class probabilities [N, L] of all sounds, and the prompt and the split of each."""
    sounds = [(group, sound) for group, clips in groups.items() for sound in clips]
    logits = [sound.logits.double().numpy() for _, sound in sounds if sound.logits is not None]
    prompts = [group for group, _ in sounds]
    return clip_probabilities(logits), prompts, deal_splits(len(prompts), convention)


def _compare_kad(systems: _Systems) -> Difference:
    reference = _stack(systems.reference)
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


def _vectors(groups: Mapping[str, Sequence[Encoded]]) -> tuple[Rows, Rows]:
    """Sounds [N, D], and a matrix [P, N] that takes the mean over each prompt's sounds."""
    counts = [len(clips) for clips in groups.values()]
    vectors = _stack([sound for clips in groups.values() for sound in clips])
    owner = np.repeat(np.arange(len(counts)), counts)
    return vectors, (owner == np.arange(len(counts))[:, None]) / np.array(counts)[:, None]


def _stack(sounds: Sequence[Encoded]) -> Rows:
    return np.stack([sound.vector.double().numpy() for sound in sounds])


def _mean_by(left: Rows, kernel: Rows, right: Rows) -> Rows:
    return left @ kernel @ right.T
