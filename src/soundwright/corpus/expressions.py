"""The language of `select`: which clips are taken, said in one expression.

`docs/corpus-expressions.md` describes it for people. An expression is parsed once, and what the
white list of `expression_compiler` allows is compiled to closures; no text is ever run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from soundwright.corpus.expression_compiler import Compiler
from soundwright.corpus.expression_source import ExpressionSource, NotAllowedError
from soundwright.corpus.expression_terms import Comparison, Term, Value


@dataclass(frozen=True)
class Breach:
    """A clause that a clip fails, in the terms of `core.records.Drop`."""

    clause: str
    """As written."""
    reason: Literal["false", "missing", "type"]
    """It does not hold; it is unknown since names have no value; or since the values are not of
    the kind that it asks for, such as a text that is compared with a number."""
    value: float | str | None = None
    """Where it is a comparison with a constant: what was compared."""
    threshold: float | str | None = None
    """That constant."""


@dataclass(frozen=True)
class Clause:
    """One of the conditions that `and` joins at the top level of an expression."""

    text: str
    """As written."""
    names: tuple[str, ...]
    """The names in it, sorted."""
    test: Term = field(repr=False, compare=False)
    """True, False, or None where that is unknown."""
    comparisons: tuple[Comparison, ...] = field(repr=False, compare=False)
    """The chain that it is; empty where it is something else."""

    def breach(self, values: Mapping[str, Value]) -> Breach | None:
        """Why the clause does not hold; None where it does."""
        held = self.test(values)
        if held:
            return None
        reason: Literal["false", "missing", "type"] = "false"
        if held is None:
            lacking = any(not _has(values, name) for name in self.names)
            reason = "missing" if lacking else "type"
        broken = next((one for one in self.comparisons if not one.test(values)), None)
        if broken is None or broken.threshold is None:
            return Breach(self.text, reason)
        value = _plain(broken.value(values))
        return Breach(self.text, reason, value, _plain(broken.threshold))


@dataclass(frozen=True)
class Expression:
    """A condition on clips; `parse_expression` makes one."""

    text: str
    clauses: tuple[Clause, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names in it, sorted."""
        return tuple(sorted({name for clause in self.clauses for name in clause.names}))

    def evaluate(self, values: Mapping[str, Value]) -> bool:
        """Whether all clauses hold.

        A name has no value where it is absent, None or not a number; what depends on it is
        unknown, and an unknown clause does not hold. Nothing raises.
        """
        return all(clause.test(values) for clause in self.clauses)

    def breaches(self, values: Mapping[str, Value]) -> tuple[Breach, ...]:
        """The clauses that do not hold, in the order of the expression."""
        found = (clause.breach(values) for clause in self.clauses)
        return tuple(breach for breach in found if breach is not None)


def parse_expression(text: str, known: Iterable[str] | None = None) -> Expression:
    """Parse an expression such as "clap >= 0.4 and licence in ('CC0', 'CC-BY')".

    Args:
        text: On one line or several.
        known: The names that may have values, "metadata.*" standing for all that begin so; None
            where any name may.

    Raises:
        UserError: It cannot be read, uses what the language does not have, or a name that is not
            known. The error points at the place.
    """
    source = ExpressionSource(text)
    names = None if known is None else frozenset(known)
    clauses: list[Clause] = []
    for part in source.conjuncts():
        compiler = Compiler(names)
        try:
            test, comparisons = compiler.clause(part)
        except NotAllowedError as fault:
            raise source.error(fault) from fault
        clause_names = tuple(sorted(compiler.names))
        clauses.append(Clause(source.segment(part), clause_names, test, comparisons))
    return Expression(text, tuple(clauses))


def _has(values: Mapping[str, Value], name: str) -> bool:
    value = values.get(name)
    return value is not None and value == value


def _plain(value: Value) -> float | str | None:
    if isinstance(value, tuple):
        return ", ".join(value)
    return str(value) if isinstance(value, bool) else value
