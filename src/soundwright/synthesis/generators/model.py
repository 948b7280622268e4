"""What a generator is: a pure function with a table of parameters, finished in one way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from soundwright.core.errors import UserError, nearest
from soundwright.synthesis.generators.primitives import Signal, band

ONSET_DB = -34.0
"""Level relative to the peak at which a sound is taken to begin."""
END_DB = -48.0
"""Level relative to the peak below which a sound is taken to have ended."""
LOWEST_HZ = 25.0
PEAK = 0.95
DURATION = "duration"


@dataclass(frozen=True)
class Parameter:
    """One number that shapes a sound, with the range that sounds right."""

    name: str
    low: float
    high: float
    meaning: str
    """With its unit."""
    scale: Literal["linear", "log"] = "linear"

    def draw(self, rng: np.random.Generator) -> float:
        """A value from the whole range, uniform or log-uniform."""
        if self.scale == "log":
            return _rounded(float(np.exp(rng.uniform(np.log(self.low), np.log(self.high)))))
        return _rounded(float(rng.uniform(self.low, self.high)))

    def vary(self, value: float, rng: np.random.Generator, amount: float) -> float:
        """A value near `value`, off by about `amount` of the range, inside the range."""
        if self.scale == "log":
            moved = value * (self.high / self.low) ** (amount * rng.standard_normal())
        else:
            moved = value + (self.high - self.low) * amount * rng.standard_normal()
        return _rounded(float(np.clip(moved, self.low, self.high)))


Synthesise = Callable[..., Signal]
"""(rng, sample_rate, **parameters) -> mono signal [N] of any level, with silence around it."""


@dataclass(frozen=True)
class Generator:
    """A sound event that can be made at will.

    Two kinds: an impulsive event is one countable happening (one bark), a texture goes on for as
    long as its parameter `duration` says (rain).
    """

    label: str
    synthesise: Synthesise
    parameters: tuple[Parameter, ...]

    @property
    def is_texture(self) -> bool:
        """Whether it goes on for a given time."""
        return any(parameter.name == DURATION for parameter in self.parameters)

    def draw(self, rng: np.random.Generator) -> dict[str, float]:
        """Parameters of a new source: some dog."""
        return {parameter.name: parameter.draw(rng) for parameter in self.parameters}

    def vary(
        self, values: Mapping[str, float], rng: np.random.Generator, amount: float = 0.03
    ) -> dict[str, float]:
        """Parameters of another event of the same source: the same dog barks again."""
        return {
            parameter.name: parameter.vary(values[parameter.name], rng, amount)
            for parameter in self.parameters
        }

    def render(
        self, values: Mapping[str, float], rng: np.random.Generator, sample_rate: int
    ) -> npt.NDArray[np.float32]:
        """Make the sound.

        Args:
            values: A value for every parameter.
            rng: Draws everything that the parameters leave open.
            sample_rate: Samples a second, at least 8000.

        Returns:
            [N] float32 with peak 0.95, without DC. The sound's onset is its first sample and its
            offset the last.

        Raises:
            UserError: A parameter is missing, unknown or not finite.
        """
        self._check(values)
        signal = self.synthesise(rng, sample_rate, **values)
        return _finish(signal, sample_rate, trims=not self.is_texture)

    def _check(self, values: Mapping[str, float]) -> None:
        names = [parameter.name for parameter in self.parameters]
        for name, value in values.items():
            if name not in names:
                raise UserError(
                    f"The generator {self.label!r} has no parameter {name!r}.",
                    expected=nearest(name, names),
                )
            if not np.isfinite(value):
                raise UserError(f"The parameter {name!r} of {self.label!r} is {value}.")
        for name in names:
            if name not in values:
                raise UserError(f"The generator {self.label!r} needs the parameter {name!r}.")


def _finish(signal: Signal, sample_rate: int, *, trims: bool) -> npt.NDArray[np.float32]:
    clean = band(signal, LOWEST_HZ, None, sample_rate)
    if trims:
        level = np.abs(clean)
        peak = level.max()
        first = int(np.argmax(level > peak * 10 ** (ONSET_DB / 20)))
        last = len(level) - int(np.argmax(level[::-1] > peak * 10 ** (END_DB / 20)))
        clean = clean[first:last]
    rise, fall = (0.001, 0.012) if trims else (0.01, 0.06)
    clean = faded(clean, sample_rate, rise=rise, fall=fall)
    return (clean * (PEAK / max(float(np.abs(clean).max()), 1e-9))).astype(np.float32)


def faded(signal: Signal, sample_rate: int, *, rise: float, fall: float) -> Signal:
    """Raised-cosine edges of `rise` and `fall` seconds, each at most half of the signal."""
    edged = signal.copy()
    for span, edge in ((rise, slice(None)), (fall, slice(None, None, -1))):
        count = min(len(edged) // 2, max(1, round(span * sample_rate)))
        edged[edge][:count] *= (1 - np.cos(np.pi * np.arange(count) / count)) / 2
    return edged


def _rounded(value: float) -> float:
    """Six digits are enough for any parameter and keep scene records readable."""
    return float(f"{value:.6g}")
