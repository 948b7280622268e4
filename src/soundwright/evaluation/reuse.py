"""Warnings where a scorer that helped to make the sounds now measures them, or knows the reference.

Tango 2 chose its training pairs with one CLAP checkpoint and reported that checkpoint's score. A
number of a scorer that took part says how well the system pleases the scorer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from soundwright.core.errors import UserError
from soundwright.evaluation.collection import Item
from soundwright.evaluation.encoders import ENCODERS
from soundwright.evaluation.metrics import Metric
from soundwright.evaluation.problems import Problem
from soundwright.pipelines.models import list_models, read_record


def warn_of_reuse(
    metrics: Sequence[Metric],
    scorers: Mapping[str, str],
    generated: Iterable[Item],
) -> list[str]:
    """One sentence for each scorer that measures what it helped to make.

    Args:
        metrics: Those that are measured.
        scorers: The encoders' own names by the names in the table.
        generated: The sounds; their JSON files say how they were chosen and by which model made.
    """
    used = _scorers_used(list(generated))
    warnings = []
    for metric in metrics:
        names = {metric.encoder, scorers.get(metric.encoder, metric.encoder)}
        for scorer, how in used.items():
            if any(_is_same(scorer, name) for name in names):
                warnings.append(
                    f"{metric.name} is measured with {metric.encoder}, which {how}: the number "
                    "says how well the system pleases that scorer, not how good it is."
                )
    return warnings


def warn_of_overlap(problems: Sequence[Problem]) -> list[str]:
    """One sentence where sounds stand on both sides."""
    count = sum(problem.kind == "in-both" for problem in problems)
    if not count:
        return []
    return [
        f"{count} generated sounds stand in both sets, sample by sample: distances are too small, "
        "and the system may not be what is measured."
    ]


def _scorers_used(items: Sequence[Item]) -> dict[str, str]:
    """What each scorer was used for, by its name."""
    chosen = {
        ranking["scorer"]
        for item in items
        if isinstance(ranking := item.origin.get("ranking"), Mapping)
        and isinstance(ranking.get("scorer"), str)
    }
    used = dict.fromkeys(sorted(chosen), "chose among candidates of these sounds")
    for item in items:
        for scorer in _as_mapping(item.origin.get("scores")):
            used.setdefault(scorer, "put numbers on these sounds in their manifest")
    models = {item.origin["model"] for item in items if isinstance(item.origin.get("model"), str)}
    for scorer, model in _named_in_training(models).items():
        used.setdefault(scorer, f"the recipe of {model} names")
    return used


def _named_in_training(models: set[str]) -> dict[str, str]:
    """By encoder, which of these models, if it is on this machine, names it in its recipe."""
    found: dict[str, str] = {}
    for folder in list_models().values():
        try:
            record = read_record(folder)
        except UserError:
            continue
        words = set(re.findall(r"[\w.-]+", json.dumps(record.recipe)))
        if record.name in models:
            found |= {name: record.name for name in ENCODERS if name in words}
    return found


def _is_same(scorer: str, name: str) -> bool:
    """Whether two names are of one scorer; one may say more than the other."""
    first, second = scorer.casefold(), name.casefold()
    return first == second or first.startswith(f"{second}-") or second.startswith(f"{first}-")


def _as_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
