"""Which system do raters prefer? Shares of votes, Bradley-Terry and Davidson's model of ties."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import softmax

from soundwright.core.errors import UserError, nearest
from soundwright.evaluation.statistics.intervals import (
    DRAWS,
    LEVEL,
    Interval,
    Matrix,
    Vector,
    interval_of,
)
from soundwright.evaluation.statistics.proportions import binomial_test, wilson
from soundwright.evaluation.statistics.votes import Votes

Array = NDArray[np.float64]

STEPS = 200
LONGEST_STEP = 2.0
"""Of Newton's method, in any strength."""
TOLERANCE = 1e-12
RIDGE = 1e-9
"""Keeps strengths finite (and beyond 10) in a bootstrap sample where a system has never lost."""


class Davidson(NamedTuple):
    """Davidson's model (1970): a tie between i and j has odds nu sqrt(p_i p_j)."""

    strengths: Vector
    """[S], log of p, of mean zero."""
    tie: float
    """nu: 0 where raters never tie; between equals, nu / (2 + nu) of the votes are ties."""


class SideBias(NamedTuple):
    """Do raters like one side?"""

    left: Interval
    """Share of decided votes for the left; Wilson's."""
    p: float
    """Two-sided, exact, against one half."""


def preference_share(
    votes: Votes, system: str, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Share of the votes that a system gets, ties half; bootstrap over raters and prompts.

    Args:
        votes: All votes; those without the system do not count.
        system: Its name.
        draws: Bootstrap replicates.
        level: Nominal coverage.
        seed: Of the stream from which raters and prompts are drawn.

    Raises:
        UserError: There is no such system.
    """
    if system not in votes.systems:
        raise UserError(f"No vote about {system!r}.", expected=nearest(system, votes.systems))
    first, second = (np.asarray(side) == system for side in (votes.first, votes.second))
    outcomes = np.asarray(votes.outcomes, np.float64)
    gained = first * outcomes + second * (1 - outcomes)
    present = (first | second).astype(np.float64)
    blocks = []
    for weights in votes.redraw(draws, seed):
        totals = weights @ present
        blocks.append((weights @ gained)[totals > 0] / totals[totals > 0])
    estimate = float(gained.sum() / present.sum())
    return interval_of(np.concatenate(blocks), estimate, count_units(votes), level=level)


def strength_intervals(
    votes: Votes, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval]:
    """Bradley-Terry strength of every system; bootstrap over raters and prompts.

    Args:
        votes: All votes; ties count half a win for both.
        draws: Bootstrap replicates.
        level: Nominal coverage.
        seed: Of the stream from which raters and prompts are drawn.

    Raises:
        UserError: As `bradley_terry`.
    """
    wins, ties = votes.tally()
    estimates = bradley_terry(wins, ties)
    replicates = np.concatenate(
        [fit_wins(won + tied / 2) for won, tied in map(votes.tally, votes.redraw(draws, seed))]
    )
    return {
        name: interval_of(column, float(estimate), count_units(votes), level=level)
        for name, column, estimate in zip(votes.systems, replicates.T, estimates, strict=True)
    }


def count_units(votes: Votes) -> int:
    """The lesser of the numbers of raters and of prompts: what an interval rests on."""
    return min(len(set(votes.raters)), len(set(votes.prompts)))


def bradley_terry(wins: ArrayLike, ties: ArrayLike | None = None) -> Vector:
    """Log strengths, of mean zero: i is preferred to j with log-odds s_i - s_j.

    Args:
        wins: [S, S], how often the row was preferred to the column.
        ties: [S, S], symmetric; each counts half a win for both.

    Raises:
        UserError: A group of systems was never preferred to the others, or never met them, so that
            no finite strengths are likeliest.
    """
    table = np.asarray(wins, np.float64)
    if ties is not None:
        table = table + np.asarray(ties, np.float64) / 2
    refuse_separated(table)
    return fit_wins(table)


def davidson(wins: ArrayLike, ties: ArrayLike) -> Davidson:
    """Strengths and a tendency to tie, of greatest likelihood.

    Args:
        wins: [S, S], how often the row was preferred to the column.
        ties: [S, S], symmetric, zero on the diagonal.

    Raises:
        UserError: As `bradley_terry`.
    """
    won, tied = np.asarray(wins, np.float64), np.asarray(ties, np.float64)
    refuse_separated(won + tied / 2)
    if not tied.any():
        return Davidson(fit_wins(won), 0.0)
    if not won.any():
        raise UserError(
            "All votes are ties: there is no tendency to tie to estimate.",
            expected="some votes for one of two systems",
            change="Report the share of ties.",
        )
    systems = len(won)
    low, high = np.triu_indices(systems, 1)
    pairs = np.arange(len(low))
    features = np.zeros((len(low), 3, systems + 1))
    features[pairs, 0, low] = 1
    features[pairs, 1, high] = 1
    features[pairs, 2, low] = features[pairs, 2, high] = 0.5
    features[:, 2, systems] = 1
    counts = np.stack([won[low, high], won[high, low], tied[low, high]], axis=1)
    fitted = fit_choices(features, counts)
    strengths = fitted[:systems]
    return Davidson(strengths - strengths.mean(), float(np.exp(fitted[systems])))


def fit_wins(wins: Array) -> Array:
    """Log strengths [..., S] of mean zero from wins [..., S, S], ties already shared out."""
    systems = wins.shape[-1]
    low, high = np.triu_indices(systems, 1)
    pairs = np.arange(len(low))
    features = np.zeros((len(low), 2, systems))
    features[pairs, 0, low] = 1
    features[pairs, 1, high] = 1
    counts = np.stack([wins[..., low, high], wins[..., high, low]], axis=-1)
    strengths = fit_choices(features, counts)
    return strengths - strengths.mean(axis=-1, keepdims=True)


def fit_choices(features: Array, counts: Array) -> Array:
    """Newton's method for a multinomial logit, whose likelihood is concave.

    Args:
        features: [M, O, P], of each outcome of each pair; its odds are exp(features @ result).
        counts: [..., M, O], how often each outcome came.

    Returns:
        [..., P]
    """
    totals = counts.sum(axis=-1, keepdims=True)
    ridge = RIDGE * counts.sum(axis=(-2, -1))[..., None]
    result = np.zeros((*counts.shape[:-2], features.shape[-1]))
    outer = features[..., :, None] * features[..., None, :]
    for _ in range(STEPS):
        chances = softmax(np.tensordot(result, features, (-1, -1)), axis=-1)
        gradient = np.tensordot(counts - totals * chances, features, 2) - ridge * result
        means = np.einsum("...mo,mop->...mp", chances, features)
        curvature = np.tensordot(totals * chances, outer, 2)
        curvature -= np.einsum("...mp,...mq->...pq", totals * means, means)
        curvature += ridge[..., None] * np.eye(features.shape[-1])
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        longest = np.abs(step).max(axis=-1, keepdims=True)
        result = result + step * np.minimum(1, LONGEST_STEP / np.maximum(longest, TOLERANCE))
        if longest.max() < TOLERANCE:
            break
    return result


def refuse_separated(wins: Matrix) -> None:
    """Raises `UserError` unless every system has, through others, been preferred to every other."""
    groups, _ = connected_components(wins > 0, connection="strong")
    if groups > 1:
        raise UserError(
            "A system, or a group of them, was never preferred to the others, or never met them.",
            expected="for any two systems a chain of preferences from each to the other",
            change="Collect more votes, or report shares of votes.",
        )


def side_bias(left: int, right: int) -> SideBias:
    """Test whether raters chose a side. Sides are drawn, so without bias both are as likely.

    Args:
        left: Decided votes for what was on the left.
        right: Decided votes for what was on the right.

    Raises:
        UserError: There are no decided votes.
    """
    return SideBias(wilson(left, left + right), binomial_test(left, left + right))
