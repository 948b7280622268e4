"""From embeddings to a metric's number: which function serves which kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from soundwright.evaluation.encoders import Kind
from soundwright.evaluation.metrics import AXES, Metric
from soundwright.evaluation.pair_scores import (
    measure_accuracy,
    measure_kl,
    measure_mark,
    measure_match,
)
from soundwright.evaluation.set_scores import (
    measure_fd,
    measure_fd_inf,
    measure_is,
    measure_kad,
)
from soundwright.evaluation.sides import Described, Measured

_MEASURES: Mapping[Kind, Callable[[Described, Metric], Measured]] = MappingProxyType(
    {
        "fd": lambda heard, metric: measure_fd(heard, metric.convention),
        "fd-inf": lambda heard, _: measure_fd_inf(heard),
        "kad": lambda heard, _: measure_kad(heard),
        "kl": lambda heard, metric: measure_kl(heard, metric.convention),
        "is": lambda heard, metric: measure_is(heard, metric.convention),
        "match": lambda heard, _: measure_match(heard),
        "accuracy": lambda heard, _: measure_accuracy(heard),
        "aesthetics": lambda heard, metric: measure_mark(heard, list(AXES).index(metric.axis)),
    }
)


def measure(metric: Metric, heard: Described) -> Measured:
    """Compute a metric.

    Raises:
        UserError: It cannot be computed of these sounds; the text is the reason.
    """
    measured = _MEASURES[metric.kind](heard, metric)
    short = len(heard.sides.generated) - len(heard.samples)
    if not short:
        return measured
    remark = f"{short} sounds are shorter than a window and left out. {measured.remark}".strip()
    return replace(measured, remark=remark)
