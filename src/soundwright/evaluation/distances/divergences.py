"""Kullback-Leibler divergences between what a classifier says of paired sounds.

Ours is KL(reference ‖ generated) over classes, in nats, from exact log-softmax: no epsilon, 0 for
equal sounds, never negative. A clip's distribution is the mean of its windows' probabilities, which
is what the classifier says of a moment drawn at random. It needs no equal number of windows on both
sides, and one overconfident window moves it no further than its share, while a mean of logits is a
geometric mean, in which a single window can veto a class.

Other tools' conventions are rows of `CONVENTIONS`; their numbers are not comparable with ours, nor
with each other's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_expit, log_softmax, logsumexp

from soundwright.core.errors import UserError, nearest


@dataclass(frozen=True)
class DivergenceConvention:
    """How a tool computes its divergence. Defaults are ours."""

    classes: Literal["softmax", "bernoulli", "sigmoid"] = "softmax"
    """One class out of many; or each present or absent, with both terms of its divergence; or the
    latter without the term of absence, which is no divergence and can be negative."""
    direction: Literal["reference||generated", "generated||reference"] = "reference||generated"
    epsilon: float = 0.0
    """Added to the probabilities on the right of ||. Of uniform distributions over L classes it
    makes -log(1 + L epsilon), and it caps the divergence at -log(epsilon)."""
    windows: Literal["mean of probabilities", "mean of logits", "rows"] = "mean of probabilities"
    """How windows make a clip; `rows` compares them one by one and averages over all of them."""


CONVENTIONS = {
    "soundwright": DivergenceConvention(),
    "soundwright-labels": DivergenceConvention(classes="bernoulli"),
    "audiocraft": DivergenceConvention(epsilon=1e-6, windows="rows"),
    "audioldm": DivergenceConvention(epsilon=1e-6, windows="rows"),
    "audioldm-sigmoid": DivergenceConvention(classes="sigmoid", epsilon=1e-6, windows="rows"),
    "stable": DivergenceConvention(
        direction="generated||reference", epsilon=1e-6, windows="mean of logits"
    ),
}
"""`soundwright-labels` suits classifiers of several labels a sound. The others are audiocraft's
`kld` (not `kld_both`, a sum of two directions), audioldm_eval's `kl_softmax` and `kl_sigmoid`, and
stable-audio-metrics' `passt_kld`; audioldm_eval's classifier hears a clip as one window."""


@dataclass(frozen=True)
class Divergence:
    """A mean divergence, and the clips that it comes from."""

    value: float
    """Nats: the mean over rows, which is the mean over clips unless clips have several rows."""
    clips: NDArray[np.float64]
    """[N]: of each pair of clips, in the given order."""
    rows: NDArray[np.int64]
    """[N]: how many rows each clip's number is the mean of."""
    convention: str
    direction: str


def measure_divergence(
    reference: Sequence[ArrayLike],
    generated: Sequence[ArrayLike],
    convention: str = "soundwright",
) -> Divergence:
    """The divergence of paired clips; clip number i of both sides belongs to one prompt.

    Args:
        reference: [W, L] logits of each real sound, W windows and L classes.
        generated: Those of the sounds made from the same prompts.
        convention: A key of `CONVENTIONS`.

    Raises:
        UserError: There is no such convention, the sides do not pair up, a clip has no window,
            classes differ, or windows do where they are compared one by one.
    """
    if convention not in CONVENTIONS:
        raise UserError(
            f"There is no convention {convention!r} of divergences.",
            expected=nearest(convention, CONVENTIONS),
            change="Name one of them.",
        )
    how = CONVENTIONS[convention]
    if len(reference) != len(generated) or not generated:
        raise UserError(
            f"{len(reference)} reference clips and {len(generated)} generated ones were given.",
            expected="as many of both, one pair a prompt, at least one pair",
            change="Leave out the clips that have no partner.",
        )
    pairs = zip(reference, generated, strict=True)
    rows = [_compare(as_logits(real), as_logits(made), how) for real, made in pairs]
    return Divergence(
        value=float(np.concatenate(rows).mean()),
        clips=np.array([row.mean() for row in rows]),
        rows=np.array([len(row) for row in rows]),
        convention=convention,
        direction=how.direction,
    )


def as_logits(logits: ArrayLike) -> NDArray[np.float64]:
    """A clip's logits as [W, L] float64.

    Raises:
        UserError: They have another number of axes, there are none, or some is not finite.
    """
    array = np.asarray(logits, np.float64)
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise UserError(
            f"A clip's logits have shape {array.shape} or are not all finite.",
            expected="[windows, classes], at least one window, finite numbers",
            change="Leave out sounds that are shorter than a window or cannot be classified.",
        )
    return array


def mean_log_probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """[W, L] to [1, L]: logarithms of the mean over windows of the softmax over classes."""
    return _log_mean(log_softmax(logits, axis=1))


def _log_mean(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(logarithms) == 1:
        return logarithms
    return logsumexp(logarithms, axis=0, keepdims=True) - np.log(len(logarithms))


def _compare(
    real: NDArray[np.float64], made: NDArray[np.float64], how: DivergenceConvention
) -> NDArray[np.float64]:
    """[R] divergences of one pair of clips."""
    if real.shape[1] != made.shape[1] or (how.windows == "rows" and len(real) != len(made)):
        raise UserError(
            f"Logits {real.shape} of a reference clip meet {made.shape} of the generated one.",
            expected="the same classes"
            + (", and as many windows" if how.windows == "rows" else ""),
            change="Take one classifier and sounds of equal length, or another convention.",
        )
    left, right = (real, made) if how.direction == "reference||generated" else (made, real)
    terms = _terms(_log_chances(left, how), _log_chances(right, how), how.epsilon)
    if how.classes == "bernoulli":
        terms = terms + _terms(_log_chances(-left, how), _log_chances(-right, how), how.epsilon)
    return terms.sum(1)


def _log_chances(logits: NDArray[np.float64], how: DivergenceConvention) -> NDArray[np.float64]:
    """[R, L] logarithms of probabilities of a clip's rows."""
    if how.windows == "mean of logits":
        logits = logits.mean(0, keepdims=True)
    logarithms = log_softmax(logits, axis=1) if how.classes == "softmax" else log_expit(logits)
    return _log_mean(logarithms) if how.windows == "mean of probabilities" else logarithms


def _terms(
    left: NDArray[np.float64], right: NDArray[np.float64], epsilon: float
) -> NDArray[np.float64]:
    """Of every class p log(p / (q + epsilon)), from the logarithms of p and q."""
    if epsilon:
        right = np.log(np.exp(right) + epsilon)
    return np.exp(left) * (left - right)
