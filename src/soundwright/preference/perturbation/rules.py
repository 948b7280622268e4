"""The perturber that needs nobody: rules about the events that are found in a caption."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from soundwright.core.seeding import numpy_stream
from soundwright.preference.perturbation.edits import (
    add_events,
    change_counts,
    change_order,
    drop_events,
    replace_events,
)
from soundwright.preference.perturbation.outline import Outline
from soundwright.preference.perturbation.perturber import (
    PerturbationError,
    PerturbedStrategy,
    find_fault,
    share_words,
)

REVISION = 1
"""Raised when the rules make other captions of the same ones."""
NO_RULE = "no rule applies"
Edit = Callable[[Outline], Iterable[Outline]]

EDITS: tuple[Edit, ...] = (replace_events, change_order, change_counts, drop_events, add_events)
"""Of S2, taken in turn. What does not apply to a caption is passed over."""


class RulePerturber:
    """A `Perturber` by rules; the same seed and caption give the same.

    For S2 the kinds of edit take turns: another event of the same category, another order, another
    count, an event less, an event more. For S3 the order is another in each, and in every second
    one an event is replaced too; of a caption whose words of time join no two events, an event is
    added before or after it.

    Args:
        seed: Draws among what can be changed.
    """

    name = "rules"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    @property
    def identity(self) -> str:
        """Name, revision and seed."""
        return f"{self.name}/{REVISION}/{self._seed}"

    def perturb(self, caption: str, strategy: PerturbedStrategy, count: int) -> list[str]:
        """See the protocol.

        Raises:
            PerturbationError: There are not so many ways to change the caption.
        """
        outline = Outline.of(caption)
        edits = EDITS if strategy == "S2" else _temporal_edits(outline)
        found: dict[str, str] = {}
        for text in self._take_turns(outline, edits, caption, strategy):
            if find_fault(caption, [text], 1, share_words) is None:
                found.setdefault(text.lower(), text)
            if len(found) == count:
                return list(found.values())
        raise PerturbationError(f"{NO_RULE}: {len(found)} of {count}")

    def _take_turns(
        self, outline: Outline, edits: tuple[Edit, ...], caption: str, strategy: str
    ) -> Iterator[str]:
        piles: list[list[str]] = []
        for number, edit in enumerate(edits):
            pile = [changed.write() for changed in edit(outline)]
            stream = numpy_stream(self._seed, "perturb", strategy, number, caption)
            piles.append([pile[place] for place in stream.permutation(len(pile))])
        while any(piles):
            for pile in piles:
                if pile:
                    yield pile.pop()


def _temporal_edits(outline: Outline) -> tuple[Edit, ...]:
    if any(outline.order(place) for place in range(len(outline.joints))):
        return change_order, _reorder_and_replace
    return (add_events,)


def _reorder_and_replace(outline: Outline) -> Iterator[Outline]:
    for changed in change_order(outline):
        yield from replace_events(changed)
