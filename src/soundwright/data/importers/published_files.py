"""The files that a data set is published as: found by their names, or the error that names them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.data.importers.tables import Table, read_table

SHOWN = 8


def choose_tables(
    table: Path | None, folder: Path, names: Iterable[str], *, dataset: str, expected: str
) -> list[Path]:
    """The table that was given, or those of a data set's tables that lie in its folder.

    Raises:
        UserError: None of them does.
    """
    if table is not None:
        return [Path(table)]
    found = [Path(folder) / name for name in names if (Path(folder) / name).is_file()]
    if not found:
        raise wrong_layout(dataset, folder, expected)
    return found


def find_published(name: str, places: Iterable[Path], *, dataset: str, expected: str) -> Path:
    """The file `name` in the first of the folders `places` that has it.

    Raises:
        UserError: None has.
    """
    places = [Path(place) for place in places]
    found = next((place / name for place in places if (place / name).is_file()), None)
    if found is None:
        raise wrong_layout(dataset, places[-1], expected)
    return found


def read_published(
    paths: Iterable[Path], columns: Iterable[str], *, fallback: str | None = None
) -> list[Table]:
    """Read tables that must have `columns`.

    Raises:
        UserError: A table cannot be read or lacks one.
    """
    tables = [read_table(path, fallback=fallback) for path in paths]
    for table in tables:
        table.require(*columns)
    return tables


def wrong_layout(dataset: str, folder: Path, expected: str) -> UserError:
    """The error for a folder that is not laid out as the data set is published.

    Args:
        dataset: Its name.
        folder: What was given.
        expected: The files, and the columns of the tables among them.
    """
    return UserError(
        f"{folder} is not {dataset}: {_describe(Path(folder))}.",
        expected=expected,
        change="Give the folder into which the data set was unpacked; a table that lies elsewhere "
        "is named with --captions where the layout has one.",
    )


def _describe(folder: Path) -> str:
    if not folder.is_dir():
        return "there is no such folder"
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    if not names:
        return "it is empty"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"it holds {', '.join(names[:SHOWN])}{more}"
