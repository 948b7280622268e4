"""SQLite files: a write is whole or was not, whoever else writes."""

import sqlite3
import threading
from contextlib import suppress

import pytest

from soundwright.core.databases import Database, run_script


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "facts.sqlite")
    with database.write() as connection:
        run_script(connection, "CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER);")
    return database


def read(database):
    with database.open() as connection:
        return dict(connection.execute("SELECT name, value FROM facts ORDER BY name").fetchall())


def test_a_write_is_there_for_whoever_reads_later(database):
    with database.write() as connection:
        connection.execute("INSERT INTO facts VALUES ('a', 1)")
    assert read(Database(database.path)) == {"a": 1}
    with database.open() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert database.check() == "ok"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_a_write_that_fails_was_not(database, error):
    def fail():
        with database.write() as connection:
            connection.execute("INSERT INTO facts VALUES ('a', 1)")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert read(database) == {}
    with database.write() as connection:
        connection.execute("INSERT INTO facts VALUES ('b', 2)")
    assert read(database) == {"b": 2}


def test_nobody_sees_half_a_write(database):
    with database.write() as connection:
        connection.execute("INSERT INTO facts VALUES ('a', 1)")
        assert read(database) == {}
        connection.execute("INSERT INTO facts VALUES ('b', 2)")
    assert read(database) == {"a": 1, "b": 2}


def test_writers_wait_for_each_other_and_lose_nothing(database):
    with database.write() as connection:
        connection.execute("INSERT INTO facts VALUES ('sum', 0)")

    def work():
        for _ in range(20):
            with database.write() as connection:
                [value] = connection.execute("SELECT value FROM facts").fetchone()
                connection.execute("UPDATE facts SET value = ?", (value + 1,))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(database) == {"sum": 80}


def test_damage_is_found(database):
    with database.write() as connection:
        connection.executemany(
            "INSERT INTO facts VALUES (?, ?)", [(f"name {number}", number) for number in range(999)]
        )
    content = bytearray(database.path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    database.path.write_bytes(content)
    assert database.check() != "ok"


def test_a_script_is_one_transaction_and_may_span_lines(database):
    script = """
    CREATE TABLE more (
        text TEXT);  -- a comment
    INSERT INTO more VALUES ('one; two');
    """

    def fail():
        with database.write() as connection:
            run_script(connection, script)
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    with database.open() as connection, pytest.raises(sqlite3.OperationalError, match="no such"):
        connection.execute("SELECT * FROM more")
    with database.write() as connection:
        run_script(connection, script)
    with database.open() as connection:
        assert connection.execute("SELECT text FROM more").fetchall() == [("one; two",)]


@pytest.fixture
def standing(tmp_path):
    database = Database(tmp_path / "some.sqlite", standing=True)
    with database.write() as connection:
        connection.execute("CREATE TABLE facts (number INTEGER UNIQUE)")
    yield database
    database.close()


def numbers(database):
    with database.open() as connection:
        return {number for (number,) in connection.execute("SELECT number FROM facts")}


def test_writes_that_meet_are_all_there_when_they_return(standing):
    seen = []

    def write(first):
        for number in range(first, first + 25):
            with standing.write() as connection:
                connection.execute("INSERT INTO facts VALUES (?)", (number,))
            seen.append(number in numbers(standing))

    threads = [threading.Thread(target=write, args=(100 * one,)) for one in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 200
    assert len(numbers(standing)) == 200


def test_a_write_that_fails_takes_none_of_its_company_along(standing):
    inside, go_on = threading.Event(), threading.Event()

    def hold():
        with standing.write() as connection:
            inside.set()
            go_on.wait(30)
            connection.execute("INSERT INTO facts VALUES (1)")

    def fail():
        with suppress(RuntimeError), standing.write() as connection:
            connection.execute("INSERT INTO facts VALUES (2)")
            raise RuntimeError

    def follow():
        with standing.write() as connection:
            connection.execute("INSERT INTO facts VALUES (3)")

    threads = [threading.Thread(target=one) for one in (hold, fail, follow)]
    for thread in threads:
        thread.start()
        inside.wait(30)
    go_on.set()
    for thread in threads:
        thread.join()
    assert numbers(standing) == {1, 3}


def test_a_disk_that_is_full_is_told_to_everybody_in_the_transaction(standing):
    told = []
    inside, go_on = threading.Event(), threading.Event()
    with standing.write() as connection:
        connection.execute("PRAGMA max_page_count = 3")

    def write(number, text, wait):
        try:
            with standing.write() as connection:
                connection.execute("INSERT INTO facts VALUES (?)", (number,))
                if wait:
                    inside.set()
                    go_on.wait(30)
                connection.execute("CREATE TABLE more AS SELECT ? AS text", (text,))
                connection.execute("DROP TABLE more")
        except sqlite3.Error:
            told.append(number)

    first = threading.Thread(target=write, args=(1, "", True))
    second = threading.Thread(target=write, args=(2, "x" * 100_000, False))
    first.start()
    inside.wait(30)
    second.start()
    go_on.set()
    first.join()
    second.join()
    # What nobody was told of is there; what is gone was told.
    assert numbers(standing) == {1, 2} - set(told)
    assert 2 in told
    with standing.write() as connection:
        connection.execute("INSERT INTO facts VALUES (4)")
    assert 4 in numbers(standing)
