"""Labels that tables cite by their machine ids, as AudioSet's ontology does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from soundwright.data.importers.tables import Table


@dataclass(frozen=True)
class Labels:
    """The vocabulary of a data set.

    Args:
        path: The table that it comes from.
        names: Name by machine id: "Dog" for "/m/0bt9lr".
    """

    path: Path
    names: Mapping[str, str]

    def read(self, cell: str) -> tuple[str, ...]:
        """The names of the ids in a cell, which are separated by commas.

        Raises:
            ValueError: An id is not in the vocabulary.
        """
        ids = [part.strip() for part in cell.split(",") if part.strip()]
        unknown = next((one for one in ids if one not in self.names), None)
        if unknown is not None:
            raise ValueError(f"{self.path.name} has no label {unknown!r}")
        return tuple(self.names[one] for one in ids)


def read_labels(table: Table, *, name: str) -> Labels:
    """The vocabulary in a table with the column "mid" and one of names."""
    names = {row.text("mid"): row.text(name).replace("_", " ") for row in table.rows}
    return Labels(table.path, names)
