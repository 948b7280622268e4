import numpy as np
import pytest

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.distances.inception import (
    clip_probabilities,
    deal_splits,
    inception_score,
)
from soundwright.evaluation.statistics.inception_jackknife import (
    WeightedInception,
    inception_difference,
    inception_interval,
    inception_swap_test,
)

WHOLE = np.zeros(40, int)


def logits(number: int, *names: str | int, sureness: float = 4.0) -> np.ndarray:
    """[N, 1, 8], each sure of one class."""
    random = numpy_stream(0, "inception test", *names)
    levels = random.standard_normal((number, 8))
    levels[np.arange(number), random.integers(0, 8, number)] += sureness
    return levels[:, None]


def probabilities(number: int, *names: str | int, sureness: float = 4.0) -> np.ndarray:
    return clip_probabilities(list(logits(number, *names, sureness=sureness)))


@pytest.mark.parametrize("convention", ["soundwright", "audioldm"])
def test_the_estimate_is_the_score_and_its_spread_that_of_scores_without_one_clip(convention):
    clips = list(logits(40, "clips"))
    splits = deal_splits(40, convention)
    interval = inception_interval(clip_probabilities(clips), range(40), splits)
    assert interval.estimate == pytest.approx(inception_score(clips, convention).value, rel=1e-12)
    assert (interval.units, interval.method) == (40, "t")
    rows = clip_probabilities(clips)
    without = []
    for place in range(40):
        kept = np.arange(40) != place
        scores = []
        for split in np.unique(splits):
            inside = rows[kept & (splits == split)]
            mean = inside.mean(0)
            scores.append(np.exp((inside * np.log(inside / mean)).sum(1).mean()))
        without.append(np.mean(scores))
    half = 2.022691 * np.sqrt(39 / 40 * np.square(without - np.mean(without)).sum())
    assert interval.high - interval.estimate == pytest.approx(half, rel=1e-6)


def test_sounds_of_a_prompt_are_left_out_together():
    rows = probabilities(20, "prompt")
    twice, splits = np.concatenate([rows, rows]), np.zeros(40, int)
    once = inception_interval(rows, range(20), splits[:20])
    both = inception_interval(twice, [*range(20), *range(20)], splits)
    assert (both.low, both.high) == pytest.approx((once.low, once.high), rel=1e-9)
    apart = inception_interval(twice, range(40), splits)
    assert apart.high - apart.low < 0.8 * (once.high - once.low)


def test_intervals_hold_the_score_of_so_many_clips():
    made = [probabilities(40, "truth", number) for number in range(300)]
    once = np.ones((1, 40))
    scores = [WeightedInception(one, range(40), WHOLE, 40).scores(once)[0] for one in made]
    truth = float(np.mean(scores))
    intervals = [inception_interval(one, range(40), WHOLE) for one in made[:100]]
    assert sum(not interval.excludes(truth) for interval in intervals) >= 90


def test_a_difference_is_paired_and_its_test_agrees():
    old = probabilities(40, "old")
    prompts = [f"p{number}" for number in range(40)]
    same = (old, prompts, WHOLE, old, prompts, WHOLE)
    nothing = inception_difference(*same)
    assert (nothing.estimate, nothing.low, nothing.high) == pytest.approx((0, 0, 0), abs=1e-12)
    assert inception_swap_test(*same, permutations=99) == 1
    blurred = 0.6 * old + 0.4 / 8
    worse = (blurred, prompts, WHOLE, old, prompts, WHOLE)
    interval = inception_difference(*worse)
    assert interval.high < 0
    assert inception_swap_test(*worse, permutations=199) <= 0.01
    alone = inception_interval(old, prompts, WHOLE)
    assert interval.high - interval.low < alone.high - alone.low


def test_chance_alone_is_seldom_called_a_difference():
    prompts = range(40)
    p = [
        inception_swap_test(
            *(probabilities(40, "new", trial), prompts, WHOLE),
            *(probabilities(40, "old", trial), prompts, WHOLE),
            permutations=99,
        )
        for trial in range(100)
    ]
    assert 0.01 <= np.mean(np.array(p) <= 0.1) <= 0.2


def test_what_does_not_fit_is_refused():
    rows = probabilities(6, "bad")
    with pytest.raises(UserError, match="at least two clips"):
        inception_interval(rows, ["a"] * 6, np.zeros(6))
    with pytest.raises(UserError, match="do not fit"):
        inception_interval(rows, range(6), np.zeros(5))
    rows[1, 1] = np.nan
    with pytest.raises(UserError, match="not finite"):
        inception_interval(rows, range(6), np.zeros(6))


def test_the_last_clip_of_a_split_takes_the_split_with_it():
    rows = probabilities(3, "split")
    system = WeightedInception(rows, range(3), [0, 0, 1], 3)
    assert system.scores(np.array([[1.0, 1, 0]]))[0] == pytest.approx(
        WeightedInception(rows[:2], range(2), [0, 0], 2).scores(np.ones((1, 2)))[0]
    )
