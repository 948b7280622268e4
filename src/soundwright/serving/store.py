"""Jobs, their sounds and uploads in SQLite.

What was accepted, cancelled or marked is on the disk before a client hears of it. What came of a
job survives the end of the server at once; after a power cut a sound may have to be made again,
which gives the same sound.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from soundwright.core.databases import Database, run_script
from soundwright.core.errors import UserError
from soundwright.serving.jobs import Asked, Job, Plan, Problem, SoundEntry, State

STORE_NAME = "jobs.sqlite"
VERSION = 1
TABLES = """
CREATE TABLE jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL, finished_at TEXT, state TEXT NOT NULL, request TEXT NOT NULL,
    plan TEXT NOT NULL, problem TEXT, attempts INTEGER NOT NULL DEFAULT 0);
CREATE INDEX jobs_by_state ON jobs (state);
CREATE TABLE sounds (job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL, prompt TEXT NOT NULL, seed INTEGER NOT NULL, size INTEGER,
    described TEXT, favourite INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (job, number));
CREATE INDEX sounds_by_favourite ON sounds (favourite, job);
CREATE TABLE uploads (id TEXT PRIMARY KEY, created_at TEXT NOT NULL, facts TEXT NOT NULL,
    hash TEXT NOT NULL, size INTEGER NOT NULL);
"""


class Upload(NamedTuple):
    """A sound that a client has sent."""

    id: str
    facts: dict[str, Any]
    """Its duration, sample_rate and channels."""
    hash: str
    size: int


class Store:
    """The jobs of one server.

    Args:
        folder: Of the server's state; the database is made in it at the first use.

    Raises:
        UserError: The database is damaged, or of a newer Soundwright.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / STORE_NAME
        self._database = Database(self.path, standing=True)
        try:
            with self._database.write() as connection:
                [version] = connection.execute("PRAGMA user_version").fetchone()
                if version == 0:
                    run_script(connection, TABLES)
                    connection.execute(f"PRAGMA user_version = {VERSION}")
            found = self._database.check()
        except sqlite3.DatabaseError as error:
            raise self._unusable(str(error)) from error
        if found != "ok":
            raise self._unusable(found)
        if version > VERSION:
            raise self._unusable(f"it is of format {version}, and this Soundwright knows {VERSION}")

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def accept(self, asked: Sequence[Asked]) -> list[Job]:
        """Keep new jobs; when this returns, no crash can lose them."""
        if not asked:
            return []
        with self._database.write() as connection:
            return [_insert(connection, one) for one in asked]

    def find(self, identity: str) -> Job | None:
        """A job; None where there is none."""
        with self._database.open() as connection:
            return _find(connection, identity)

    def list(
        self, limit: int, before: str | None = None, favourites: bool = False
    ) -> tuple[list[Job], bool]:
        """Jobs, the newest first, and whether there are more.

        Args:
            limit: How many.
            before: Only those accepted before this one.
            favourites: Only those with a favourite sound.
        """
        wanted, given = ["1"], []
        if before is not None:
            wanted.append("number < (SELECT number FROM jobs WHERE id = ?)")
            given.append(before)
        if favourites:
            wanted.append("id IN (SELECT job FROM sounds WHERE favourite)")
        with self._database.open() as connection:
            rows = connection.execute(
                f"SELECT id FROM jobs WHERE {' AND '.join(wanted)} ORDER BY number DESC LIMIT ?",
                (*given, limit + 1),
            ).fetchall()
            return _read(connection, rows[:limit]), len(rows) > limit

    def unfinished(self) -> list[Job]:
        """What was accepted and has not ended, the oldest first."""
        with self._database.open() as connection:
            rows = connection.execute(
                "SELECT id FROM jobs WHERE state IN ('waiting', 'running') ORDER BY number"
            ).fetchall()
            return _read(connection, rows)

    def begin(self, identities: Sequence[str]) -> set[str]:
        """Note that a worker takes jobs up; which of them have not ended meanwhile."""
        begun: set[str] = set()
        with self._database.write(durable=False) as connection:
            for identity in identities:
                changed = connection.execute(
                    "UPDATE jobs SET state = 'running', attempts = attempts + 1"
                    " WHERE id = ? AND state IN ('waiting', 'running')",
                    (identity,),
                )
                if changed.rowcount:
                    begun.add(identity)
        return begun

    def put_back(self, identities: Sequence[str]) -> None:
        """Note that jobs wait again."""
        with self._database.write(durable=False) as connection:
            connection.executemany(
                "UPDATE jobs SET state = 'waiting' WHERE id = ? AND state = 'running'",
                [(identity,) for identity in identities],
            )

    def forgive(self, identities: Sequence[str]) -> None:
        """Take an attempt back: it ended in order, though the job is not at its end."""
        if not identities:
            return
        with self._database.write(durable=False) as connection:
            connection.executemany(
                "UPDATE jobs SET attempts = attempts - 1"
                " WHERE id = ? AND state IN ('waiting', 'running')",
                [(identity,) for identity in identities],
            )

    def add_sound(
        self, identity: str, number: int, size: int, described: Mapping[str, Any]
    ) -> State | None:
        """Note that a sound's file is there; with its last sound the job is done.

        Returns:
            The job's state; None where it is gone.
        """
        with self._database.write(durable=False) as connection:
            connection.execute(
                "UPDATE sounds SET size = ?, described = ? WHERE job = ? AND number = ?",
                (size, json.dumps(described), identity, number),
            )
            connection.execute(
                "UPDATE jobs SET state = 'done', finished_at = ? WHERE id = ?"
                " AND state IN ('waiting', 'running')"
                " AND NOT EXISTS (SELECT 1 FROM sounds WHERE job = jobs.id AND described IS NULL)",
                (now(), identity),
            )
            row = connection.execute("SELECT state FROM jobs WHERE id = ?", (identity,)).fetchone()
        return None if row is None else row[0]

    def end(self, identity: str, state: State, problem: Problem | None = None) -> bool:
        """End a job that has not ended.

        Returns:
            Whether this call has ended it.
        """
        text = None if problem is None else problem.model_dump_json(exclude_none=True)
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = ?, problem = ?, finished_at = ?"
                " WHERE id = ? AND state IN ('waiting', 'running')",
                (state, text, now(), identity),
            )
            return changed.rowcount > 0

    def mark(self, identity: str, number: int, favourite: bool) -> bool:
        """Make a sound a favourite, or not; whether there is such a sound."""
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE sounds SET favourite = ? WHERE job = ? AND number = ?",
                (favourite, identity, number),
            )
            return changed.rowcount > 0

    def remove(self, identity: str) -> bool:
        """Forget a job and its sounds; whether there was one."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM sounds WHERE job = ?", (identity,))
            return connection.execute("DELETE FROM jobs WHERE id = ?", (identity,)).rowcount > 0

    def expire(self, days: float, most_bytes: int) -> list[str]:
        """Choose what is kept no longer: jobs too old, and the oldest of too many.

        A job with a favourite stays, and one with a sound that an unfinished job begins with. The
        files of the others are the caller's to remove.

        Args:
            days: How long results are kept.
            most_bytes: Of all results that are kept, favourites included.

        Returns:
            The ids of jobs that have expired by this call.
        """
        oldest = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="milliseconds")
        with self._database.write(durable=False) as connection:
            needed = {name.partition("/")[0] for name in _beginnings(connection)}
            rows = connection.execute(
                "SELECT jobs.id, jobs.finished_at, SUM(COALESCE(size, 0)), MAX(favourite)"
                " FROM jobs JOIN sounds ON sounds.job = jobs.id"
                " WHERE finished_at IS NOT NULL AND state != 'expired'"
                " GROUP BY jobs.id ORDER BY jobs.number"
            ).fetchall()
            held = sum(size for _, _, size, _ in rows)
            gone: list[str] = []
            for identity, finished, size, favourite in rows:
                if favourite or identity in needed:
                    continue
                if finished < oldest or (held > most_bytes and size):
                    gone.append(identity)
                    held -= size
            connection.executemany(
                "UPDATE jobs SET state = 'expired' WHERE id = ?", [(one,) for one in gone]
            )
        return gone

    def add_upload(self, facts: Mapping[str, Any], digest: str, size: int, identity: str) -> None:
        """Keep an upload whose file is there."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO uploads VALUES (?, ?, ?, ?, ?)",
                (identity, now(), json.dumps(facts), digest, size),
            )

    def find_upload(self, identity: str) -> Upload | None:
        """An upload; None where there is none."""
        with self._database.open() as connection:
            row = connection.execute(
                "SELECT id, facts, hash, size FROM uploads WHERE id = ?", (identity,)
            ).fetchone()
        return None if row is None else Upload(row[0], json.loads(row[1]), row[2], row[3])

    def expire_uploads(self, days: float, most_bytes: int) -> list[str]:
        """As `expire`, of uploads; those that an unfinished job begins with stay."""
        oldest = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="milliseconds")
        with self._database.write(durable=False) as connection:
            needed = _beginnings(connection)
            rows = connection.execute(
                "SELECT id, created_at, size FROM uploads ORDER BY created_at"
            ).fetchall()
            held = sum(size for _, _, size in rows)
            gone: list[str] = []
            for identity, created, size in rows:
                if identity not in needed and (created < oldest or held > most_bytes):
                    gone.append(identity)
                    held -= size
            connection.executemany("DELETE FROM uploads WHERE id = ?", [(one,) for one in gone])
        return gone

    def _unusable(self, detail: str) -> UserError:
        return UserError(
            f"{self.path} cannot be used: {detail}.",
            change="Bring back a copy of it with its -wal file, move it away to begin anew, or name"
            " another folder with --state.",
        )


def now() -> str:
    """The time of the server in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _beginnings(connection: sqlite3.Connection) -> set[str]:
    """What unfinished jobs begin with."""
    plans = connection.execute("SELECT plan FROM jobs WHERE state IN ('waiting', 'running')")
    found = (json.loads(plan)["beginning"] for (plan,) in plans)
    return {name for name in found if name is not None}


def _insert(connection: sqlite3.Connection, asked: Asked) -> Job:
    # What was written is told without reading it back: each statement lets all other threads of the
    # server go first.
    request, plan, items = asked
    identity, created = f"job-{secrets.token_hex(10)}", now()
    cursor = connection.execute(
        "INSERT INTO jobs (id, created_at, state, request, plan) VALUES (?, ?, ?, ?, ?)",
        (identity, created, "waiting", json.dumps(request), plan.model_dump_json()),
    )
    connection.executemany(
        "INSERT INTO sounds (job, number, prompt, seed) VALUES (?, ?, ?, ?)",
        [(identity, number, *item) for number, item in enumerate(items)],
    )
    assert cursor.lastrowid is not None, "a row was inserted"
    return Job(
        id=identity,
        order=cursor.lastrowid,
        created_at=created,
        state="waiting",
        request=dict(request),
        plan=plan,
        sounds=tuple(
            SoundEntry(number=number, prompt=prompt, seed=seed)
            for number, (prompt, seed) in enumerate(items)
        ),
    )


def _read(connection: sqlite3.Connection, rows: Sequence[tuple[str]]) -> list[Job]:
    """Those of these jobs that nobody has removed meanwhile."""
    found = (_find(connection, identity) for (identity,) in rows)
    return [job for job in found if job is not None]


def _find(connection: sqlite3.Connection, identity: str) -> Job | None:
    row = connection.execute(
        "SELECT number, created_at, finished_at, state, request, plan, problem, attempts"
        " FROM jobs WHERE id = ?",
        (identity,),
    ).fetchone()
    if row is None:
        return None
    number, created, finished, state, request, plan, problem, attempts = row
    sounds = connection.execute(
        "SELECT number, prompt, seed, size, described, favourite FROM sounds"
        " WHERE job = ? ORDER BY number",
        (identity,),
    ).fetchall()
    if not sounds:
        return None  # It was removed this moment.
    return Job(
        id=identity,
        order=number,
        created_at=created,
        finished_at=finished,
        state=state,
        request=json.loads(request),
        plan=Plan.model_validate_json(plan),
        problem=None if problem is None else Problem.model_validate_json(problem),
        attempts=attempts,
        sounds=tuple(
            SoundEntry(
                number=number,
                prompt=prompt,
                seed=seed,
                done=described is not None,
                size=size,
                described=None if described is None else json.loads(described),
                favourite=bool(favourite),
            )
            for number, prompt, seed, size, described, favourite in sounds
        ),
    )
