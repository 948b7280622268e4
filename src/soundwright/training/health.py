"""Alarms: rules over logged numbers that say when a run is going wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from soundwright.core.config import Config


class AlarmConfig(Config):
    """One rule: a metric beyond a bound in several records one after another."""

    name: str
    metric: str
    """Name of the metrics watched, with * for any text."""
    below: float | None = None
    above: float | None = None
    patience: Annotated[int, Field(ge=1)] = 3
    """Records in a row beyond a bound before the alarm sounds."""
    after: Annotated[int, Field(ge=0)] = 0
    """Steps done before the rule holds."""
    advice: str = ""
    """What a person can do about it."""
    stop: bool = False
    """Whether the run ends with an error; otherwise the alarm is logged."""

    def is_bad(self, value: float) -> bool:
        """Whether `value` lies beyond a bound; NaN always does."""
        if math.isnan(value):
            return True
        return (self.below is not None and value < self.below) or (
            self.above is not None and value > self.above
        )


DEAD_CODEBOOK = AlarmConfig(
    name="dead codebook",
    metric="*codebook_usage*",
    below=0.1,
    after=200,
    advice="Normalise the latents before quantising, or replace unused codes sooner.",
)
"""`codebook_usage`: the part of a codebook's entries that recent batches used."""

SILENCE = AlarmConfig(
    name="silence",
    metric="*silent_fraction",
    above=0.5,
    patience=2,
    advice="Listen to the samples; look at the codec's reconstructions first.",
)
"""`silent_fraction`: the part of the generated sounds that is silent."""

COLLAPSE = AlarmConfig(
    name="collapse",
    metric="*distinct_fraction",
    below=0.2,
    patience=2,
    advice="Samples repeat each other: lower the learning rate or the weight of RR.",
)
"""`distinct_fraction`: distinct samples, tokens or vectors as a part of all of them."""


class HealthConfig(Config):
    """The rules that a run is watched by."""

    alarms: tuple[AlarmConfig, ...] = (DEAD_CODEBOOK, SILENCE, COLLAPSE)
    not_finite: bool = True
    """Whether any logged number that is NaN or infinite raises an alarm at once."""


@dataclass(frozen=True)
class Alert:
    """An alarm that sounds."""

    alarm: str
    metric: str
    value: float
    advice: str = ""
    stop: bool = False

    def __str__(self) -> str:
        text = f"{self.alarm}: {self.metric} is {self.value:.4g}."
        return f"{text} {self.advice}" if self.advice else text


class HealthMonitor:
    """Feeds records to the rules; an alarm sounds once and again only after it was well."""

    def __init__(self, config: HealthConfig) -> None:
        self._config = config
        self._counts: dict[str, int] = {}

    def observe(self, step: int, metrics: Mapping[str, float]) -> list[Alert]:
        """Take in one record of `step` done steps and return the alarms that begin with it."""
        alerts = [
            Alert(alarm.name, name, value, alarm.advice, alarm.stop)
            for alarm in self._config.alarms
            if step >= alarm.after
            for name, value in metrics.items()
            if fnmatchcase(name, alarm.metric)
            and self._count(f"{alarm.name}/{name}", alarm.is_bad(value)) == alarm.patience
        ]
        if self._config.not_finite:
            alerts += [
                Alert("not finite", name, value)
                for name, value in metrics.items()
                if self._count(f"not finite/{name}", not math.isfinite(value)) == 1
            ]
        return alerts

    def state_dict(self) -> dict[str, int]:
        """How many records in a row each rule has found bad."""
        return dict(self._counts)

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Take back what `state_dict` gave."""
        self._counts = dict(state)

    def _count(self, key: str, bad: bool) -> int:
        if not bad:
            self._counts.pop(key, None)
            return 0
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts[key]
