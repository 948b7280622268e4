"""SQLite files: any number of threads and processes may read and write them at once.

Each operation has a connection of its own; a write is one transaction, on the disk when it ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 30.0


class Database:
    """One file.

    Args:
        path: Of the file; it is made at the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with."""
        connection = sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None)
        try:
            # The full barrier: what was acknowledged outlives a power cut.
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
        finally:
            connection.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction, which is whole or was not."""
        with self.open() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def check(self) -> str:
        """What SQLite finds wrong with the file, in a word; "ok" is nothing."""
        with self.open() as connection:
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
        return str(found)


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run statements one by one, since `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
