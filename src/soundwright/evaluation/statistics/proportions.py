"""Shares of clips or votes: their intervals, their test, and what a fallible judge hides."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.intervals import (
    DRAWS,
    LEVEL,
    Interval,
    draw_counts,
    interval_of,
    read_vector,
)

LEAST_YOUDEN = 0.5
"""A judge whose sensitivity + specificity - 1 is below this says too little: its axis is withheld.
"""


def wilson(successes: int, trials: int, *, level: float = LEVEL) -> Interval:
    """Wilson's score interval (1927) of a share of independent trials; never leaves [0, 1].

    Raises:
        UserError: No trials, or more successes than trials.
    """
    refuse_counts(successes, trials)
    z = float(norm.ppf((1 + level) / 2))
    share = successes / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    low = 0.0 if successes == 0 else float(middle - half)
    high = 1.0 if successes == trials else float(middle + half)
    return Interval(share, low, high, level, "wilson", trials)


def binomial_test(successes: int, trials: int, *, share: float = 0.5) -> float:
    """Exact two-sided p-value of independent trials against `share`.

    Raises:
        UserError: No trials, or more successes than trials.
    """
    refuse_counts(successes, trials)
    return float(binomtest(successes, trials, share).pvalue)


def refuse_counts(successes: int, trials: int) -> None:
    """Raises `UserError` for counts that are no share of anything."""
    if not 0 <= successes <= trials or trials == 0:
        raise UserError(
            f"{successes} of {trials} is no share.",
            expected="at least one trial, and from none to all of them successes",
        )


def youden(sensitivity: float, specificity: float) -> float:
    """Youden's index: 1 for a judge without fault, 0 for one that guesses."""
    return sensitivity + specificity - 1


def is_fit(sensitivity: float, specificity: float) -> bool:
    """Whether a judge is good enough for what it says to be reported (`LEAST_YOUDEN`)."""
    return youden(sensitivity, specificity) >= LEAST_YOUDEN


def rogan_gladen(observed: float, sensitivity: float, specificity: float) -> float:
    """The true share behind the share that a fallible judge sees (Rogan and Gladen, 1978).

    (observed + specificity - 1) / (sensitivity + specificity - 1), held within [0, 1].

    Raises:
        UserError: The judge is no better than guessing.
    """
    index = youden(sensitivity, specificity)
    if index <= 0:
        raise UserError(
            f"A judge of sensitivity {sensitivity:.3f} and specificity {specificity:.3f} does no "
            "better than guessing; nothing can be inferred from what it says.",
            expected="sensitivity + specificity above 1",
        )
    return float(np.clip((observed + specificity - 1) / index, 0, 1))


def corrected_share(
    observed: ArrayLike,
    found: tuple[int, int],
    rejected: tuple[int, int],
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """`rogan_gladen` with an interval that knows that the judge was measured on few clips, too.

    The clips are bootstrapped; sensitivity and specificity are drawn from their posteriors under
    Jeffreys' prior, Beta(k + 1/2, n - k + 1/2), because drawing again from 50 clips of which all
    were judged rightly would take the judge for perfect. For the same reason the share that the
    judge sees is drawn from its posterior where all its answers are no, or all are yes.

    Args:
        observed: [N], 1 where the judge said yes and 0 where it said no; with several clips a
            prompt, their mean.
        found: Of the clips known to have it, in how many the judge found it; and their number.
        rejected: Of the clips known to lack it, in how many it said so; and their number.
        draws: Bootstrap replicates.
        level: Nominal coverage.
        seed: Of the streams.

    Raises:
        UserError: Numbers that are no shares, or a judge no better than guessing.
    """
    shares = read_vector(observed, "The judge's answers")
    if shares.min() < 0 or shares.max() > 1:
        raise UserError(
            f"The judge's answers lie between {shares.min():g} and {shares.max():g}.",
            expected="shares from 0 to 1",
            change="Give 1 for seen, 0 for not seen, or a share of several.",
        )
    for right, trials in (found, rejected):
        refuse_counts(right, trials)
    estimate = rogan_gladen(float(shares.mean()), found[0] / found[1], rejected[0] / rejected[1])
    random = numpy_stream(seed, "bootstrap", "judge")
    if shares.min() == shares.max() and shares[0] in (0, 1):
        yes = float(shares.sum())
        seen = random.beta(yes + 0.5, len(shares) - yes + 0.5, size=draws)
    else:
        blocks = [counts @ shares for counts in draw_counts(random, len(shares), draws)]
        seen = np.concatenate(blocks) / len(shares)
    sensitivity, specificity = (
        random.beta(right + 0.5, trials - right + 0.5, size=draws)
        for right, trials in (found, rejected)
    )
    # A draw of a judge that guesses would divide by nothing; it says "anything is possible".
    index = np.maximum(sensitivity + specificity - 1, 1e-9)
    drawn = np.clip((seen + specificity - 1) / index, 0, 1)
    return interval_of(drawn, estimate, len(shares), level=level)
