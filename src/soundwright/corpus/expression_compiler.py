"""What an expression may be made of: a white list, compiled to terms."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from soundwright.core.errors import nearest
from soundwright.corpus.expression_source import NotAllowedError
from soundwright.corpus.expression_terms import (
    Comparison,
    Term,
    all_of,
    among,
    any_of,
    arithmetic,
    chain,
    comparison,
    constant,
    lookup,
    lower,
    negation,
    search,
    within,
)

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_FUNCTIONS = ("contains", "has", "lower", "matches", "value")


class Compiler:
    """Compiles the parts of one clause.

    Args:
        known: The names that have values, "metadata.*" standing for all that begin so; None if
            any name may have one.
    """

    def __init__(self, known: Collection[str] | None = None) -> None:
        self.names: set[str] = set()
        self._known = known

    def clause(self, node: ast.expr) -> tuple[Term, tuple[Comparison, ...]]:
        """Compile a clause, and the comparisons that it is a chain of, if it is one.

        Raises:
            NotAllowedError: As `condition`.
        """
        if not isinstance(node, ast.Compare):
            return self.condition(node), ()
        comparisons = self._comparisons(node)
        return chain(comparisons), comparisons

    def condition(self, node: ast.expr) -> Term:
        """Compile a part that holds or does not, or of which that is unknown.

        Raises:
            NotAllowedError: The language does not have something in it.
        """
        match node:
            case ast.BoolOp(op=ast.And()):
                return all_of([self.condition(part) for part in node.values])
            case ast.BoolOp():
                return any_of([self.condition(part) for part in node.values])
            case ast.UnaryOp(op=ast.Not()):
                return negation(self.condition(node.operand))
            case ast.Compare():
                return chain(self._comparisons(node))
            case ast.Constant(value=bool(value)):
                return constant(value)
            case ast.Name() | ast.Attribute() | ast.Call():
                return self.term(node)
        hint = "Such as licence in ('CC0', 'CC-BY')." if isinstance(node, ast.Constant) else ""
        raise NotAllowedError(node, "has no condition here", hint)

    def term(self, node: ast.expr) -> Term:
        """Compile a part that has a value.

        Raises:
            NotAllowedError: As `condition`.
        """
        match node:
            case ast.Name() | ast.Attribute():
                return lookup(self._name(node))
            case ast.Constant():
                return constant(_constant(node))
            case ast.UnaryOp(op=ast.USub()):
                return arithmetic(operator.sub, constant(0), self.term(node.operand))
            case ast.BinOp():
                operation = _ARITHMETIC.get(type(node.op))
                if operation is None:
                    raise NotAllowedError(
                        node, "has no such arithmetic", "There are + - * / and %."
                    )
                return arithmetic(operation, self.term(node.left), self.term(node.right))
            case ast.Call():
                return self._call(node)
            case ast.BoolOp() | ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return self.condition(node)
        raise NotAllowedError(node, "has something that the language does not know")

    def _comparisons(self, node: ast.Compare) -> tuple[Comparison, ...]:
        sides = [node.left, *node.comparators]
        return tuple(
            self._comparison(left, test, right)
            for left, test, right in zip(sides, node.ops, sides[1:], strict=False)
        )

    def _comparison(self, left: ast.expr, test: ast.cmpop, right: ast.expr) -> Comparison:
        if isinstance(test, ast.Is | ast.IsNot):
            raise NotAllowedError(
                right, 'has no "is"', "has(name) tells whether a clip has a value."
            )
        if isinstance(test, ast.In | ast.NotIn):
            return self._membership(left, right, negated=isinstance(test, ast.NotIn))
        terms = self.term(left), self.term(right)
        compiled = comparison(_COMPARISONS[type(test)], *terms)
        if _is_constant(right):
            return Comparison(compiled, terms[0], _constant(right))
        return Comparison(compiled, terms[1], _constant(left) if _is_constant(left) else None)

    def _membership(self, left: ast.expr, right: ast.expr, *, negated: bool) -> Comparison:
        item = self.term(left)
        if isinstance(right, ast.Tuple | ast.List | ast.Set):
            members = tuple(_constant(element) for element in right.elts)
        elif _is_constant(right):
            members = (_constant(right),)
        else:
            container = self.term(right)
            test = within(item, container)
            threshold = _constant(left) if _is_constant(left) else None
            return Comparison(negation(test) if negated else test, container, threshold)
        test = among(item, frozenset(members))
        threshold = tuple(str(member) for member in members)
        return Comparison(negation(test) if negated else test, item, threshold)

    def _call(self, node: ast.Call) -> Term:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _FUNCTIONS:
            raise NotAllowedError(node.func, "has no such function", nearest(name, _FUNCTIONS))
        if node.keywords or len(node.args) != (2 if name in ("contains", "matches") else 1):
            arguments = "a text and a word or pattern" if name in ("contains", "matches") else "one"
            raise NotAllowedError(
                node, f"has other arguments than {name}() takes", f"Give {arguments}."
            )
        if name == "has":
            value = lookup(self._name(node.args[0]))
            return lambda values: value(values) is not None
        if name == "value":
            return lookup(self._noted(_text(node.args[0]), node.args[0]))
        text = self.term(node.args[0])
        if name == "lower":
            return lower(text)
        return search(text, (_word if name == "contains" else _pattern)(node.args[1]))

    def _name(self, node: ast.expr) -> str:
        parts: list[str] = []
        part = node
        while isinstance(part, ast.Attribute):
            parts.append(part.attr)
            part = part.value
        if not isinstance(part, ast.Name):
            raise NotAllowedError(node, "has no name here")
        return self._noted(".".join([part.id, *reversed(parts)]), node)

    def _noted(self, name: str, node: ast.expr) -> str:
        known = self._known
        if known is not None and name not in known:
            families = tuple(one[:-1] for one in known if one.endswith(".*"))
            if not (families and name.startswith(families)):
                raise NotAllowedError(
                    node, f"names {name!r}, which clips do not have", nearest(name, known)
                )
        self.names.add(name)
        return name


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant)


def _constant(node: ast.expr) -> str | float:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _constant(node.operand)
        if not isinstance(value, str):
            return -value
    elif isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        return node.value
    if isinstance(node, ast.Constant) and node.value is None:
        raise NotAllowedError(node, "has no None", "has(name) tells whether a clip has a value.")
    raise NotAllowedError(node, "has something here that is neither a number nor a text")


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise NotAllowedError(node, "needs a text in quotes here")


def _word(node: ast.expr) -> re.Pattern[str]:
    words = [re.escape(word) for word in _text(node).split()]
    if not words:
        raise NotAllowedError(node, "needs a word here")
    phrase = r"\s+".join(words)
    return re.compile(rf"(?<!\w){phrase}(?!\w)", re.IGNORECASE)


def _pattern(node: ast.expr) -> re.Pattern[str]:
    text = _text(node)
    if not text.isprintable():
        raise NotAllowedError(node, "has a pattern with control characters", r"Write r'\bdog\b'.")
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise NotAllowedError(node, f"has a pattern that cannot be read ({error})") from error
