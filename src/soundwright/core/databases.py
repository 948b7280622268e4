"""SQLite files: any number of threads and processes may read and write them at once.

A write is one transaction, on the disk when it ends.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soundwright.core.files import sync_file

PATIENCE_S = 30.0
MOST_TOGETHER = 64
"""Writes that share a barrier."""


class Database:
    """One file.

    Args:
        path: Of the file; it is made at the first write.
        standing: Whether connections stay open until `close`: one that writes all, and one to read
            with for each thread. Writes that meet reach the disk together: each waits for one
            barrier, and for the one before.
    """

    def __init__(self, path: Path, *, standing: bool = False) -> None:
        self.path = path
        self._standing = standing
        self._lock, self._counting = threading.Lock(), threading.Lock()
        self._waiting = 0
        self._writer: sqlite3.Connection | None = None
        self._own = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._group: _Group | None = None

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with."""
        if self._standing:
            yield self._reader()
            return
        connection = self._connect()
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction, which is whole or was not.

        Args:
            durable: Whether it is to be on the disk when the block ends. Else it is safe from the
                end of this process at once, and from a power cut with the next durable one; only
                where one connection is standing.
        """
        if not self._standing:
            with self.open() as connection, _transaction(connection):
                yield connection
            return
        with self._counting:
            self._waiting += 1
        with self._lock:
            with self._counting:
                self._waiting -= 1
            writer, group = self._join()
            group.durable = group.durable or durable
            try:
                with _savepoint(writer):
                    yield writer
            finally:
                # Whoever waits for the lock goes on in this transaction, and ends it. A full disk
                # has ended it already, for all who were in it.
                if not self._waiting or group.size >= MOST_TOGETHER or not writer.in_transaction:
                    self._end(writer, group)
        group.ended.wait()
        if group.error is not None:
            raise group.error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            while self._readers:
                self._readers.pop().close()
            self._own = threading.local()

    def _reader(self) -> sqlite3.Connection:
        """That of this thread."""
        found: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if found is None:
            found = self._own.connection = self._connect()
            with self._counting:
                self._readers.append(found)
        return found

    def _join(self) -> tuple[sqlite3.Connection, _Group]:
        """The transaction that is open, or a new one."""
        if self._writer is None:
            self._writer = self._connect()
            self._writer.execute("PRAGMA journal_mode = WAL")
            # The barrier is set by hand, for a transaction cannot choose its own.
            self._writer.execute("PRAGMA synchronous = NORMAL")
        if self._group is None:
            self._writer.execute("BEGIN IMMEDIATE")
            self._group = _Group()
        self._group.size += 1
        return self._writer, self._group

    def _end(self, writer: sqlite3.Connection, group: _Group) -> None:
        self._group = None
        try:
            writer.execute("COMMIT")
            if group.durable:
                sync_file(self.path.with_name(self.path.name + "-wal"))
        except (sqlite3.Error, OSError) as error:
            group.error = error
            if writer.in_transaction:
                writer.execute("ROLLBACK")
        finally:
            group.ended.set()

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


class _Group:
    """Writes of one transaction."""

    def __init__(self) -> None:
        self.size = 0
        self.ended = threading.Event()
        self.durable = False
        self.error: sqlite3.Error | OSError | None = None


@contextmanager
def _savepoint(connection: sqlite3.Connection) -> Iterator[None]:
    """A part of a transaction, which is whole or was not."""
    connection.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK TO part")
            connection.execute("RELEASE part")
        raise
    connection.execute("RELEASE part")


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
