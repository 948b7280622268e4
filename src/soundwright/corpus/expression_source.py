"""The text of an expression: parsed by Python's own parser, and pointed at in errors."""

from __future__ import annotations

import ast
import re
import warnings

from soundwright.core.errors import UserError

LONGEST = 4000
"""Characters of an expression."""
DEEPEST = 40
"""Levels of nesting."""
_ASSIGNMENT = re.compile(r"(?<![=<>!])=(?!=)")


class NotAllowedError(Exception):
    """A part of an expression that the language does not have.

    Args:
        node: The part.
        problem: What is wrong with it, as the end of a sentence about the expression.
        change: What to write instead.
    """

    def __init__(self, node: ast.AST, problem: str, change: str = "") -> None:
        self.node = node
        self.problem = problem
        self.change = change
        super().__init__(problem)


class ExpressionSource:
    """The text of an expression and its parts.

    Args:
        text: On one line or several; comments are allowed.

    Raises:
        UserError: It is empty, too long, too deeply nested, or cannot be parsed.
    """

    def __init__(self, text: str) -> None:
        if not text.strip():
            raise UserError("The expression is empty.", expected="a condition, such as clap >= 0.4")
        if len(text) > LONGEST:
            raise UserError(
                f"The expression has {len(text)} characters.", expected=f"at most {LONGEST}"
            )
        # In brackets on lines of their own, an expression may span lines and end in a comment.
        self._wrapped = f"(\n{text}\n)"
        self._lines = text.split("\n")
        self.body = self._parse()
        if _depth(self.body) > DEEPEST:
            raise self.error(
                NotAllowedError(self.body, f"is nested more than {DEEPEST} levels deep")
            )

    def conjuncts(self) -> list[ast.expr]:
        """What `and` joins at the top level."""
        return _conjuncts(self.body)

    def segment(self, node: ast.expr) -> str:
        """The text of a part; of one that spans lines, written on one."""
        text = ast.get_source_segment(self._wrapped, node) or ""
        return ast.unparse(node) if "\n" in text or not text else text

    def error(self, fault: NotAllowedError) -> UserError:
        """The error that points at a part."""
        node = fault.node
        place = ""
        if isinstance(node, ast.expr):
            line = self._lines[node.lineno - 2]
            start = len(line.encode()[: node.col_offset].decode())
            same = node.end_lineno == node.lineno and node.end_col_offset is not None
            end = len(line.encode()[: node.end_col_offset].decode()) if same else len(line)
            place = ":\n" + _point(line, start, end - start)
        return UserError(f"The expression {fault.problem}{place}", change=fault.change)

    def _parse(self) -> ast.expr:
        try:
            with warnings.catch_warnings():
                # Of escapes such as "\\d", which patterns are full of.
                warnings.simplefilter("ignore")
                body = ast.parse(self._wrapped, mode="eval").body
        except SyntaxError as error:
            raise self._syntax_error(error) from error
        except (ValueError, MemoryError, RecursionError) as error:
            raise UserError(
                "The expression cannot be read: it is nested too deeply or has characters that are"
                " no text."
            ) from error
        if body.lineno == 1 and not isinstance(body, ast.Tuple | ast.GeneratorExp):
            raise UserError(f"The brackets of the expression {self._lines[0]!r} do not match.")
        return body

    def _syntax_error(self, error: SyntaxError) -> UserError:
        number = (error.lineno or 2) - 2
        column = max((error.offset or 1) - 1, 0)
        if not 0 <= number < len(self._lines):
            number = len(self._lines) - 1 if number > 0 else 0
            column = len(self._lines[number])
        line = self._lines[number]
        # Of "a = 1", Python complains at the "a".
        assignment = _ASSIGNMENT.search(line, column) if "==" in error.msg else None
        if assignment is not None:
            column = assignment.start()
        return UserError(
            f"The expression cannot be read:\n{_point(line, column, 1)}",
            change="" if assignment is None else 'Write "==" to compare.',
        )


def _point(line: str, column: int, width: int) -> str:
    return f"    {line}\n    {' ' * column}{'^' * max(width, 1)}"


def _conjuncts(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return [part for value in node.values for part in _conjuncts(value)]
    return [node]


def _depth(node: ast.AST) -> int:
    level: list[ast.AST] = [node]
    depth = 0
    while level:
        level = [child for one in level for child in ast.iter_child_nodes(one)]
        depth += 1
    return depth
