"""Metrics of sets against the same arithmetic with everything in memory at once."""

import numpy as np
import pytest
import torch
from evaluated_sounds import BandEncoder
from scipy.linalg import sqrtm

from soundwright.core.errors import UserError
from soundwright.core.protocols import Encoded
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation import cache, set_scores
from soundwright.evaluation.cache import EmbeddingCache
from soundwright.evaluation.distances import kernel
from soundwright.evaluation.distances.frechet import frechet_distance_of_samples
from soundwright.evaluation.distances.kernel import kernel_distance, mean_kernels
from soundwright.evaluation.distances.moments import accumulate_moments
from soundwright.evaluation.sides import Described, Sample, Sides
from soundwright.evaluation.statistics.frechet_bootstrap import frechet_interval
from soundwright.evaluation.statistics.intervals import DRAWS, draw_counts, interval_of


def normal(*shape, name="made"):
    return numpy_stream(3, "set scores", name).normal(size=shape).astype(np.float32)


def describe(folder, made, real):
    """Both sides as an evaluation sees them, through the cache's files."""
    store = EmbeddingCache(folder, BandEncoder())
    sounds = {f"m{number:03}": rows for number, rows in enumerate(made)}
    sounds |= {f"r{number:03}": rows for number, rows in enumerate(real)}
    every = {
        key: Encoded(torch.from_numpy(rows), torch.from_numpy(rows.mean(0)))
        for key, rows in sounds.items()
    }
    for start in range(0, len(every), 16):
        store.write(dict(list(every.items())[start : start + 16]))
    samples = [Sample(key, key, key) for key in every if key.startswith("m")]
    sides = Sides.of(samples, [key for key in every if key.startswith("r")])
    return Described(sides, BandEncoder(), store.read(set(every)))


def gaussian(first, second, bandwidth):
    """The whole kernel, as it was computed before it was cut into tiles."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    return np.exp(-np.maximum(squares, 0) / (2 * bandwidth**2))


def test_a_kernel_distance_in_tiles_is_that_of_the_whole_matrix(tmp_path, monkeypatch):
    made, real = normal(41, 2, 6) + 0.3, normal(37, 2, 6, name="real")
    found = set_scores.measure_kad(describe(tmp_path / "whole", made, real))
    monkeypatch.setattr(kernel, "STRIP", 64)
    monkeypatch.setattr(cache, "HELD_BYTES", 1)
    tiled = set_scores.measure_kad(describe(tmp_path / "tiled", made, real))
    assert tiled.value == found.value
    one, other = (side.mean(1).astype(np.float64) for side in (made, real))
    distance = kernel_distance(other, one)
    assert found.value == distance.value

    within, among = (100 * gaussian(side, side, distance.bandwidth) for side in (one, other))
    cross = 100 * gaussian(one, other, distance.bandwidth).mean(1)
    mean_among = (among.sum() - np.trace(among)) / (37 * 36)
    np.fill_diagonal(within, 0)
    drawn = draw_counts(numpy_stream(0, "bootstrap", "clips"), 41, DRAWS)
    counts = np.concatenate([np.ones((1, 41)), *drawn])
    pairs = ((counts @ within) * counts).sum(1) / (41**2 - (counts**2).sum(1))
    values = pairs - 2 * (counts @ cross) / 41 + mean_among
    literal = interval_of(values[1:], values[0], 41)
    for measured in (found, tiled):
        interval = measured.interval()
        for name in ("estimate", "low", "high", "bias"):
            assert getattr(interval, name) == pytest.approx(
                getattr(literal, name), rel=1e-12, abs=1e-11
            )


def test_mean_kernels_of_groups_are_those_of_the_whole_matrix(monkeypatch):
    one = normal(9, 4).astype(np.float64)
    other = normal(7, 4, name="other").astype(np.float64)
    counts, more = [2, 1, 6], [3, 4]
    whole = gaussian(one, other, 1.3)
    blocks = [
        [block.mean() for block in np.split(rows, [3], axis=1)] for rows in np.split(whole, [2, 3])
    ]
    for strip in (1 << 18, 14, 1):
        monkeypatch.setattr(kernel, "STRIP", strip)
        found = mean_kernels(one, counts, other, more, 1 / (2 * 1.3**2))
        np.testing.assert_allclose(found, blocks, rtol=1e-12)


@pytest.mark.parametrize(("clips", "real_clips"), [(30, 40), (3, 40), (30, 3), (3, 4)])
def test_a_streamed_frechet_distance_is_that_of_all_windows_together(
    tmp_path, monkeypatch, clips, real_clips
):
    made, real = normal(clips, 3, 12) * 1.5 + 2, normal(real_clips, 3, 12, name="real") + 2
    monkeypatch.setattr(cache, "HELD_BYTES", 4000)
    monkeypatch.setattr(set_scores, "FRECHET_DRAWS", 20)
    monkeypatch.setattr(set_scores, "FEWEST_PER_DIMENSION", 0)
    found = set_scores.measure_fd(describe(tmp_path, made, real))
    windows, reference = (side.reshape(-1, 12).astype(np.float64) for side in (made, real))
    literal = frechet_distance_of_samples(reference, windows)
    assert found.value == pytest.approx(literal.value, rel=1e-12)
    assert found.estimator == literal.estimator
    assert (found.generated_rows, found.reference_rows) == (3 * clips, 3 * real_clips)
    moments = accumulate_moments([reference])
    given = (moments.mean, moments.covariance)
    groups = np.repeat(np.arange(clips), 3)
    interval, whole = (
        found.interval(),
        frechet_interval(windows, groups, *given, draws=20),
    )
    for name in ("estimate", "low", "high"):
        assert getattr(interval, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_googles_distance_is_of_moments_in_single_precision(tmp_path):
    made, real = normal(30, 2, 5) + 1e4, normal(30, 2, 5, name="real") + (1e4 + 0.5)
    heard = describe(tmp_path, made, real)
    found = set_scores.measure_fd(heard, "google")
    sides = [side.reshape(-1, 5).astype(np.float64) for side in (real, made)]
    (m, C), (n, S) = (
        [x.astype(np.float32).astype(np.float64) for x in (rows.mean(0), np.cov(rows.T))]
        for rows in sides
    )
    literal = ((m - n) ** 2).sum() + np.trace(C + S - 2 * sqrtm(C @ S).real)
    assert found.value == pytest.approx(literal, rel=1e-9)
    assert found.estimator == "plug-in; moments rounded to float32"
    assert abs(found.value / set_scores.measure_fd(heard).value - 1) > 1e-5


def test_embeddings_are_read_again_when_few_may_stay(tmp_path, monkeypatch):
    rows = normal(40, 3, 8)
    heard = describe(tmp_path, rows, rows[:2])
    monkeypatch.setattr(cache, "HELD_BYTES", 10_000)
    few = EmbeddingCache(tmp_path, BandEncoder()).read(set(heard.encoded))
    assert few.keys() == heard.encoded.keys()
    for number, own in enumerate(rows):
        assert few.has_windows(f"m{number:03}")
        assert torch.equal(few[f"m{number:03}"].embeddings, torch.from_numpy(own))
    with pytest.raises(KeyError):
        few["another"]
    for pack in tmp_path.rglob("*.safetensors"):
        pack.unlink()
    with pytest.raises(UserError, match="removed from the cache, or damaged, while"):
        few["m000"]


@pytest.mark.parametrize("measure", [set_scores.measure_fd, set_scores.measure_fd_inf])
@pytest.mark.parametrize(("scale", "has_interval"), [(1.0, False), (0.1, True)])
def test_an_interval_of_a_distance_is_withheld_where_sounds_vary_in_too_many_ways(
    tmp_path, scale, has_interval, measure
):
    """Thirty sounds of one window; all but two of their ten directions are made smaller."""
    shape = np.r_[1.0, 1.0, np.full(8, scale)].astype(np.float32)
    made, real = normal(30, 1, 10) * shape, normal(60, 1, 10, name="real") * shape
    found = measure(describe(tmp_path, made, real))
    variances = np.linalg.eigvalsh(np.cov(real[:, 0].astype(np.float64).T))
    directions = float(variances.sum() ** 2 / (variances**2).sum())
    moments = accumulate_moments(list(real))
    assert moments.effective_dimension == pytest.approx(directions)
    assert (4 * directions <= 30) is has_interval
    assert (found.interval() is not None) is has_interval
    assert ("No interval" in found.remark) is not has_interval
