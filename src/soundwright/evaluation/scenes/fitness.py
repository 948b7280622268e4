"""Whether a judge is good enough: what it says of scenes of which all is known."""

from __future__ import annotations

from collections.abc import Sequence

from soundwright.evaluation.scenes.cases import Case
from soundwright.evaluation.scenes.controls import Controls
from soundwright.evaluation.scenes.scoring import score_events
from soundwright.evaluation.statistics.proportions import is_fit, youden


def judge_shares(
    check: str, cases: Sequence[Case], controls: Controls
) -> tuple[tuple[int, int], tuple[int, int], dict[str, str]]:
    """How a judge does on a check, on true scenes and on faulty ones.

    Args:
        check: Of `score_events`.
        cases: Those that demand it.
        controls: What the judge heard.

    Returns:
        Of the scenes that fulfil the check, how many the judge accepts, and their number; of those
        that break it, how many it rejects, and their number; the latter by fault, as "9/10".
    """
    found, true = 0, 0
    rejected: dict[str, list[int]] = {}
    for case in cases:
        trial = controls.trials[case.id]
        said = score_events(case, trial.truth.events).checks
        if check not in said:
            continue
        found, true = found + said[check], true + 1
        for name, fault in trial.faults.items():
            holds = score_events(case, fault.events).checks[check]
            passes = score_events(case, fault.heard.events).checks[check]
            if holds:
                found, true = found + passes, true + 1
            else:
                rejected.setdefault(name, []).append(int(not passes))
    right = sum(sum(values) for values in rejected.values())
    wrong = sum(len(values) for values in rejected.values())
    by_fault = {name: f"{sum(values)}/{len(values)}" for name, values in rejected.items()}
    return (found, true), (right, wrong), by_fault


def why_withheld(found: tuple[int, int], rejected: tuple[int, int]) -> str:
    """Why an axis says too little about sounds to be printed; empty where it says enough."""
    if not found[1] or not rejected[1]:
        return "withheld: the judge cannot be measured without true and faulty scenes"
    sensitivity, specificity = found[0] / found[1], rejected[0] / rejected[1]
    if is_fit(sensitivity, specificity):
        return ""
    index = youden(sensitivity, specificity)
    return f"withheld: the judge is not good enough ({index:.2f})"
