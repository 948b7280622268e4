"""A caption as events in an order: taken apart, and put together again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, Self

from soundwright.text.concepts import TEMPORAL_WORDS, split_concepts

Order = Literal["first", "second", "together"]
"""Which of two neighbours is heard first."""

_ORDERS: Mapping[str, Order] = MappingProxyType(
    {
        "then": "first",
        "before": "first",
        "followed": "first",
        "after": "second",
        "while": "together",
    }
)
"""What "A <word> B" says of A and B."""
_LEADS: Mapping[str, Order] = MappingProxyType(
    {"after": "first", "before": "second", "while": "together"}
)
"""What "<word> A, B" says of them."""
_BOUND = re.compile(
    r"(?:[a-z]+ly|on|off|up|down|in|out|by|away|back|again|forth)[!.]?", re.IGNORECASE
)
"""What is no concept of its own after "and": a machine that turns on and off."""
_PROGRESSIVE = re.compile(r"\b(?:is|are) (?=(?:[a-z]+ly )?[a-z]+ing\b)")
_ING = re.compile(r"[a-z]ing\b")
FOLLOWED = ", followed by"
LONGEST_NOUN = 2
"""Words; longer ones may have a verb that "followed by" does not go with."""
_WORDS = re.compile(rf"\b(?:{'|'.join(TEMPORAL_WORDS)})\b")
SAYINGS: Mapping[Order, tuple[tuple[str, bool], ...]] = MappingProxyType(
    {
        "first": ((", then", False), ("before", False), (FOLLOWED, False), ("after", True)),
        "second": ((", then", True), ("before", True), (FOLLOWED, True), ("after", False)),
        "together": (("while", False), ("while", True)),
    }
)
"""How to say which of A and B is first: a joint, and whether B is written before A."""


@dataclass(frozen=True)
class Outline:
    """The parts of a caption."""

    lead: str
    """What stands before the first concept: a joint such as "After", or nothing."""
    concepts: tuple[str, ...]
    joints: tuple[str, ...]
    """Between each two concepts."""
    ending: str
    """A full stop, or nothing."""
    capital: bool
    """Whether the caption begins with a capital letter."""

    @classmethod
    def of(cls, caption: str) -> Self:
        """Take a caption apart."""
        caption = " ".join(caption.split())
        concepts, joints = _bind(*split_concepts(caption))
        capital = caption[:1].isupper()
        lead = caption[: caption.index(concepts[0])].strip() if concepts else ""
        if concepts and not lead:
            concepts[0] = _lower(concepts[0])
        ending = "." if caption.endswith(".") else ""
        return cls(lead, tuple(concepts), tuple(joints), ending, capital)

    def write(self) -> str:
        """The caption."""
        text = self.lead
        for number, concept in enumerate(self.concepts):
            joint = self.joints[number - 1] if number else ""
            if joint:
                text += joint if joint[0] in ",;." else f" {joint}"
            starts = joint.endswith(".")
            text += (" " if text else "") + (_upper(concept) if starts else concept)
        return (_upper(text) if self.capital else text) + self.ending

    def order(self, place: int) -> Order | None:
        """Which of the concepts `place` and `place + 1` is first; None where no word tells."""
        found = _WORDS.search(self.joints[place].lower())
        if found:
            return _ORDERS[found[0]]
        lead = _WORDS.search(self.lead.lower()) if place == 0 else None
        return _LEADS.get(lead[0]) if lead else None

    def reorder(self, place: int, order: Order, saying: int) -> Outline | None:
        """Say of the events on both sides of a joint which are first.

        Events that no word of time parts move together.

        Args:
            place: Of a joint that `order` knows.
            order: What shall be first.
            saying: Number of a way of `SAYINGS`.

        Returns:
            None where it cannot be said in that way.
        """
        joint, exchanged = SAYINGS[order][saying]
        begin, end = place, place + 1
        while begin > 0 and self.order(begin - 1) is None:
            begin -= 1
        while end < len(self.joints) and self.order(end) is None:
            end += 1
        sides = [
            (self.concepts[begin : place + 1], self.joints[begin:place]),
            (self.concepts[place + 1 : end + 1], self.joints[place + 1 : end]),
        ]
        (first, within_first), (second, within_second) = sides[::-1] if exchanged else sides
        if joint == FOLLOWED:
            second = tuple(_PROGRESSIVE.sub("", concept) for concept in second)
            if not all(_is_nominal(concept) for concept in second):
                return None
        return replace(
            self,
            lead="" if begin == 0 else self.lead,
            concepts=self.concepts[:begin] + first + second + self.concepts[end + 1 :],
            joints=self.joints[:begin]
            + within_first
            + (joint,)
            + within_second
            + self.joints[end:],
        )

    def drop(self, place: int) -> Outline:
        """Leave out a concept, and the joint before it."""
        concepts = self.concepts[:place] + self.concepts[place + 1 :]
        joint = max(place - 1, 0)
        joints = self.joints[:joint] + self.joints[joint + 1 :]
        lead = "" if place == 0 or len(concepts) == 1 else self.lead
        return replace(self, lead=lead, concepts=concepts, joints=joints)

    def add(self, concept: str, joint: str) -> Outline:
        """One more concept at the end."""
        return replace(self, concepts=(*self.concepts, concept), joints=(*self.joints, joint))

    def with_concept(self, place: int, concept: str) -> Outline:
        """Another concept at a place."""
        concepts = (*self.concepts[:place], concept, *self.concepts[place + 1 :])
        return replace(self, concepts=concepts)


def _bind(concepts: list[str], joints: list[str]) -> tuple[list[str], list[str]]:
    """Give particles and adverbs back to the concepts that they belong to."""
    bound, between = concepts[:1], []
    for joint, concept in zip(joints, concepts[1:], strict=True):
        if _BOUND.fullmatch(concept) and joint == "and":
            bound[-1] += f" {joint} {concept}"
        else:
            bound.append(concept)
            between.append(joint)
    return bound, between


def _is_nominal(concept: str) -> bool:
    """Whether "followed by" can stand before it, as far as its form tells."""
    return bool(_ING.search(concept)) or len(concept.split()) <= LONGEST_NOUN


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    """A sentence's first letter in small, but for words in capitals and "I"."""
    first = text.split(maxsplit=1)[0]
    kept = first == "I" or (len(first) > 1 and first.isupper())
    return text if kept else text[:1].lower() + text[1:]
