"""The table of minimal pairs: in how many the attribute moves as the words do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.scenes.cases import Case
from soundwright.evaluation.scenes.controls import Controls
from soundwright.evaluation.scenes.figures import Figure, Row, figure_of
from soundwright.evaluation.scenes.fitness import why_withheld
from soundwright.evaluation.scenes.judging import Heard, Takes
from soundwright.evaluation.scenes.pairs import PAIR_AXES, attribute_of, compare
from soundwright.evaluation.scenes.tables import ROTATIONS
from soundwright.evaluation.statistics.intervals import Vector
from soundwright.evaluation.statistics.paired import mean_interval, paired_difference
from soundwright.evaluation.statistics.proportions import corrected_share, wilson

Pair = tuple[Case, Case]


def make_pair_table(
    pairs: Sequence[Pair], system: Takes, controls: Controls, against: Takes | None = None
) -> list[Row]:
    """The win rate of every axis that has pairs; a tie is half a win.

    The judge is measured on the pairs of true scenes. It sees an exchanged pair as it sees the
    pair itself, with the sign turned, so that one share is its sensitivity and its specificity: its
    wins and half of its ties, rounded down to whole pairs.
    """
    rows = []
    for axis in PAIR_AXES:
        own = [pair for pair in pairs if pair[0].axis == axis]
        if own:
            rows.append(_fill(axis, own, system, controls, against))
    return rows


def win_rates(pairs: Sequence[Pair], takes: Takes) -> Vector:
    """[N], of each pair: wins and half the ties among its samples, sample by sample."""
    rates = [
        float(
            np.mean(
                [
                    _outcome(first, one, other)
                    for one, other in zip(takes[first.id], takes[second.id], strict=False)
                ]
            )
        )
        for first, second in pairs
    ]
    return np.array(rates, np.float64)


def _fill(
    axis: str, pairs: Sequence[Pair], system: Takes, controls: Controls, against: Takes | None
) -> Row:
    cases = [case for pair in pairs for case in pair]
    truth = win_rates(pairs, {case.id: (controls.trials[case.id].truth,) for case in cases})
    won = (int(truth.sum()), len(pairs))
    judge = figure_of(wilson(*won))
    row = Row(axis=axis, measure="pairs", prompts=len(cases), sensitivity=judge, specificity=judge)
    withheld = why_withheld(won, won)
    if withheld:
        return row.model_copy(update={"withheld": withheld})
    rates = win_rates(pairs, system)
    figures: dict[str, object] = {
        "system": _figure(rates),
        "truth": _figure(truth),
        "outcomes": f"{_count(rates > 0.5)}/{_count(rates == 0.5)}/{_count(rates < 0.5)}",
        "shuffled": _shuffled(pairs, system),
    }
    for name in ("silence", "constant", "noise"):
        same: Heard = getattr(controls, name)
        figures[name] = _figure(win_rates(pairs, {case.id: (same,) for case in cases}))
    if len(rates) > 1:
        figures["corrected"] = figure_of(corrected_share(rates, won, won))
    if against is not None:
        other = win_rates(pairs, against)
        figures["against"] = _figure(other)
        if len(rates) > 1:
            figures["difference"] = figure_of(paired_difference(rates, other))
    return row.model_copy(update=figures)


def _outcome(first: Case, one: Heard, other: Heard) -> float:
    values = [attribute_of(first, heard.events, heard.nearness_db) for heard in (one, other)]
    return compare(values[0], values[1])


def _shuffled(pairs: Sequence[Pair], takes: Takes) -> Figure | None:
    """The axis's sounds dealt to its prompts anew; a sound never returns to its own pair."""
    ids = [case.id for pair in pairs for case in pair]
    partner = {one.id: two.id for pair in pairs for one, two in (pair, pair[::-1])}
    order = [ids[one] for one in numpy_stream(0, "shuffle", "pairs").permutation(len(ids))]
    outcomes: dict[str, list[float]] = {first.id: [] for first, _ in pairs}
    for step in range(1, min(ROTATIONS, len(ids) - 1) + 1):
        dealt: Mapping[str, str] = {
            own: order[(place + step) % len(order)] for place, own in enumerate(order)
        }
        for first, second in pairs:
            sources = (dealt[first.id], dealt[second.id])
            if {first.id, second.id} & set(sources) or partner[sources[0]] == sources[1]:
                continue
            outcomes[first.id].append(_outcome(first, takes[sources[0]][0], takes[sources[1]][0]))
    means = [float(np.mean(values)) for values in outcomes.values() if values]
    return _figure(np.array(means)) if means else None


def _figure(rates: Vector) -> Figure:
    """Wilson's interval where no pair is tied, a bootstrap over pairs otherwise."""
    if bool(np.isin(rates, (0, 1)).all()):
        return figure_of(wilson(int(rates.sum()), len(rates)))
    if len(rates) < 2:
        return Figure(value=float(rates.mean()), units=len(rates))
    return figure_of(mean_interval(rates))


def _count(flags: np.ndarray) -> int:
    return int(flags.sum())
