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
from soundwright.evaluation.cache import Recalled
from soundwright.evaluation.distances.extrapolation import extrapolate_frechet
from soundwright.evaluation.distances.inception import (
    InceptionConvention,
    clip_probabilities,
    deal_splits,
)
from soundwright.evaluation.distances.kernel import SCALE, mean_kernels, median_distance
from soundwright.evaluation.distances.moments import accumulate_moments
from soundwright.evaluation.evaluating import Evaluation
from soundwright.evaluation.metrics import Metric
from soundwright.evaluation.results import ClipRow, Results
from soundwright.evaluation.set_scores import inception_convention
from soundwright.evaluation.sides import Rows, Windows, stack_vectors
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


class _System(NamedTuple):
    """What an encoder makes of one system's sounds."""

    encoded: Mapping[str, Encoded]
    groups: dict[str, list[str]]
    """By prompt, the keys of the sounds that have a window."""

    @property
    def keys(self) -> list[str]:
        """Of all sounds, prompt by prompt."""
        return [key for keys in self.groups.values() for key in keys]

    @property
    def prompts(self) -> list[str]:
        """That of each sound."""
        return [group for group, keys in self.groups.items() for _ in keys]

    @property
    def windows(self) -> Windows:
        """[W, D] of each sound."""
        return Windows(self.encoded, self.keys)


class _Systems(NamedTuple):
    """Both systems over shared prompts, and the reference."""

    new: _System
    old: _System
    reference: _System
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
        _System(here, {group: new[group] for group in shared}),
        _System(there, {group: old[group] for group in shared}),
        _System(here, {"": [key for key in reference if here.has_windows(key)]}),
        len(old.keys() - new.keys()),
    )


def _sounds_by_group(rows: Sequence[ClipRow], encoded: Recalled) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.pcm_hash, row.name)):
        if encoded.has_windows(row.pcm_hash):
            found[row.group].append(row.pcm_hash)
    return dict(found)


def _compare_fd(systems: _Systems) -> Difference:
    moments = accumulate_moments(systems.reference.windows)
    given = (*_flatten(systems.new), *_flatten(systems.old), moments.mean, moments.covariance)
    return Difference(
        interval=cache(lambda level: frechet_difference(*given, draws=DRAWS, level=level)),
        p=frechet_swap_test(*given, permutations=PERMUTATIONS),
        prompts=len(systems.new.groups),
        lacking=systems.lacking,
    )


def _compare_fd_inf(systems: _Systems) -> Difference:
    reference = systems.reference.windows
    moments = accumulate_moments(reference)
    new, old = (extrapolate_frechet(reference, side.windows) for side in (systems.new, systems.old))
    both = (*_flatten(systems.new), *_flatten(systems.old))
    gap = new.value - old.value
    # Whether sounds can be exchanged does not depend on the estimator; the plug-in one is cheaper.
    p = frechet_swap_test(*both, moments.mean, moments.covariance, permutations=PERMUTATIONS)
    return Difference(
        interval=cache(lambda level: extrapolated_difference(gap, *both, reference, level=level)),
        p=p,
        prompts=len(systems.new.groups),
        lacking=systems.lacking,
    )


def _flatten(system: _System) -> tuple[Rows, list[str]]:
    """All windows [W, D], and the prompt of each."""
    windows = system.windows
    counts = windows.counts()
    prompts = [
        prompt for prompt, count in zip(system.prompts, counts, strict=True) for _ in range(count)
    ]
    return windows.stack(), prompts


def _compare_is(systems: _Systems, convention: InceptionConvention) -> Difference:
    new, old = (_judge(side, convention) for side in (systems.new, systems.old))
    return Difference(
        interval=cache(lambda level: inception_difference(*new, *old, level=level)),
        p=inception_swap_test(*new, *old),
        prompts=len(systems.new.groups),
        lacking=systems.lacking,
    )


def _judge(
    system: _System, convention: InceptionConvention
) -> tuple[Rows, list[str], NDArray[np.intp]]:
    """Class probabilities [N, L] of all sounds, and the prompt and the split of each."""
    found = [system.encoded[key].logits for key in system.keys]
    logits = [windows.double().numpy() for windows in found if windows is not None]
    return clip_probabilities(logits), system.prompts, deal_splits(len(found), convention)


def _compare_kad(systems: _Systems) -> Difference:
    reference, new, old = (
        stack_vectors(side.encoded, side.keys)
        for side in (systems.reference, systems.new, systems.old)
    )
    gamma = 1 / (2 * median_distance(reference) ** 2)
    counts = [[len(keys) for keys in side.groups.values()] for side in (systems.new, systems.old)]
    kernels = [
        SCALE * mean_kernels(left, counts[first], right, counts[second], gamma)
        for left, first, right, second in ((new, 0, new, 0), (old, 1, old, 1), (new, 0, old, 1))
    ]
    to_reference = [
        SCALE * mean_kernels(vectors, own, reference, [len(reference)], gamma)[:, 0]
        for vectors, own in ((new, counts[0]), (old, counts[1]))
    ]
    return Difference(
        interval=lambda level: kernel_difference(*kernels[:2], *to_reference, level=level),
        p=sign_flip_test(kernel_scores(*kernels, *to_reference)),
        prompts=len(systems.new.groups),
        lacking=systems.lacking,
    )
