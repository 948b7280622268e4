"""Training seeds as a level: is it the method, or this one run of it?

A score of a trained model varies with the prompts and with the training seed, and every seed is
asked the same prompts. Both are drawn from more: the claim is about the method on prompts like
these, not about these runs on these prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.intervals import (
    DRAWS,
    LEVEL,
    Interval,
    Matrix,
    Vector,
    draw_counts,
    interval_of,
    read_vector,
    refuse_unfinite,
    t_interval,
)
from soundwright.evaluation.statistics.paired import mean_interval


@dataclass(frozen=True)
class SeededDifference:
    """New less old, averaged over training seeds and prompts, with three intervals.

    `crossed` is the one to report. `hierarchical` is shown beside it, since others report it: with
    few seeds it is too narrow, for 3 seeds drawn again vary by a third less than seeds do.
    `prompts_only` says how much is owed to prompts alone; it holds for these runs and no others.
    """

    estimate: float
    crossed: Interval
    """Of two crossed random effects, by a t distribution."""
    hierarchical: Interval
    """Percentile bootstrap of seeds and prompts."""
    prompts_only: Interval
    """Percentile bootstrap of prompts, seeds fixed."""
    new_seeds: tuple[float, ...]
    """Mean over prompts of each seed."""
    old_seeds: tuple[float, ...]


def seeded_difference(
    new: ArrayLike,
    old: ArrayLike,
    *,
    paired_seeds: bool,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> SeededDifference:
    """Compare two methods, each trained with several seeds, on shared prompts.

    The variance of the mean difference over S seeds and N prompts is estimated as
    V_seeds + V_prompts - V_both, the mean squares of rows, columns and residuals of a crossed
    layout without replication, each over S N; degrees of freedom are Satterthwaite's.

    Args:
        new: [S, N], a row a training seed, a column a prompt.
        old: [S', N], the other method on the same prompts.
        paired_seeds: Row i of both began from the same weights and saw the same batches, so that
            rows are compared one by one. S and S' are then equal.
        draws: Bootstrap replicates.
        level: Nominal coverage.
        seed: Of the streams.

    Raises:
        UserError: Fewer than two seeds or prompts, shapes that do not fit, numbers not finite.
    """
    first, second = read_table(new, "new"), read_table(old, "old")
    if first.shape[1] != second.shape[1] or (paired_seeds and len(first) != len(second)):
        raise UserError(
            f"Tables of {list(first.shape)} and {list(second.shape)} seeds x prompts do not pair.",
            expected="the same prompts" + (" and the same seeds" if paired_seeds else ""),
            change="Leave out what only one method has.",
        )
    arms = [first - second] if paired_seeds else [first, -second]
    by_prompt = np.sum([arm.mean(axis=0) for arm in arms], axis=0)
    estimate = float(by_prompt.mean())
    return SeededDifference(
        estimate=estimate,
        crossed=cross(arms, by_prompt, level),
        hierarchical=interval_of(
            draw_both(arms, draws, seed), estimate, min(len(arm) for arm in arms), level=level
        ),
        prompts_only=mean_interval(by_prompt, draws=draws, level=level, seed=seed),
        new_seeds=tuple(float(value) for value in first.mean(axis=1)),
        old_seeds=tuple(float(value) for value in second.mean(axis=1)),
    )


def seed_interval(
    new: ArrayLike, old: ArrayLike, *, paired_seeds: bool, level: float = LEVEL
) -> Interval:
    """Interval (t) of a difference of which there is one number a training seed, as of a distance.

    Args:
        new: [S], one number a seed.
        old: [S'], the other method.
        paired_seeds: As in `seeded_difference`; otherwise the interval is Welch's.
        level: Nominal coverage.

    Raises:
        UserError: Fewer than two seeds, or as many in both if they are paired.
    """
    first = read_vector(new, "The new seeds' values")
    second = read_vector(old, "The old seeds' values")
    if paired_seeds and len(first) != len(second):
        raise UserError(
            f"{len(first)} and {len(second)} seeds cannot be paired.",
            expected="the same seeds for both methods",
            change="Leave out what only one has, or compare the seeds unpaired.",
        )
    arms = [first - second] if paired_seeds else [first, -second]
    parts = [(float(arm.var(ddof=1)) / len(arm), len(arm) - 1) for arm in arms]
    return t_interval(
        float(sum(arm.mean() for arm in arms)), parts, min(len(arm) for arm in arms), level
    )


def cross(arms: list[Matrix], by_prompt: Vector, level: float) -> Interval:
    """The crossed interval. `arms` add up to the difference; `by_prompt` [N] is its mean."""
    prompts = len(by_prompt)
    parts = [(float(by_prompt.var(ddof=1)) / prompts, prompts - 1)]
    both = 0.0
    for arm in arms:
        seeds = len(arm)
        rows = arm.mean(axis=1, keepdims=True)
        rest = arm - rows - arm.mean(axis=0) + arm.mean()
        parts.append((float(rows.var(ddof=1)) / seeds, seeds - 1))
        both += float((rest**2).sum()) / ((seeds - 1) * (prompts - 1) * seeds * prompts)
    return t_interval(
        float(by_prompt.mean()), parts, min(len(arm) for arm in arms), level, counted_twice=both
    )


def draw_both(arms: list[Matrix], draws: int, seed: int) -> Vector:
    """[draws], the difference on seeds and prompts drawn again."""
    random = numpy_stream(seed, "bootstrap", "seeds and prompts")
    prompts = arms[0].shape[1]
    blocks = []
    for columns in draw_counts(random, prompts, draws):
        replicate = np.zeros(len(columns))
        for arm in arms:
            rows = np.concatenate([*draw_counts(random, len(arm), len(columns))])
            replicate += ((rows @ arm) * columns).sum(axis=1) / (len(arm) * prompts)
        blocks.append(replicate)
    return np.concatenate(blocks)


def read_table(values: ArrayLike, name: str) -> Matrix:
    """[S, N] float64 of at least two seeds and two prompts, all finite.

    Raises:
        UserError: Another shape, too few, or numbers that are not finite.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise UserError(
            f"The {name} values have shape {list(table.shape)}.",
            expected="a row for each of at least two training seeds, a column a prompt",
            change="Train with a second seed: one run says nothing about others.",
        )
    refuse_unfinite(table, f"The {name} values")
    return table
