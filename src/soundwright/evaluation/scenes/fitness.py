"""Whether a judge is good enough: what it says of scenes of which all is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundwright.evaluation.scenes.cases import Case
from soundwright.evaluation.scenes.controls import Controls
from soundwright.evaluation.scenes.scoring import score_events
from soundwright.evaluation.statistics.proportions import is_fit, youden


@dataclass(frozen=True)
class Fitness:
    """How a judge does on one check."""

    found: tuple[int, int]
    """Of the true scenes, how many the judge accepts; and their number."""
    rejected: tuple[int, int]
    """Of the faulty scenes that break the check, how many it rejects; and their number."""
    faults: Mapping[str, str]
    """The latter by kind of fault: "9/10"."""
    cluttered: Mapping[str, str]
    """Of the faulty scenes that do not break the check, how many it accepts, by kind. What is
    wrong with them makes it harder to hear what is right; sensitivity is of true scenes alone."""


def judge_fitness(check: str, cases: Sequence[Case], controls: Controls) -> Fitness:
    """How a judge does on a check, on true scenes and on faulty ones.

    Args:
        check: Of `score_events`.
        cases: Those that do not demand it count for nothing.
        controls: What the judge heard.
    """
    truth: list[bool] = []
    rejected: dict[str, list[bool]] = {}
    accepted: dict[str, list[bool]] = {}
    for case in cases:
        trial = controls.trials[case.id]
        said = score_events(case, trial.truth.events).checks
        if check not in said:
            continue
        truth.append(said[check])
        for name, fault in trial.faults.items():
            passes = score_events(case, fault.heard.events).checks[check]
            if score_events(case, fault.events).checks[check]:
                accepted.setdefault(name, []).append(passes)
            else:
                rejected.setdefault(name, []).append(not passes)
    every = [one for values in rejected.values() for one in values]
    return Fitness(
        found=(sum(truth), len(truth)),
        rejected=(sum(every), len(every)),
        faults=_shares(rejected),
        cluttered=_shares(accepted),
    )


def why_withheld(found: tuple[int, int], rejected: tuple[int, int]) -> str:
    """Why an axis says too little about sounds to be printed; empty where it says enough."""
    if not found[1] or not rejected[1]:
        return "withheld: the judge cannot be measured without true and faulty scenes"
    sensitivity, specificity = found[0] / found[1], rejected[0] / rejected[1]
    if is_fit(sensitivity, specificity):
        return ""
    index = youden(sensitivity, specificity)
    return f"withheld: the judge is not good enough ({index:.2f})"


def _shares(values: Mapping[str, Sequence[bool]]) -> dict[str, str]:
    return {name: f"{sum(right)}/{len(right)}" for name, right in values.items()}
