"""Several metrics at once: the more that are looked at, the more look better by chance."""

from __future__ import annotations

from collections.abc import Mapping


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjustment (1979): keeps the chance of any false finding at the level.

    Args:
        p_values: The p-value of each metric. All that were looked at, not those that please.

    Returns:
        Adjusted p-values in the order given; compare each with the level itself.
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
