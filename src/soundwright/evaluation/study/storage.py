"""Where answers lie: SQLite with a write-ahead log, to which rows are only ever added.

An answer is on the disk before its rater sees the next trial.
"""

from __future__ import annotations

import secrets
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from soundwright.core.databases import Database, run_script
from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.evaluation.study.records import ANSWERS_NAME, Answer, Check, Study

MOST_RATERS = 1000
TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE raters (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, joined_at TEXT NOT NULL);
CREATE TABLE checks (number INTEGER NOT NULL REFERENCES raters, record TEXT NOT NULL,
    checked_at TEXT NOT NULL);
CREATE TABLE answers (number INTEGER NOT NULL REFERENCES raters, trial INTEGER NOT NULL,
    record TEXT NOT NULL, PRIMARY KEY (number, trial));
""" + "".join(
    f"CREATE TRIGGER {table}_{action} BEFORE {action} ON {table} "
    "BEGIN SELECT RAISE(ABORT, 'rows are only added'); END;\n"
    for table in ("facts", "raters", "checks", "answers")
    for action in ("UPDATE", "DELETE")
)


class TakenError(Exception):
    """The trial has another answer already."""


class FullError(Exception):
    """No further rater is taken."""


class Answers:
    """The answers of one study.

    Args:
        folder: Of the study; the database is made in it at the first use.
        study: The study; a database of another one is refused.

    Raises:
        UserError: The database is damaged, or belongs to another study.
    """

    def __init__(self, folder: Path, study: Study) -> None:
        self.path = Path(folder) / ANSWERS_NAME
        self._database = Database(self.path)
        try:
            with self._database.write() as database:
                if not database.execute("SELECT name FROM sqlite_master").fetchall():
                    self._create(database, study)
            found = self._database.check()
            with self._database.open() as database:
                facts = dict(database.execute("SELECT name, value FROM facts").fetchall())
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error
        if found != "ok":
            raise self._damaged(found)
        if facts.get("study") != study.hash:
            raise UserError(
                f"{self.path} holds answers to another study than {folder}.",
                expected="the study.json under which they were given",
                change="Bring that file back, or move the answers away to begin anew.",
            )
        self._salt = facts["salt"]

    def join(self) -> str:
        """Take in a new rater.

        Returns:
            The rater's token: the only key to its trials. Only a salted hash of it is kept.

        Raises:
            FullError: There are too many.
        """
        token = secrets.token_urlsafe(24)
        with self._database.write() as database:
            [count] = database.execute("SELECT COUNT(*) FROM raters").fetchone()
            if count >= MOST_RATERS:
                raise FullError
            database.execute(
                "INSERT INTO raters VALUES (?, ?, ?)", (count, self.identify(token), now())
            )
        return token

    def identify(self, token: str) -> str:
        """The id of the rater who holds a token, known or not."""
        return hash_bytes(f"{self._salt}\n{token}".encode())[:24]

    def find(self, token: str) -> int | None:
        """The number of the rater who holds a token; None where there is none."""
        with self._database.open() as database:
            row = database.execute(
                "SELECT number FROM raters WHERE id = ?", (self.identify(token),)
            ).fetchone()
        return None if row is None else int(row[0])

    def add_check(self, number: int, check: Check) -> None:
        """Keep the result of a headphone check; the last one of a rater counts."""
        with self._database.write() as database:
            database.execute(
                "INSERT INTO checks VALUES (?, ?, ?)", (number, check.model_dump_json(), now())
            )

    def add(self, answer: Answer) -> None:
        """Keep an answer; the same one again changes nothing.

        Raises:
            TakenError: The trial was answered otherwise.
        """
        with self._database.write() as database:
            row = database.execute(
                "SELECT record FROM answers WHERE number = ? AND trial = ?",
                (answer.number, answer.trial),
            ).fetchone()
            if row is None:
                database.execute(
                    "INSERT INTO answers VALUES (?, ?, ?)",
                    (answer.number, answer.trial, answer.model_dump_json()),
                )
                return
        known = Answer.model_validate_json(row[0])
        if (known.choices, known.counts) != (answer.choices, answer.counts):
            raise TakenError

    def answered(self, number: int) -> set[int]:
        """The trials that a rater has answered."""
        with self._database.open() as database:
            rows = database.execute("SELECT trial FROM answers WHERE number = ?", (number,))
            return {int(trial) for (trial,) in rows.fetchall()}

    def checks(self) -> dict[int, Check]:
        """The last headphone check of every rater who took one, by number."""
        with self._database.open() as database:
            rows = database.execute("SELECT number, record FROM checks ORDER BY rowid").fetchall()
        return {int(number): Check.model_validate_json(record) for number, record in rows}

    def read(self) -> list[Answer]:
        """All answers, by rater and trial."""
        with self._database.open() as database:
            rows = database.execute("SELECT record FROM answers ORDER BY number, trial").fetchall()
        return [Answer.model_validate_json(record) for (record,) in rows]

    @staticmethod
    def _create(database: sqlite3.Connection, study: Study) -> None:
        run_script(database, TABLES)
        facts = {"study": study.hash, "salt": secrets.token_hex(16), "created_at": now()}
        database.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())

    def _damaged(self, detail: str) -> UserError:
        return UserError(
            f"{self.path} is no whole database of answers: {detail}.",
            change="Bring back a copy of it with its -wal file, or move it away to begin anew.",
        )


def now() -> str:
    """The time of the server in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
