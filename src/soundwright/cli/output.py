"""What commands say: notes for people on standard error, one JSON object on standard output."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

PIPED_WIDTH = 200
"""Columns of a table that goes into a pipe or a file."""

JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object on standard output, all else on stderr."),
]

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a value of the recipe, as often as needed."
    ),
]

AdapterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="DIR[:WEIGHT]",
        help="An adapter to add to the model, as often as needed.",
    ),
]


def note(text: str) -> None:
    """Tell the person at the keyboard something, on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)


def emit_json(value: Any) -> None:
    """Print the one machine-readable object of a command on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def emit_text(text: str) -> None:
    """Print a command's result for people on standard output."""
    print(text)


def emit_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a command's result for people as a table on standard output."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)
