"""Votes between two systems, and drawing their raters and prompts again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from soundwright.core.errors import UserError
from soundwright.core.seeding import numpy_stream
from soundwright.evaluation.statistics.intervals import Matrix, draw_counts


@dataclass(frozen=True)
class Votes:
    """Answers to "which is better?", one a row."""

    first: Sequence[str]
    """[V], one of the two systems."""
    second: Sequence[str]
    """[V], the other."""
    outcomes: Sequence[float]
    """[V], 1 where the first was preferred, 0 where the second, 0.5 for a tie."""
    raters: Sequence[str]
    """[V]"""
    prompts: Sequence[str]
    """[V]"""

    def __post_init__(self) -> None:
        lengths = [
            len(column)
            for column in (self.first, self.second, self.outcomes, self.raters, self.prompts)
        ]
        if len(set(lengths)) != 1 or not lengths[0]:
            raise UserError(
                f"Columns of {lengths} votes.",
                expected="as many in each, at least one",
                change="Give every vote two systems, an outcome, a rater and a prompt.",
            )
        if not set(self.outcomes) <= {0, 0.5, 1}:
            raise UserError(
                f"Outcomes of votes are {sorted(set(self.outcomes) - {0, 0.5, 1})[:3]}.",
                expected="1 (for the first), 0 (for the second) or 0.5 (a tie)",
                change="Turn ratings into votes before.",
            )
        if any(one == other for one, other in zip(self.first, self.second, strict=True)):
            raise UserError(
                "There is a vote between a system and itself.",
                expected="two systems in every vote",
                change="Leave controls out.",
            )

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """Names of the systems, sorted."""
        return tuple(sorted({*self.first, *self.second}))

    @cached_property
    def places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """[V] and [V], the places of the first and of the second system in `systems`."""
        place = {name: number for number, name in enumerate(self.systems)}
        return (
            np.array([place[name] for name in self.first]),
            np.array([place[name] for name in self.second]),
        )

    def tally(self, weights: Matrix | None = None) -> tuple[Matrix, Matrix]:
        """Count the votes.

        Args:
            weights: [..., V], how often each vote counts; once, without.

        Returns:
            Wins [..., S, S], row over column, and ties [..., S, S], symmetric.
        """
        outcomes = np.asarray(self.outcomes)
        counts = np.ones(len(outcomes)) if weights is None else weights
        first, second = self.places
        wins, ties = np.zeros((2, len(outcomes), len(self.systems), len(self.systems)))
        every = np.arange(len(outcomes))
        wins[every, first, second] = outcomes == 1
        wins[every, second, first] = outcomes == 0
        ties[every, first, second] = ties[every, second, first] = outcomes == 0.5
        return np.tensordot(counts, wins, 1), np.tensordot(counts, ties, 1)

    def redraw(self, draws: int, seed: int) -> Iterator[Matrix]:
        """How often each vote counts when raters and prompts are drawn again (`redraw_both`)."""
        return redraw_both(self.raters, self.prompts, draws, seed)


def redraw_both(
    raters: Sequence[str], prompts: Sequence[str], draws: int, seed: int
) -> Iterator[Matrix]:
    """Draw raters and prompts again, each for themselves: how often each answer then counts.

    An answer counts as often as its rater was drawn times as often as its prompt was. With two
    ways at once an answer's own chance is counted up to three times (Owen, 2007): where neither
    raters nor prompts differ, intervals are too wide.

    Args:
        raters: [V], who gave each answer.
        prompts: [V], what each answer is about.
        draws: How often to draw.
        seed: Of the stream from which they are drawn.

    Yields:
        [draws', V]; a draw in which no answer counts is left out.
    """
    random = numpy_stream(seed, "bootstrap", "raters and prompts")
    rater_units, rater = np.unique(np.asarray(raters), return_inverse=True)
    prompt_units, prompt = np.unique(np.asarray(prompts), return_inverse=True)
    block = max(1, 2**20 // len(rater))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        by_rater, by_prompt = (
            np.concatenate(list(draw_counts(random, len(units), size)))
            for units in (rater_units, prompt_units)
        )
        weights = by_rater[:, rater] * by_prompt[:, prompt]
        yield weights[weights.any(axis=1)]
