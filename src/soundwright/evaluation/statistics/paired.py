"""Paired differences over shared prompts, with bootstrap intervals over clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.intervals import (
    DRAWS,
    LEVEL,
    Interval,
    Vector,
    draw_counts,
    interval_of,
    read_vector,
)


@dataclass(frozen=True)
class Pairs:
    """Two systems' values of one metric on the prompts that both have."""

    prompts: tuple[str, ...]
    """[N], sorted."""
    new: Vector
    """[N]"""
    old: Vector
    """[N]"""
    only_old: tuple[str, ...]
    """Prompts that the new system lacks; they are in no comparison."""

    @property
    def differences(self) -> Vector:
        """[N], new less old."""
        return self.new - self.old


def pair_up(
    new: Mapping[str, float | Sequence[float]], old: Mapping[str, float | Sequence[float]]
) -> Pairs:
    """Bring two systems' values together by prompt.

    Args:
        new: A number, or the numbers of several sounds, for each prompt. Several become their
            mean: sounds of one prompt are no independent evidence.
        old: The same for the system that it is compared with.

    Raises:
        UserError: No prompt is shared.
    """
    prompts = tuple(sorted(new.keys() & old.keys()))
    if not prompts:
        raise UserError(
            f"The two systems share no prompt ({len(new)} and {len(old)} prompts).",
            expected="sounds of the same prompts from both",
            change="Let both systems make sounds of one list of prompts.",
        )
    return Pairs(
        prompts=prompts,
        new=np.array([np.mean(new[prompt]) for prompt in prompts], np.float64),
        old=np.array([np.mean(old[prompt]) for prompt in prompts], np.float64),
        only_old=tuple(sorted(old.keys() - new.keys())),
    )


def paired_difference(
    new: ArrayLike,
    old: ArrayLike,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Mean of new less old over the same prompts; expanded percentile bootstrap over prompts.

    Args:
        new: [N], one number a prompt.
        old: [N], of the same prompts in the same order.
        draws: Bootstrap replicates.
        level: Nominal coverage.
        seed: Of the stream from which prompts are drawn.

    Raises:
        UserError: Other shapes, fewer than two prompts, numbers that are not finite.
    """
    first, second = read_vector(new, "The new values"), read_vector(old, "The old values")
    if len(first) != len(second):
        raise UserError(
            f"{len(first)} new and {len(second)} old values cannot be paired.",
            expected="one number a prompt for the same prompts",
            change="Leave out what only one system has.",
        )
    return mean_interval(first - second, draws=draws, level=level, seed=seed)


def mean_interval(
    values: ArrayLike, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> Interval:
    """The mean over clips; expanded percentile bootstrap.

    Args:
        values: [N], one number a clip.
        draws: Bootstrap replicates.
        level: Nominal coverage.
        seed: Of the stream from which clips are drawn.

    Raises:
        UserError: Another shape, fewer than two clips, numbers that are not finite.
    """
    vector = read_vector(values, "The values")
    random = numpy_stream(seed, "bootstrap", "clips")
    blocks = [counts @ vector for counts in draw_counts(random, len(vector), draws)]
    means = np.concatenate(blocks) / len(vector)
    return interval_of(means, float(vector.mean()), len(vector), method="expanded", level=level)
