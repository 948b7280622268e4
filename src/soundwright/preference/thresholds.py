"""Which pairs are good enough to learn from: floors and bands of judges, who must all agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from soundwright.core.config import Config, merge, parse_override, read_yaml
from soundwright.core.errors import ConfigError, nearest
from soundwright.preference.records import Candidate, Reason, RejectionKind, Scores

ROUNDING = 1e-9
"""Scores that differ from a limit by so little reach it."""


class Quantile(Config):
    """A limit that lies where this part of the candidates lies below it.

    Of those candidates whose sounds are sound and of which the judge finds the winner better: of
    their winners' scores, their losers' scores, or their differences.
    """

    quantile: Annotated[float, Field(ge=0, le=1)]


Limit = float | Quantile | None
"""A number, one that follows from the candidates, or none."""


class Rule(Config):
    """What one judge asks of a pair."""

    alpha: Limit = None
    """Least score of the winner."""
    beta: Limit = None
    """Least score of the loser: a negative that is near is worth more than one that is absurd."""
    least_delta: Limit = None
    """Least difference, winner less loser."""
    greatest_delta: Limit = None
    ordered: bool = True
    """Whether the winner must have the higher score; False for a guard that does not compare."""


class Selection(Config):
    """The judges of a selection and their rules."""

    judges: dict[str, Rule]
    """By name; the first finds the winner among several samples of one prompt."""

    @model_validator(mode="after")
    def _compares(self) -> Self:
        if not any(rule.ordered for rule in list(self.judges.values())[:1]):
            raise ValueError("the first judge finds the winner, and must be there and be ordered")
        return self


PRESETS: Mapping[str, Selection] = MappingProxyType(
    {
        # Section 4.1.2 of Tango 2.
        "tango2": Selection(
            judges={
                "clap-630k-audioset-best": Rule(
                    alpha=0.45, beta=0.40, least_delta=0.05, greatest_delta=0.35
                ),
                "clap-630k-best": Rule(alpha=0.60, beta=0.0, least_delta=0.08, greatest_delta=0.70),
            }
        ),
        # The matcher's cosines are no CLAP scores, and nobody has published limits for them; so
        # these follow from the candidates. The better half of the winners; of the losers all but
        # the worst tenth; of the differences neither the smallest quarter, which is noise, nor the
        # largest twentieth. The guard is against winning by level.
        "matcher": Selection(
            judges={
                "matcher": Rule(
                    alpha=Quantile(quantile=0.5),
                    beta=Quantile(quantile=0.1),
                    least_delta=Quantile(quantile=0.25),
                    greatest_delta=Quantile(quantile=0.95),
                ),
                "loudness": Rule(
                    alpha=-50.0, beta=-50.0, least_delta=-12.0, greatest_delta=12.0, ordered=False
                ),
            }
        ),
    }
)


def read_selection(name: str, overrides: Iterable[str] = ()) -> Selection:
    """The selection called `name`, with overrides.

    Args:
        name: A key of `PRESETS`, or a YAML file with `judges`.
        overrides: Such as "judges.matcher.alpha=0.3"; "judges.loudness=" leaves a judge out.

    Raises:
        ConfigError: There is no such selection, or it does not hold.
    """
    if name in PRESETS:
        values = PRESETS[name].plain()
    elif Path(name).suffix in (".yaml", ".yml"):
        values = read_yaml(Path(name))
    else:
        raise ConfigError(
            f"There are no thresholds {name!r}.",
            expected=f"{nearest(name, PRESETS)}, or a YAML file with judges",
        )
    for override in overrides:
        values = merge(values, parse_override(override))
    judges = values.get("judges")
    if isinstance(judges, Mapping):
        values = {**values, "judges": {key: rule for key, rule in judges.items() if rule}}
    return Selection.read(values, origin=f"the thresholds {name}")


def settle_limits(selection: Selection, candidates: Sequence[Candidate]) -> Selection:
    """The selection with a number in the place of every quantile.

    Args:
        selection: Any.
        candidates: Whose sounds have no fault. Where a judge has nothing to say of any of them,
            its quantiles are no limits.
    """
    settled = {}
    for name, rule in selection.judges.items():
        said = [one.scores[name] for one in candidates if name in one.scores]
        said = [one for one in said if math.isfinite(one.delta)]
        said = [one for one in said if one.delta > 0 or not rule.ordered]
        numbers = {
            "alpha": [one.winner for one in said],
            "beta": [one.loser for one in said],
            "least_delta": [one.delta for one in said],
            "greatest_delta": [one.delta for one in said],
        }
        limits = {key: _settle(getattr(rule, key), values) for key, values in numbers.items()}
        settled[name] = rule.model_copy(update=limits)
    return Selection(judges=settled)


def find_reasons(scores: Mapping[str, Scores], selection: Selection) -> list[Reason]:
    """Why scores do not make a pair; none where all judges agree.

    Args:
        scores: By judge; one that has nothing to say is not there.
        selection: From `settle_limits`.
    """
    reasons = [
        reason
        for place, (name, rule) in enumerate(selection.judges.items())
        if name in scores
        for reason in _judge(name, rule, scores[name], is_first=place == 0)
    ]
    if not any(name in scores for name, rule in selection.judges.items() if rule.ordered):
        reasons.append(Reason(kind="not judged"))
    return reasons


def _judge(name: str, rule: Rule, scores: Scores, *, is_first: bool) -> Iterator[Reason]:
    if not math.isfinite(scores.delta):
        yield Reason(kind="score not finite", about=name)
        return
    if rule.ordered and scores.delta <= 0:
        kind = "winner not better" if is_first else "judge disagrees"
        yield Reason(kind=kind, about=name, value=scores.delta, threshold=0.0)
        return
    below: tuple[tuple[RejectionKind, float, Limit], ...] = (
        ("winner below alpha", scores.winner, rule.alpha),
        ("loser below beta", scores.loser, rule.beta),
        ("delta too small", scores.delta, rule.least_delta),
    )
    for kind, value, limit in below:
        if isinstance(limit, float) and value < limit - ROUNDING:
            yield Reason(kind=kind, about=name, value=value, threshold=limit)
    limit = rule.greatest_delta
    if isinstance(limit, float) and scores.delta > limit + ROUNDING:
        yield Reason(kind="delta too large", about=name, value=scores.delta, threshold=limit)


def _settle(limit: Limit, values: Sequence[float]) -> float | None:
    if not isinstance(limit, Quantile):
        return limit
    return float(np.quantile(values, limit.quantile)) if values else None
