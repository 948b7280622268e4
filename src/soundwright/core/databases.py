"""SQLite files: any number of threads and processes may read and write them at once.

A write is one transaction, on the disk when it ends.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 30.0


class Database:
    """One file.

    Args:
        path: Of the file; it is made at the first write.
        standing: Whether one connection writes all, from whatever thread, until `close`. It writes
            twice as fast as a new one each time, and lets its threads wait in line.
    """

    def __init__(self, path: Path, *, standing: bool = False) -> None:
        self.path = path
        self._standing = standing
        self._lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with."""
        connection = self._connect()
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction, which is whole or was not."""
        if not self._standing:
            with self.open() as connection, _transaction(connection):
                yield connection
            return
        with self._lock:
            if self._writer is None:
                self._writer = self._connect()
            with _transaction(self._writer):
                yield self._writer

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def check(self) -> str:
        """What SQLite finds wrong with the file, in a word; "ok" is nothing."""
        with self.open() as connection:
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
        return str(found)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
        )
        # The full barrier: what was acknowledged outlives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run statements one by one, since `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
