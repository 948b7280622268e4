"""The Fréchet distance between the Gaussians of two sets of embeddings.

    d² = |μ₁ - μ₂|² + tr C₁ + tr C₂ - 2 tr (C₁ C₂)^½

FAD and FD are this number for embeddings of some encoder. With roots C = R Rᵀ, the last trace is
the sum of the singular values of R₁ᵀR₂: real, never negative, and no matrix root is taken. A root
comes from Cholesky's decomposition with pivots, which finds the rank; where there are fewer
embeddings than dimensions and they are at hand, they are a root themselves, once centred.

The plug-in estimate (covariances of the samples in place of true ones) is too large by about
`expected_bias`, ever more so the fewer embeddings there are. Where there are no more of them than
dimensions a covariance is singular, and the result says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigvalsh, get_blas_funcs, get_lapack_funcs, svdvals

from soundwright.core.errors import UserError
from soundwright.evaluation.distances.moments import Moments, as_rows, measure_moments

Estimator = Literal["plug-in", "plug-in, singular covariance"]

AGREEMENT = 1e-4
"""How far the logarithm of a determinant may be from what it must be, for the fast way."""


@dataclass(frozen=True)
class FrechetDistance:
    """A distance, and what it was estimated from."""

    value: float
    """The distance as usually reported: squared, in squared units of the embedding."""
    means: float
    """The part of the means, |μ₁ - μ₂|²; the rest is that of the covariances."""
    estimator: Estimator
    reference_n: int
    generated_n: int
    width: int
    """D."""


@dataclass(frozen=True)
class Gaussian:
    """What the distance needs of one side; `decompose` makes it of moments."""

    n: int
    mean: NDArray[np.float64]
    trace: float
    root: NDArray[np.float64]
    """[D, R] with root · rootᵀ the covariance."""
    log_volume: float | None
    """Logarithm of the determinant of a root [D, D]; None for any other root."""

    @property
    def width(self) -> int:
        """D."""
        return len(self.mean)


def frechet_distance(
    reference: Moments | Gaussian, generated: Moments | Gaussian, *, refuse_singular: bool = False
) -> FrechetDistance:
    """The distance between two sets of embeddings, given by their moments.

    Args:
        reference: Of the real sounds. A side that is compared many times may be decomposed before.
        generated: Of the sounds in question. The distance is symmetric.
        refuse_singular: Refuse where a side has no more embeddings than dimensions, instead of
            naming the estimator.

    Raises:
        UserError: Widths differ, a side has fewer than 2 embeddings, or it is refused.
    """
    _check(reference.n, generated.n, reference.width, generated.width, refuse_singular)
    first, second = (
        side if isinstance(side, Gaussian) else decompose(side) for side in (reference, generated)
    )
    return _distance(first, second)


def decompose(moments: Moments) -> Gaussian:
    """Mean and root of the covariance, by Cholesky's decomposition with pivots.

    Raises:
        UserError: There is only one embedding.
    """
    covariance = moments.covariance
    (factorise,) = get_lapack_funcs(("pstrf",), (covariance,))
    factor, pivots, rank, _ = factorise(covariance, lower=1)
    root = np.empty((moments.width, rank))
    root[pivots - 1] = np.tril(factor)[:, :rank]
    is_regular = rank == moments.width
    log_volume = float(np.log(np.diagonal(factor)).sum()) if is_regular else None
    return Gaussian(moments.n, moments.mean, float(np.trace(covariance)), root, log_volume)


def decompose_samples(embeddings: ArrayLike) -> Gaussian:
    """The same of embeddings [N, D]; where they are no more than dimensions, they are the root.

    Raises:
        UserError: There are fewer than two, or some number is not finite.
    """
    rows = as_rows(embeddings)
    if not 2 <= len(rows) <= rows.shape[1]:
        return decompose(measure_moments(rows))
    mean = rows.mean(0)
    root = (rows - mean).T / np.sqrt(len(rows) - 1)
    return Gaussian(len(rows), mean, float(np.square(root).sum()), root, None)


def frechet_distance_of_samples(
    reference: ArrayLike, generated: ArrayLike, *, refuse_singular: bool = False
) -> FrechetDistance:
    """The same between embeddings [N, D] and [M, D].

    With fewer embeddings than dimensions this is faster and more exact than by way of moments.

    Raises:
        UserError: As `frechet_distance`, or some number is not finite.
    """
    first, second = as_rows(reference), as_rows(generated)
    _check(len(first), len(second), first.shape[1], second.shape[1], refuse_singular)
    return _distance(decompose_samples(first), decompose_samples(second))


def expected_bias(covariance: ArrayLike, n: int) -> float:
    """By how much the plug-in distance to a sample of `n` exceeds the true one, on average.

    For `n` independent draws from a Gaussian, compared with that Gaussian itself, to first order
    in 1/n: tr C / n from the means and Σᵢⱼ (1 + δᵢⱼ) λᵢλⱼ / (2 (λᵢ + λⱼ)) / (n - 1) from the
    covariances, λ being the eigenvalues of C; for C = I that is d/n + d(d+1)/(4(n-1)). Two samples
    are apart by the sum of both biases. Windows of one clip are not independent: count clips.

    Args:
        covariance: [D, D].
        n: Size of the sample, at least 2.
    """
    spectrum = np.clip(eigvalsh(np.asarray(covariance, np.float64)), 0.0, None)
    spectrum = spectrum[spectrum > 0]
    pairs = np.outer(spectrum, spectrum) / (2 * np.add.outer(spectrum, spectrum))
    return float(spectrum.sum() / n + (pairs.sum() + np.trace(pairs)) / (n - 1))


def _check(first_n: int, second_n: int, width: int, other: int, refuse_singular: bool) -> None:
    if width != other:
        raise UserError(
            f"The embeddings have widths {width} and {other}.",
            expected="one width on both sides",
            change="Take embeddings of one encoder.",
        )
    least = min(first_n, second_n)
    if least < 2:
        raise UserError(
            f"A Fréchet distance was asked between {first_n} and {second_n} embeddings.",
            expected="at least 2 on each side",
            change="Give more or longer sounds.",
        )
    if refuse_singular and least <= width:
        raise UserError(
            f"{least} embeddings of width {width} have a singular covariance.",
            expected=f"more than {width} embeddings on each side",
            change="Give more sounds, take the kernel distance, or accept the stated estimator.",
        )


def _distance(first: Gaussian, second: Gaussian) -> FrechetDistance:
    width = first.width
    means = float(np.square(first.mean - second.mean).sum())
    value = means + first.trace + second.trace - 2 * _shared(first, second)
    return FrechetDistance(
        value=max(value, 0.0),
        means=means,
        estimator=("plug-in" if min(first.n, second.n) > width else "plug-in, singular covariance"),
        reference_n=first.n,
        generated_n=second.n,
        width=width,
    )


def _shared(first: Gaussian, second: Gaussian) -> float:
    """The sum of the singular values of R₁ᵀR₂.

    Their squares, eigenvalues of the Gram matrix, come in less than half the time, but the
    smallest may drown in rounding. The product of all is known from the roots, and drowned ones
    would not give it.
    """
    if 0 in (first.root.size, second.root.size):
        return 0.0
    # NumPy brings a BLAS of its own, whose idle threads spin on and take the cores from SciPy's.
    multiply, square = get_blas_funcs(("gemm", "syrk"), dtype=np.float64)
    product = multiply(1.0, first.root, second.root, trans_a=True)
    if first.log_volume is not None and second.log_volume is not None:
        gram = square(1.0, product, lower=True)
        squares = eigvalsh(gram, lower=True, driver="evd", check_finite=False)
        log_volume = first.log_volume + second.log_volume
        if squares[0] > 0 and abs(np.log(squares).sum() / 2 - log_volume) < AGREEMENT:
            return float(np.sqrt(squares).sum())
    return float(np.sum(svdvals(product, check_finite=False)))
