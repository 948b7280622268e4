"""Numbers as they stand in results: with an interval, or withheld."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from soundwright.core.records import Record
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.intervals import (
    DRAWS,
    Interval,
    Vector,
    draw_counts,
    interval_of,
)


class Figure(Record):
    """A number with its 95 % interval over prompts; none where there are too few prompts."""

    value: float
    low: float | None = None
    high: float | None = None
    units: int
    """Prompts that it rests on."""


class Row(Record):
    """One measure of a table. Where it is withheld, no figure but the judge's own is there."""

    axis: str
    measure: str
    prompts: int
    withheld: str = ""
    """Why no figure is given."""
    outcomes: str = ""
    """Of pairs: won, even, lost."""
    system: Figure | None = None
    """The mean over samples: success@1."""
    best_of_k: Figure | None = None
    """Success in at least one of the samples of a prompt, where all prompts have several."""
    corrected: Figure | None = None
    """Rogan and Gladen's estimate of the true share behind `system`."""
    truth: Figure | None = None
    """The ceiling: the judge on true scenes."""
    silence: Figure | None = None
    constant: Figure | None = None
    noise: Figure | None = None
    shuffled: Figure | None = None
    """The system's sounds on other prompts of the axis."""
    against: Figure | None = None
    """The other system's."""
    difference: Figure | None = None
    """System less the other one, paired by prompt."""
    sensitivity: Figure | None = None
    specificity: Figure | None = None
    faults: dict[str, str] = Field(default_factory=dict)
    """Of the faulty scenes of each kind that break this, how many the judge rejects: "9/10"."""
    cluttered: dict[str, str] = Field(default_factory=dict)
    """Of those that do not break it, how many the judge accepts."""


def figure_of(interval: Interval) -> Figure:
    """An interval as it stands in results."""
    return Figure(
        value=interval.estimate, low=interval.low, high=interval.high, units=interval.units
    )


def ratio_figure(parts: Vector, wholes: Vector) -> Figure:
    """Sum of parts over sum of wholes; bootstrap over prompts, expanded percentiles."""
    value = float(parts.sum() / wholes.sum())
    counted = int((wholes > 0).sum())
    if counted < 2:
        return Figure(value=value, units=counted)
    random = numpy_stream(0, "bootstrap", "prompts")
    drawn = [(counts @ parts, counts @ wholes) for counts in draw_counts(random, len(parts), DRAWS)]
    above, below = (np.concatenate(one) for one in zip(*drawn, strict=True))
    replicates = above[below > 0] / below[below > 0]
    interval = interval_of(replicates, value, len(parts), method="expanded")
    return Figure(value=value, low=interval.low, high=interval.high, units=counted)
