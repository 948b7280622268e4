"""The gate: is this system worse than the one whose results were kept?

Both are compared on the prompts that they share, metric by metric, with the interval of the paired
difference. Several metrics are several chances to be wrong: they are taken in the order of their
p-values, each one's interval decides at the level that Holm's procedure gives it, and after one
that decides nothing no further one does. The interval that is shown has 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from soundwright.core.errors import UserError, nearest
from soundwright.core.records import Record
from soundwright.evaluation.cards import Better, refuse_differing
from soundwright.evaluation.differences import Difference, compare
from soundwright.evaluation.evaluating import Evaluation
from soundwright.evaluation.metrics import Metric
from soundwright.evaluation.results import Results, Span
from soundwright.evaluation.statistics.intervals import LEVEL, Interval
from soundwright.evaluation.statistics.multiple import holm

Outcome = Literal["worse", "better", "within tolerance", "no difference seen", "not compared"]


class Verdict(Record):
    """What the comparison says of one metric."""

    metric: str
    better: Better
    verdict: Outcome
    reason: str = ""
    """Why it was not compared."""
    difference: float | None = None
    """This system less the baseline, over shared prompts."""
    interval: Span | None = None
    """Of the difference, at 95 %."""
    decided_at: Span | None = None
    """The interval at the level that Holm's procedure gives this metric; it makes the verdict."""
    p: float | None = None
    p_holm: float | None = None
    prompts: int = 0
    """Shared ones."""
    lacking: int = 0
    """Prompts of the baseline of which this system has no sound."""
    tolerance: float = 0.0


def read_tolerances(given: Sequence[str], metrics: Sequence[Metric]) -> dict[str, float]:
    """Tolerances by metric from texts such as "0.01" or "kad:panns-wgm=0.5".

    Raises:
        UserError: No number, a negative one, or a metric that is not measured.
    """
    names = [metric.name for metric in metrics]
    tolerances = dict.fromkeys(names, 0.0)
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise UserError(
                f"The tolerance {text!r} is not a number of 0 or more.",
                expected="VALUE, or METRIC=VALUE",
            )
        if name and name not in tolerances:
            raise UserError(
                f"The tolerance {text!r} is of a metric that is not measured.",
                expected=nearest(name, names),
            )
        tolerances |= dict.fromkeys([name] if name else names, value)
    return tolerances


def compare_with_baseline(
    evaluation: Evaluation, baseline: Results, folder: Path, tolerances: Mapping[str, float]
) -> list[Verdict]:
    """Compare every metric that both results have.

    Args:
        evaluation: This system.
        baseline: The other one's results.
        folder: Where they lie; its embeddings are looked for there first.
        tolerances: By metric, how much worse is still right.

    Raises:
        UserError: Cards differ, or no prompt is shared.
    """
    ours = {score.metric: score for score in evaluation.results.scores}
    theirs = {score.metric: score for score in baseline.scores}
    cards = {
        name: (score.card, theirs[name].card)
        for name, score in ours.items()
        if name in theirs and score.card is not None
    }
    both = {name: (ours, old) for name, (ours, old) in cards.items() if old is not None}
    refuse_differing(both, same_prompts=True)
    _refuse_strangers(evaluation.results, baseline)
    found: dict[str, Difference | str] = {}
    for metric in evaluation.metrics:
        if metric.name in both:
            found[metric.name] = _try_compare(metric, evaluation, baseline, folder)
        else:
            where = "the baseline" if ours[metric.name].value is not None else "this system"
            found[metric.name] = f"{where} has no number of it"
    return _decide(evaluation.metrics, found, tolerances)


def is_worse(verdicts: Sequence[Verdict]) -> bool:
    """Whether any metric says so."""
    return any(verdict.verdict == "worse" for verdict in verdicts)


def _refuse_strangers(ours: Results, theirs: Results) -> None:
    mine, old = ({row.group for row in results.clips} for results in (ours, theirs))
    if not mine & old:
        raise UserError(
            f"This system and the baseline share no prompt ({len(mine)} and {len(old)} prompts).",
            expected="sounds of the same prompts from both",
        )


def _try_compare(
    metric: Metric, evaluation: Evaluation, baseline: Results, folder: Path
) -> Difference | str:
    try:
        return compare(metric, evaluation, baseline, folder)
    except UserError as error:
        return str(error)


def _decide(
    metrics: Sequence[Metric],
    found: Mapping[str, Difference | str],
    tolerances: Mapping[str, float],
) -> list[Verdict]:
    compared = {name: one for name, one in found.items() if isinstance(one, Difference)}
    p_values = {name: one.p for name, one in compared.items()}
    adjusted = holm(p_values)
    levels: dict[str, float | None] = dict.fromkeys(compared)
    decisive: dict[str, Interval] = {}
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        levels[name] = 1 - (1 - LEVEL) / (len(p_values) - rank)
        decisive[name] = compared[name].interval(levels[name] or LEVEL)
        if not decisive[name].excludes(0.0):
            break
    verdicts: list[Verdict] = []
    for metric in metrics:
        one = found[metric.name]
        if isinstance(one, str):
            verdicts.append(
                Verdict(
                    metric=metric.name,
                    better=metric.facts.better,
                    verdict="not compared",
                    reason=one,
                )
            )
            continue
        at = decisive.get(metric.name)
        shown = one.interval(LEVEL)
        tolerance = tolerances[metric.name]
        verdicts.append(
            Verdict(
                metric=metric.name,
                better=metric.facts.better,
                verdict=_judge(at, metric.facts.better, tolerance),
                difference=shown.estimate,
                interval=Span.of(shown),
                decided_at=None if at is None else Span.of(at),
                p=one.p,
                p_holm=adjusted[metric.name],
                prompts=one.prompts,
                lacking=one.lacking,
                tolerance=tolerance,
            )
        )
    return verdicts


def _judge(at: Interval | None, better: Better, tolerance: float) -> Outcome:
    if at is None or not at.excludes(0.0):
        return "no difference seen"
    least, most = (at.low, at.high) if better == "lower" else (-at.high, -at.low)
    if most < 0:
        return "better"
    return "worse" if least > tolerance else "within tolerance"
