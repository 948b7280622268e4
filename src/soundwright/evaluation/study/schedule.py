"""Who hears what, in which order and on which side: a function of the study and a rater's number.

Every rater has the prompts that raters before had least often, in an order of its own. A pair's
sides are drawn for every rater; whichever raters see a pair, one system is never on the left more
than once oftener than the other. Nothing of this depends on what was answered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from threading import Lock
from typing import TypeVar

import numpy as np

from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.study.records import Copy, Kind, Side, Study

T = TypeVar("T")
SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True)
class Stimulus:
    """One sound of the study."""

    system: str
    material: int
    """Place of the prompt that the sound was made for."""


@dataclass(frozen=True)
class Trial:
    """What a rater hears and is asked at once."""

    kind: Kind
    material: int
    """Place of the prompt that is shown."""
    stimuli: tuple[Stimulus, ...]
    """Left and right; one sound in a rating."""
    foil: Side | None = None
    repeats: int | None = None
    """Place of the earlier trial in the rater's list."""

    @property
    def sides(self) -> dict[Side, Stimulus]:
        """The sounds by side; the only one of a rating is on the left."""
        return dict(zip(SIDES, self.stimuli, strict=False))


class Schedule:
    """The lists of trials of all raters, made up to the last one that was asked for.

    Args:
        study: The study.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._lists: list[tuple[Trial, ...]] = []
        self._seen: Counter[int] = Counter()
        self._lefts: Counter[tuple[int, tuple[str, ...]]] = Counter()
        self._pairs: Counter[tuple[int, tuple[str, ...]]] = Counter()
        self._lock = Lock()

    def trials(self, number: int) -> tuple[Trial, ...]:
        """The list of the rater `number`, counted from 0."""
        with self._lock:
            while len(self._lists) <= number:
                self._lists.append(self._deal(len(self._lists)))
            return self._lists[number]

    def copy_of(self, stimulus: Stimulus) -> Copy:
        """The sound that is played."""
        return self.study.materials[stimulus.material].copies[stimulus.system]

    def _deal(self, number: int) -> tuple[Trial, ...]:
        random = numpy_stream(self.study.plan.seed, "study", "rater", number)
        order = random.permutation(len(self.study.materials))
        chosen = sorted(order, key=lambda place: self._seen[place])[: self.study.plan.per_rater]
        votes = [trial for place in chosen for trial in self._votes(int(place), random)]
        self._seen.update(int(place) for place in chosen)
        random.shuffle(votes)
        trials = votes + self._foils(votes, random) + self._identical(votes, random)
        # Controls are dealt in among the votes, never as the first trial.
        trials = [trials[0], *(trials[1 + place] for place in random.permutation(len(trials) - 1))]
        return self._repeat(trials, random)

    def _votes(self, place: int, random: np.random.Generator) -> list[Trial]:
        if self.study.plan.form == "ratings":
            return [
                Trial("vote", place, (Stimulus(system, place),)) for system in self.study.systems
            ]
        return [
            Trial("vote", place, self._place(place, pair, random))
            for pair in combinations(self.study.systems, 2)
        ]

    def _place(
        self, place: int, pair: tuple[str, ...], random: np.random.Generator
    ) -> tuple[Stimulus, ...]:
        """The pair from left to right: the side that its first system had less, else a coin."""
        key = (place, pair)
        lefts, rights = self._lefts[key], self._pairs[key] - self._lefts[key]
        left = bool(random.integers(2)) if lefts == rights else lefts < rights
        self._pairs[key] += 1
        self._lefts[key] += left
        sounds = tuple(Stimulus(system, place) for system in pair)
        return sounds if left else sounds[::-1]

    def _foils(self, votes: list[Trial], random: np.random.Generator) -> list[Trial]:
        trials: list[Trial] = []
        for vote in self._sample(votes, self.study.plan.controls.foils, random):
            others = [place for place in range(len(self.study.materials)) if place != vote.material]
            system = vote.stimuli[0].system
            right = Stimulus(system, vote.material)
            wrong = Stimulus(system, int(random.choice(others)))
            if self.study.plan.form == "ratings":
                trials.append(Trial("foil", vote.material, (wrong,), foil="left"))
            elif random.integers(2):
                trials.append(Trial("foil", vote.material, (wrong, right), foil="left"))
            else:
                trials.append(Trial("foil", vote.material, (right, wrong), foil="right"))
        return trials

    def _identical(self, votes: list[Trial], random: np.random.Generator) -> list[Trial]:
        chosen = self._sample(votes, self.study.plan.controls.identical, random)
        return [
            Trial("identical", vote.material, (vote.stimuli[0], vote.stimuli[0])) for vote in chosen
        ]

    def _repeat(self, trials: list[Trial], random: np.random.Generator) -> tuple[Trial, ...]:
        """Trials of the first half come again, sides changed, behind the middle."""
        middle = (len(trials) + 1) // 2
        places = [place for place in range(middle) if trials[place].kind == "vote"]
        again = [
            Trial("repeat", trials[place].material, trials[place].stimuli[::-1], repeats=place)
            for place in self._sample(places, self.study.plan.controls.repeats, random)
        ]
        behind = [*trials[middle:], *again]
        mixed = [behind[place] for place in random.permutation(len(behind))]
        return (*trials[:middle], *mixed)

    @staticmethod
    def _sample(values: list[T], count: int, random: np.random.Generator) -> list[T]:
        """`count` of the values, or all where there are fewer."""
        return [values[place] for place in random.permutation(len(values))[:count]]
