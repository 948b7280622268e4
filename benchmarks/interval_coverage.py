"""How often do intervals hold the truth? Simulated studies whose truth is known.

    python benchmarks/interval_coverage.py [--trials NUMBER] [--only WORD ...] [--out FILE]

Every scenario draws a sample as an evaluation would, from a population that is known, and asks each
interval for it. Printed are the share of trials in which a nominal 95 % interval held the truth,
with Wilson's interval of that share, and the mean width. An interval that is used by default is
marked with *, or with - where `evaluate` withholds it, since the clips are too few for the
directions of the embeddings; the others stand beside it to show why. Expensive scenarios take a
part of the trials.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.linalg import sqrtm
from scipy.special import softmax
from scipy.stats import norm

from soundwright.core.files import write_json
from soundwright.core.seeding import derive_seed, numpy_stream
from soundwright.evaluation.distances.extrapolation import extrapolate_frechet
from soundwright.evaluation.distances.moments import Moments
from soundwright.evaluation.set_scores import fewest_groups
from soundwright.evaluation.statistics.frechet_bootstrap import (
    frechet_difference,
    frechet_interval,
)
from soundwright.evaluation.statistics.frechet_influence import (
    extrapolated_difference,
    extrapolated_interval,
)
from soundwright.evaluation.statistics.inception_jackknife import (
    WeightedInception,
    inception_difference,
    inception_interval,
)
from soundwright.evaluation.statistics.intervals import Interval, draw_counts, interval_of
from soundwright.evaluation.statistics.kernel_bootstrap import kernel_difference
from soundwright.evaluation.statistics.paired import mean_interval
from soundwright.evaluation.statistics.preference import preference_share, strength_intervals
from soundwright.evaluation.statistics.proportions import corrected_share, wilson
from soundwright.evaluation.statistics.seeds import seeded_difference
from soundwright.evaluation.statistics.votes import Votes

TRIALS = 1000
DRAWS = 500
"""Bootstrap replicates of an interval."""
FRECHET_DRAWS = 300
EXTRAPOLATION_DRAWS = 40
GAP_SURENESS = (8.0, 7.0)
SEED = 20_260

Random = np.random.Generator
Study = Callable[[Random, int], dict[str, tuple[Interval, float]]]


@dataclass(frozen=True)
class Scenario:
    """A population with a known truth, and the intervals of one sample of it."""

    name: str
    used: str
    """Which interval stands in reports."""
    study: Study
    """Given a generator and a seed: intervals and the truth of each."""
    share: float = 1.0
    """Of the trials."""
    withheld: bool = False
    """Whether `evaluate` leaves the interval out."""


def main() -> None:
    """Run every scenario, print, and write the results where they are wanted."""
    options = read_options()
    began = perf_counter()
    results = {}
    for scenario in scenarios():
        if options.only and not any(word in scenario.name for word in options.only):
            continue
        results[scenario.name] = run(scenario, max(10, round(options.trials * scenario.share)))
        print_scenario(scenario, results[scenario.name])
    print(f"{perf_counter() - began:.0f} s")
    if options.out:
        write_json(options.out, {"trials": options.trials, "draws": DRAWS, "seed": SEED, **results})


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trials", type=int, default=TRIALS, help="simulated studies a scenario")
    parser.add_argument("--only", nargs="+", help="words of which a scenario's name has one")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


def run(scenario: Scenario, trials: int) -> dict[str, dict[str, float | bool]]:
    """Coverage and mean width of each interval of a scenario."""
    held: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    for trial in range(trials):
        random = numpy_stream(SEED, scenario.name, trial)
        study = scenario.study(random, derive_seed(SEED, scenario.name, trial, "intervals"))
        for name, (interval, truth) in study.items():
            held.setdefault(name, []).append(not interval.excludes(truth))
            widths.setdefault(name, []).append(interval.high - interval.low)
    results = {}
    for name in held:
        share = wilson(sum(held[name]), trials)
        results[name] = {
            "coverage": round(share.estimate, 4),
            "low": round(share.low, 4),
            "high": round(share.high, 4),
            "width": float(f"{np.mean(widths[name]):.4g}"),
            "trials": trials,
            "used": name == scenario.used and not scenario.withheld,
            "withheld": name == scenario.used and scenario.withheld,
        }
    return results


def print_scenario(scenario: Scenario, results: Mapping[str, Mapping[str, float | bool]]) -> None:
    """Print a scenario's table."""
    print(scenario.name)
    for name, row in results.items():
        mark = "*" if row["used"] else "-" if row["withheld"] else " "
        print(
            f"  {mark} {name:24} {row['coverage']:6.1%} "
            f"[{row['low']:.1%}, {row['high']:.1%}]  width {row['width']:.4g}",
            flush=True,
        )


def scenarios() -> list[Scenario]:
    """Everything that is simulated."""
    return [
        Scenario("mean of 20 paired differences, normal", "expanded", means(normal, 20)),
        Scenario("mean of 100 paired differences, normal", "expanded", means(normal, 100)),
        Scenario("mean of 50 paired differences, heavy tails (t, 3)", "expanded", means(heavy, 50)),
        Scenario("mean of 50 paired differences, skewed", "expanded", means(skewed, 50)),
        Scenario("mean of 200 paired differences, skewed", "expanded", means(skewed, 200)),
        Scenario(
            "Fréchet, 16 dimensions, falling spectrum",
            "shifted",
            frechet(16),
            0.25,
            too_few(16, flat=False),
        ),
        Scenario(
            "Fréchet, 16 dimensions, flat",
            "shifted",
            frechet(16, flat=True),
            0.25,
            too_few(16, flat=True),
        ),
        Scenario(
            "Fréchet, 32 dimensions, flat",
            "shifted",
            frechet(32, flat=True),
            0.25,
            too_few(32, flat=True),
        ),
        Scenario(
            "FAD∞, 32 dimensions, flat",
            "jackknife",
            extrapolated(32, flat=True),
            0.1,
            too_few(32, flat=True),
        ),
        Scenario(
            "Fréchet, 128 dimensions, falling spectrum",
            "shifted",
            frechet(128),
            0.06,
            too_few(128, flat=False),
        ),
        Scenario(
            "Fréchet, 128 dimensions, flat",
            "shifted",
            frechet(128, flat=True),
            0.06,
            too_few(128, flat=True),
        ),
        Scenario("Fréchet gap, 16 dimensions, falling spectrum", "shifted", frechet_gap(16), 0.2),
        Scenario("Fréchet gap, 16 dimensions, flat", "shifted", frechet_gap(16, flat=True), 0.2),
        Scenario(
            "Fréchet gap, 128 dimensions, falling spectrum", "shifted", frechet_gap(128), 0.06
        ),
        Scenario("Fréchet gap, 128 dimensions, flat", "shifted", frechet_gap(128, flat=True), 0.04),
        Scenario(
            "FAD∞, 16 dimensions, falling spectrum",
            "jackknife",
            extrapolated(16),
            0.1,
            too_few(16, flat=False),
        ),
        Scenario(
            "FAD∞, 16 dimensions, truth 0",
            "jackknife",
            extrapolated(16, 0.0, 1.0),
            0.1,
            too_few(16, flat=False),
        ),
        Scenario(
            "FAD∞, 64 dimensions, flat",
            "jackknife",
            extrapolated(64, flat=True),
            0.1,
            too_few(64, flat=True),
        ),
        Scenario("FAD∞ gap, 16 dimensions", "jackknife", extrapolated_gap(16), 0.1),
        Scenario("FAD∞ gap, 64 dimensions, flat", "jackknife", extrapolated_gap(64, True), 0.1),
        Scenario("inception score of 100 clips, 50 classes", "jackknife", inception(100, 1), 0.3),
        Scenario("inception score of 200 clips in 10 splits", "jackknife", inception(200, 10), 0.3),
        Scenario("inception gap, 100 clips, 50 classes", "jackknife", inception_gap, 0.3),
        Scenario("MMD difference, 100 clips, 8 dimensions", "percentile", kernels, 0.25),
        Scenario("share of 20, truth 0.1", "wilson", shares(20, 0.1)),
        Scenario("share of 160, truth 0.67", "wilson", shares(160, 0.67)),
        Scenario("judge 0.90/0.85 on 50 clips each, truth 0.3 of 100", "corrected", judged(0.3)),
        Scenario("judge 0.90/0.85 on 50 clips each, truth 0.8 of 100", "corrected", judged(0.8)),
        Scenario("3 paired seeds x 100 prompts, seeds matter", "crossed", seeds(3, 0.3, True)),
        Scenario("3 paired seeds x 100 prompts, seeds hardly", "crossed", seeds(3, 0.03, True)),
        Scenario("3 and 3 seeds x 100 prompts, seeds matter", "crossed", seeds(3, 0.3, False)),
        Scenario("5 and 5 seeds x 100 prompts, seeds matter", "crossed", seeds(5, 0.3, False)),
        Scenario("votes of 8 raters x 20 prompts, ICC 0.3", "two-way", votes(8, 20), 0.25),
        Scenario("votes of 20 raters x 50 prompts, ICC 0.3", "two-way", votes(20, 50), 0.25),
        Scenario("Bradley-Terry, 3 systems, 8 raters x 20 prompts", "two-way", strengths),
    ]


def normal(random: Random, count: int) -> np.ndarray:
    """[count], of mean zero."""
    return random.normal(size=count)


def heavy(random: Random, count: int) -> np.ndarray:
    """[count], Student's t with three degrees of freedom, of mean zero."""
    return random.standard_t(3, size=count)


def skewed(random: Random, count: int) -> np.ndarray:
    """[count], log-normal of skewness 3.3 less its mean."""
    return random.lognormal(0, 0.75, size=count) - np.exp(0.75**2 / 2)


def means(draw: Callable[[Random, int], np.ndarray], count: int) -> Study:
    """Studies of a mean difference; the truth is zero."""

    def study(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
        values = draw(random, count)
        (counts,) = draw_counts(random, count, DRAWS)
        replicates, mean = counts @ values / count, float(values.mean())
        return {
            "expanded": (mean_interval(values, draws=DRAWS, seed=seed), 0.0),
            "percentile": (interval_of(replicates, mean, count), 0.0),
            "reflected": (interval_of(replicates, mean, count, method="reflected"), 0.0),
        }

    return study


CLIPS, WINDOWS = 100, 2
REFERENCES = 1000
"""Windows of a reference set."""


class Population:
    """Windows of clips: a Gaussian for the clip, and one for the window within the clip.

    Args:
        width: D.
        shift: Of the mean, in units of the standard deviations.
        scale: Of the standard deviations.
        flat: Standard deviations of like size; otherwise the k-th is 1/k, as embeddings' fall.
    """

    def __init__(self, width: int, shift: float, scale: float, *, flat: bool = False) -> None:
        shape = np.linspace(0.5, 1.5, width) if flat else 1 / np.arange(1, width + 1)
        self.mean, self.deviations = shift * shape, scale * shape

    def draw(self, shared: np.ndarray, random: Random) -> np.ndarray:
        """[CLIPS * WINDOWS, D], from what two systems' clips of a prompt share [CLIPS, D]."""
        width = shared.shape[1]
        clips = np.sqrt(0.3) * (shared + random.normal(size=shared.shape))
        windows = np.sqrt(0.4) * random.normal(size=(CLIPS, WINDOWS, width))
        return (self.mean + self.deviations * (clips[:, None] + windows)).reshape(-1, width)

    def distance(self, mean: np.ndarray, covariance: np.ndarray) -> float:
        """The Fréchet distance of the population to a reference."""
        own = np.diag(self.deviations**2)
        root = np.real(sqrtm(own @ covariance))
        gap = self.mean - mean
        return float(gap @ gap + np.trace(own) + np.trace(covariance) - 2 * np.trace(root))


def reference(width: int, *, flat: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and covariance [D, D] of a reference set."""
    spread = Population(width, 0, 1, flat=flat).deviations
    windows = spread * numpy_stream(SEED, "reference", width).normal(size=(REFERENCES, width))
    return windows.mean(axis=0), np.cov(windows, rowvar=False)


def too_few(width: int, *, flat: bool) -> bool:
    """Whether the clips are too few for an interval by the rule of `evaluate`."""
    mean, covariance = reference(width, flat=flat)
    return fewest_groups(Moments(REFERENCES, mean, (REFERENCES - 1) * covariance)) > CLIPS


def frechet(width: int, *, flat: bool = False) -> Study:
    """Studies of one system's distance to a given reference."""
    moments = reference(width, flat=flat)
    system = Population(width, 0.3, 1.3, flat=flat)
    truth = system.distance(*moments)
    clips = np.repeat(np.arange(CLIPS), WINDOWS)

    def study(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
        windows = system.draw(random.normal(size=(CLIPS, width)), random)
        interval = frechet_interval(windows, clips, *moments, draws=FRECHET_DRAWS, seed=seed)
        return every_kind(interval, truth)

    return study


def frechet_gap(width: int, *, flat: bool = False) -> Study:
    """Studies of the difference of two systems' distances on shared prompts."""
    moments = reference(width, flat=flat)
    new, old = (Population(width, *of, flat=flat) for of in ((0.2, 1.2), (0.3, 1.3)))
    truth = new.distance(*moments) - old.distance(*moments)
    clips = np.repeat(np.arange(CLIPS), WINDOWS)

    def study(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
        shared = random.normal(size=(CLIPS, width))
        first, second = new.draw(shared, random), old.draw(shared, random)
        interval = frechet_difference(
            first, clips, second, clips, *moments, draws=FRECHET_DRAWS, seed=seed
        )
        return every_kind(interval, truth)

    return study


def every_kind(shifted: Interval, truth: float) -> dict[str, tuple[Interval, float]]:
    """The shifted interval, and the percentile and the reflected one of the same replicates."""
    low, high = (end + 2 * shifted.bias for end in (shifted.low, shifted.high))
    twice = 2 * shifted.estimate
    return {
        "shifted": (shifted, truth),
        "reflected": (replace(shifted, low=twice - high, high=twice - low), truth),
        "percentile": (replace(shifted, low=low, high=high), truth),
    }


def extrapolated(
    width: int, shift: float = 0.3, scale: float = 1.3, *, flat: bool = False
) -> Study:
    """Studies of one system's extrapolated distance to a reference that is a sample, too."""
    real, system = Population(width, 0, 1, flat=flat), Population(width, shift, scale, flat=flat)
    truth = system.distance(real.mean, np.diag(real.deviations**2))
    labels = np.repeat(np.arange(CLIPS), WINDOWS)

    def study(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
        made, given = (
            one.draw(random.normal(size=(CLIPS, width)), random) for one in (system, real)
        )
        reference = np.split(given, CLIPS)
        clips = np.split(made, CLIPS)
        value = extrapolate_frechet(reference, clips, seed=seed).value
        drawn = [
            extrapolate_frechet(
                [reference[place] for place in random.integers(0, CLIPS, CLIPS)],
                [clips[place] for place in random.integers(0, CLIPS, CLIPS)],
                draws=1,
                seed=draw,
            ).value
            for draw in range(EXTRAPOLATION_DRAWS)
        ]
        return {
            "jackknife": (extrapolated_interval(value, made, labels, reference), truth),
            "bootstrap percentile": (interval_of(drawn, value, CLIPS), truth),
        }

    return study


def extrapolated_gap(width: int, flat: bool = False) -> Study:
    """Studies of the difference of two systems' extrapolated distances on shared prompts."""
    real = Population(width, 0, 1, flat=flat)
    new, old = (Population(width, *of, flat=flat) for of in ((0.2, 1.2), (0.3, 1.3)))
    given = real.mean, np.diag(real.deviations**2)
    truth = new.distance(*given) - old.distance(*given)
    labels = np.repeat(np.arange(CLIPS), WINDOWS)

    def study(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
        shared = random.normal(size=(CLIPS, width))
        first, second = new.draw(shared, random), old.draw(shared, random)
        reference = np.split(real.draw(random.normal(size=(CLIPS, width)), random), CLIPS)
        values = [
            extrapolate_frechet(reference, np.split(made, CLIPS), seed=seed).value
            for made in (first, second)
        ]
        interval = extrapolated_difference(
            values[0] - values[1], first, labels, second, labels, reference
        )
        return {"jackknife": (interval, truth)}

    return study


def classes(random: Random, count: int, sureness: float) -> np.ndarray:
    """[count, 50], what a classifier might say of clips of 50 classes."""
    levels = random.normal(size=(count, 50))
    levels[np.arange(count), random.integers(0, 50, count)] += sureness * random.random(count)
    return softmax(levels, axis=1)


def mean_score(count: int, splits: np.ndarray, sureness: float) -> float:
    """The score of so many clips, on average over many such sets."""
    random = numpy_stream(SEED, "inception", count, str(sureness))
    once = np.ones((1, count))
    scores = [
        WeightedInception(classes(random, count, sureness), np.arange(count), splits, count)
        for _ in range(2000)
    ]
    return float(np.mean([one.scores(once) for one in scores]))


def inception(count: int, splits: int) -> Study:
    """Studies of an inception score; the truth is its mean at this number of clips and splits."""
    split_of = np.arange(count) % splits
    truth = mean_score(count, split_of, 8.0)

    def study(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
        probabilities = classes(random, count, 8.0)
        clips = np.arange(count)
        (counts,) = draw_counts(numpy_stream(seed, "inception"), count, DRAWS)
        drawn = WeightedInception(probabilities, clips, split_of, count).scores(counts)
        jackknife = inception_interval(probabilities, clips, split_of)
        return {
            "jackknife": (jackknife, truth),
            "bootstrap percentile": (interval_of(drawn, jackknife.estimate, count), truth),
        }

    return study


def inception_gap(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:  # noqa: ARG001
    """A study of the difference of two systems' inception scores on shared prompts."""
    clips, splits = np.arange(CLIPS), np.zeros(CLIPS, int)
    sides = [classes(random, CLIPS, sureness) for sureness in GAP_SURENESS]
    interval = inception_difference(sides[0], clips, splits, sides[1], clips, splits)
    return {"jackknife": (interval, gap_truth())}


@functools.cache
def gap_truth() -> float:
    """The mean difference."""
    first, second = (mean_score(CLIPS, np.zeros(CLIPS, int), one) for one in GAP_SURENESS)
    return first - second


def kernels(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
    """A study of the difference of two squared MMDs with a Gaussian kernel, in closed form."""
    width, bandwidth, shifts, share = 8, 2.0, (0.3, 0.4), 0.5
    fixed = numpy_stream(SEED, "reference", "kernel").normal(size=(500, width))
    common = random.normal(size=(CLIPS, width)) * np.sqrt(share)
    within, cross, truths = [], [], []
    for shift in shifts:
        clips = shift + common + random.normal(size=(CLIPS, width)) * np.sqrt(1 - share)
        within.append(gaussian(clips, clips, bandwidth))
        cross.append(gaussian(clips, fixed, bandwidth).mean(axis=1))
        # E k(x, y) for x ~ N(shift, I) and a given y.
        spread = bandwidth**2 + 1
        distance = ((fixed - shift) ** 2).sum(axis=1)
        to_fixed = (bandwidth**2 / spread) ** (width / 2) * np.exp(-distance / (2 * spread)).mean()
        truths.append((bandwidth**2 / (bandwidth**2 + 2)) ** (width / 2) - 2 * to_fixed)
    interval = kernel_difference(*within, *cross, draws=DRAWS, seed=seed)
    return {"percentile": (interval, truths[0] - truths[1])}


def gaussian(first: np.ndarray, second: np.ndarray, bandwidth: float) -> np.ndarray:
    """Gaussian kernel [N, M] of [N, D] and [M, D]."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    return np.exp(-squares / (2 * bandwidth**2))


def shares(count: int, truth: float) -> Study:
    """Studies of a share of independent trials."""

    def study(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
        values = (random.random(count) < truth).astype(np.float64)
        return {
            "wilson": (wilson(int(values.sum()), count), truth),
            "bootstrap": (mean_interval(values, draws=DRAWS, seed=seed), truth),
        }

    return study


def judged(truth: float) -> Study:
    """Studies of a share seen through a fallible judge."""
    clips, known, sensitivity, specificity = 100, 50, 0.9, 0.85

    def study(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
        has = random.random(clips) < truth
        says = np.where(has, random.random(clips) < sensitivity, random.random(clips) > specificity)
        found = int(random.binomial(known, sensitivity)), known
        rejected = int(random.binomial(known, specificity)), known
        corrected = corrected_share(says, found, rejected, draws=DRAWS, seed=seed)
        return {
            "corrected": (corrected, truth),
            "wilson, uncorrected": (wilson(int(says.sum()), clips), truth),
        }

    return study


def seeds(count: int, spread: float, paired: bool) -> Study:
    """Studies of methods that were trained `count` times each; the truth is zero."""
    prompts = 100

    def arm(random: Random, shared: np.ndarray) -> np.ndarray:
        return (
            spread * random.normal(size=(count, 1))
            + shared
            + 0.5 * random.normal(size=(1, prompts))
            + random.normal(size=(count, prompts))
        )

    def study(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
        shared = random.normal(size=(1, prompts))
        found = seeded_difference(
            arm(random, shared), arm(random, shared), paired_seeds=paired, draws=DRAWS, seed=seed
        )
        return {
            "crossed": (found.crossed, 0.0),
            "hierarchical bootstrap": (found.hierarchical, 0.0),
            "prompts only": (found.prompts_only, 0.0),
        }

    return study


PROMPT_SPREAD, RATER_SPREAD = 0.65, 0.3
"""Standard deviations beside a vote's own of 1: intraclass correlation 0.3 within a prompt."""


def draw_votes(
    random: Random, raters: int, prompts: int, latent: Mapping[tuple[str, str], float]
) -> Votes:
    """Every rater votes once on every prompt and pair, after raters' and prompts' tastes."""
    rows = []
    for (first, second), preference in latent.items():
        taste = (
            preference
            + RATER_SPREAD * random.normal(size=(raters, 1))
            + PROMPT_SPREAD * random.normal(size=(1, prompts))
            + random.normal(size=(raters, prompts))
        )
        rows += [
            (first, second, float(taste[rater, prompt] > 0), str(rater), str(prompt))
            for rater in range(raters)
            for prompt in range(prompts)
        ]
    return Votes(*zip(*rows, strict=True))


def share_of(latent: float) -> float:
    """The share of all votes of all raters and prompts behind a latent preference."""
    return float(norm.cdf(latent / np.sqrt(1 + PROMPT_SPREAD**2 + RATER_SPREAD**2)))


def votes(raters: int, prompts: int) -> Study:
    """Studies of how often one of two systems is preferred."""
    truth = share_of(0.4)

    def study(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
        ballots = draw_votes(random, raters, prompts, {("new", "old"): 0.4})
        return {
            "two-way": (preference_share(ballots, "new", draws=DRAWS, seed=seed), truth),
            "wilson, votes alone": (
                wilson(int(sum(ballots.outcomes)), len(ballots.outcomes)),
                truth,
            ),
        }

    return study


def strengths(random: Random, seed: int) -> dict[str, tuple[Interval, float]]:
    """A study of three systems; the truth is the fit to the shares of all votes."""
    logits = {"a": 0.5, "b": 0.0, "c": -0.5}
    scale = np.sqrt(1 + PROMPT_SPREAD**2 + RATER_SPREAD**2)
    latent = {
        (one, other): float(norm.ppf(1 / (1 + np.exp(logits[other] - logits[one])))) * scale
        for one, other in (("a", "b"), ("a", "c"), ("b", "c"))
    }
    ballots = draw_votes(random, 8, 20, latent)
    found = strength_intervals(ballots, draws=DRAWS, seed=seed)
    return {"two-way": (found["a"], logits["a"])}


if __name__ == "__main__":
    main()
