"""Terms of expressions: closures that give the value of a part for the values of a clip.

None means that a value is unknown. Unknown values spread through comparisons and arithmetic, while
"and" and "or" know what one side decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Value = str | float | int | bool | tuple[str, ...] | None
"""What a name may stand for; None and "not a number" are no values."""
Term = Callable[[Mapping[str, Value]], Any]


@dataclass(frozen=True)
class Comparison:
    """One comparison of a chain."""

    test: Term
    value: Term
    """What is compared with the constant."""
    threshold: Value
    """The constant; None where neither side is one."""


def constant(value: Value) -> Term:
    """The same for every clip."""

    def term(_: Mapping[str, Value]) -> Value:
        return value

    return term


def lookup(name: str) -> Term:
    """The value of a name."""

    def term(values: Mapping[str, Value]) -> Any:
        value = values.get(name)
        return value if value == value else None

    return term


def chain(comparisons: Sequence[Comparison]) -> Term:
    """Whether all comparisons of a chain hold."""
    tests = [one.test for one in comparisons]
    return tests[0] if len(tests) == 1 else all_of(tests)


def all_of(parts: list[Term]) -> Term:
    """Whether all parts hold: not if one does not, whatever is unknown."""

    def term(values: Mapping[str, Value]) -> bool | None:
        held: bool | None = True
        for part in parts:
            one = part(values)
            if one is None:
                held = None
            elif not one:
                return False
        return held

    return term


def any_of(parts: list[Term]) -> Term:
    """Whether one of the parts holds, whatever is unknown."""

    def term(values: Mapping[str, Value]) -> bool | None:
        held: bool | None = False
        for part in parts:
            one = part(values)
            if one is None:
                held = None
            elif one:
                return True
        return held

    return term


def negation(part: Term) -> Term:
    """Whether a part does not hold."""

    def term(values: Mapping[str, Value]) -> bool | None:
        held = part(values)
        return None if held is None else not held

    return term


def comparison(test: Callable[[Any, Any], bool], left: Term, right: Term) -> Term:
    """Whether two values compare so; unknown for those that cannot be compared."""

    def term(values: Mapping[str, Value]) -> bool | None:
        one, other = left(values), right(values)
        if one is None or other is None:
            return None
        try:
            return test(one, other)
        except TypeError:
            return None

    return term


def arithmetic(operation: Callable[[Any, Any], Any], left: Term, right: Term) -> Term:
    """The result for two numbers; unknown where there is none."""

    def term(values: Mapping[str, Value]) -> float | None:
        one, other = left(values), right(values)
        # Of numbers alone: a text times a number could become huge.
        if not (isinstance(one, int | float) and isinstance(other, int | float)):
            return None
        try:
            return operation(one, other)
        except ArithmeticError:
            return None

    return term


def among(item: Term, members: frozenset[str | float]) -> Term:
    """Whether a value, or one of several, is among constants."""

    def term(values: Mapping[str, Value]) -> bool | None:
        value = item(values)
        if value is None:
            return None
        return not members.isdisjoint(value) if isinstance(value, tuple) else value in members

    return term


def within(item: Term, container: Term) -> Term:
    """Whether a value is one of several, or a part of a text."""

    def term(values: Mapping[str, Value]) -> bool | None:
        part, whole = item(values), container(values)
        if part is None or not isinstance(whole, str | tuple):
            return None
        try:
            return part in whole
        except TypeError:
            return None

    return term


def lower(text: Term) -> Term:
    """A text, or several, in lower case."""

    def term(values: Mapping[str, Value]) -> Value:
        value = text(values)
        if isinstance(value, tuple):
            return tuple(one.lower() for one in value)
        return value.lower() if isinstance(value, str) else None

    return term


def search(text: Term, pattern: re.Pattern[str]) -> Term:
    """Whether a text, or one of several, has a match."""
    find = pattern.search

    def term(values: Mapping[str, Value]) -> bool | None:
        value = text(values)
        if isinstance(value, tuple):
            return any(find(one) for one in value)
        return find(value) is not None if isinstance(value, str) else None

    return term
