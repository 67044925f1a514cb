"""Real databases, and a server process that never outlives its test process."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import signal
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import psutil
import psycopg
import pytest

from steprig.workflows import AsyncWorkflowFixtures, AsyncWorkflowTestCase

from ..waiting import until

SCHEMA = "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'tea')"


def run(coroutine):
    return asyncio.run(coroutine)


def databases(connection_string):
    with psycopg.connect(connection_string) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


def test_a_database_is_the_tests_own_and_of_its_user():
    async def main():
        db = await AsyncWorkflowFixtures.create_test_database(
            engine="postgresql", database="test_db", user="test_user", password="test_pass"
        )
        other = await AsyncWorkflowFixtures.create_test_database(database="test_db", user="test_user")
        assert db.database.startswith("test_db")
        assert db.database != other.database
        async with await psycopg.AsyncConnection.connect(db.connection_string) as connection:
            await connection.execute("CREATE TABLE items (id int)")
            row = await (await connection.execute("SELECT current_user, current_database()")).fetchone()
        assert row == ("test_user", db.database)
        async with await psycopg.AsyncConnection.connect(other.connection_string) as connection:
            with pytest.raises(psycopg.errors.UndefinedTable):
                await connection.execute("SELECT * FROM items")
        await db.cleanup()
        await db.cleanup()
        assert db.database not in databases(other.connection_string)
        await other.cleanup()

    run(main())


def test_a_schema_is_run_once_and_each_clone_begins_with_it():
    async def main():
        clones = [await AsyncWorkflowFixtures.create_test_database(schema=SCHEMA) for _ in range(2)]
        for clone in clones:
            with psycopg.connect(clone.connection_string) as connection:
                assert connection.execute("SELECT name FROM items").fetchall() == [("tea",)]
                connection.execute("UPDATE items SET name = 'coffee'")
        templates = [name for name in databases(clones[0].connection_string) if name.startswith("template_")]
        await clones[0].cleanup()
        again = await AsyncWorkflowFixtures.create_test_database(schema=SCHEMA)
        assert [name for name in databases(again.connection_string) if name.startswith("template_")] == templates
        for each in (clones[1], again):
            await each.cleanup()

    run(main())


def test_a_schema_that_is_wrong_leaves_nothing():
    async def main():
        db = await AsyncWorkflowFixtures.create_test_database()
        before = databases(db.connection_string)
        with pytest.raises(psycopg.errors.SyntaxError):
            await AsyncWorkflowFixtures.create_test_database(schema="CREATE TABEL items")
        assert databases(db.connection_string) == before
        await db.cleanup()

    run(main())


def test_many_databases_are_made_at_once_and_dropped_with_connections_open():
    async def main():
        clones = await asyncio.gather(*(AsyncWorkflowFixtures.create_test_database(schema=SCHEMA) for _ in range(6)))
        connection = await psycopg.AsyncConnection.connect(clones[0].connection_string)
        await asyncio.gather(*(each.cleanup() for each in clones))
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT 1")
        await connection.close()

    run(main())


def test_a_password_that_changes_is_the_one_that_is_set():
    async def main():
        first = await AsyncWorkflowFixtures.create_test_database(user="changing", password="one")
        second = await AsyncWorkflowFixtures.create_test_database(user="changing", password="two")
        again = await AsyncWorkflowFixtures.create_test_database(user="changing", password="two")
        with psycopg.connect(first.connection_string.replace("changing:one@", "postgres@")) as connection:
            (stored,) = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'changing'").fetchone()
        for each in (first, second, again):
            await each.cleanup()
        return stored

    assert is_password(run(main()), "two")


def is_password(stored, password):
    """RFC 5803: what PostgreSQL keeps of a password."""
    (iterations, salt), keys = stored.removeprefix("SCRAM-SHA-256$").partition("$")[0].split(":"), stored.split("$")[2]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    key = hmac.digest(salted, b"Server Key", "sha256")
    return base64.b64decode(keys.partition(":")[2]) == key


def test_its_files_are_in_memory_where_there_is_plenty_and_else_where_temporary_files_are(monkeypatch, tmp_path):
    from steprig.workflows import postgres_server

    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(postgres_server, "_MEMORY", tmp_path)
    monkeypatch.setattr(postgres_server, "_ENOUGH", 1)
    assert postgres_server._place() == tmp_path
    monkeypatch.setattr(postgres_server, "_ENOUGH", 1 << 60)
    assert postgres_server._place() is None
    monkeypatch.setattr(postgres_server, "_ENOUGH", 1)
    monkeypatch.setattr(postgres_server, "_MEMORY", tmp_path / "none")
    assert postgres_server._place() is None
    monkeypatch.setattr(postgres_server, "_MEMORY", tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert postgres_server._place() is None


def test_a_forked_process_leaves_the_servers_connections_alone():
    async def make():
        db = await AsyncWorkflowFixtures.create_test_database()
        await db.cleanup()

    run(make())
    from steprig.workflows import postgres

    databases_here = postgres.embedded()
    (idle, *_) = databases_here._idle
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, that a child of threads may hang
        child = os.fork()
    if child == 0:
        databases_here.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert idle.execute("SELECT 1").fetchone() == (1,)
    run(make())


def test_what_the_schema_makes_is_the_users():
    async def main():
        db = await AsyncWorkflowFixtures.create_test_database(schema=SCHEMA, user="owner", password="of it")
        with psycopg.connect(db.connection_string) as connection:
            assert connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'items'").fetchall() == [
                ("owner",)
            ]
        await db.cleanup()

    run(main())


@pytest.mark.parametrize(
    ("version", "is_own", "strategy"),
    [(180_000, True, "STRATEGY file_copy"), (150_000, False, "STRATEGY wal_log"), (140_012, True, "")],
)
def test_a_server_before_postgresql_15_is_not_told_how_to_clone(version, is_own, strategy):
    from steprig.workflows.postgres import _strategy

    assert _strategy(version, is_own=is_own) == strategy


def test_names_and_passwords_need_no_care():
    async def main():
        db = await AsyncWorkflowFixtures.create_test_database(
            database='odd "näme/' * 9, user="who@ever", password="a:b/c@'d"
        )
        with psycopg.connect(db.connection_string) as connection:
            assert connection.execute("SELECT current_user, current_database()").fetchone() == ("who@ever", db.database)
        await db.cleanup()

    run(main())


@pytest.mark.parametrize("by", ["argument", "DATABASE_URL", "argument and PGUSER"])
def test_a_server_elsewhere_is_used_by_its_url_and_left_as_it_was(by, monkeypatch):
    async def main():
        own = await AsyncWorkflowFixtures.create_test_database()
        address = own.connection_string.replace("test:test@", "postgres@")
        before = databases(address)
        url = None if by == "DATABASE_URL" else address
        if by == "DATABASE_URL":
            monkeypatch.setenv("DATABASE_URL", address)
        if by == "argument and PGUSER":
            monkeypatch.setenv("PGUSER", "postgres")
            url = address.replace("postgres@", "")
        db = await AsyncWorkflowFixtures.create_test_database(database="there", schema=SCHEMA, url=url)
        assert db.user == "postgres"
        with psycopg.connect(db.connection_string) as connection:
            assert connection.execute("SELECT name FROM items").fetchall() == [("tea",)]
        await db.cleanup()
        assert databases(address) == before
        monkeypatch.delenv("DATABASE_URL", raising=False)
        await own.cleanup()

    run(main())


def test_a_database_is_a_resource_that_ends_with_its_test():
    class Case(AsyncWorkflowTestCase):
        pass

    async def main():
        async with Case() as test:
            db = await test.create_test_resource("db", AsyncWorkflowFixtures.create_test_database)
            assert db.database in databases(db.connection_string)
        left = await AsyncWorkflowFixtures.create_test_database()
        assert db.database not in databases(left.connection_string)
        await left.cleanup()

    run(main())


def test_sqlite_is_a_file_that_goes():
    async def main():
        db = await AsyncWorkflowFixtures.create_test_database("sqlite", database="shop", schema=SCHEMA)
        path = db.connection_string.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT name FROM items").fetchall() == [("tea",)]
        await db.cleanup()
        await db.cleanup()
        return Path(path)

    assert not run(main()).parent.exists()


PROGRAM = """
import asyncio, sys
from steprig.workflows import AsyncWorkflowFixtures
db = asyncio.run(AsyncWorkflowFixtures.create_test_database())
print(db.host, flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["by itself", "by SIGTERM", "by SIGKILL"])
def test_the_server_ends_with_its_process_however_that_ends(end):
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    with process:
        data = Path(process.stdout.readline().strip())
        server = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
        assert server.is_running()
        if end == "by itself":
            process.stdin.write("\n")
        else:
            process.send_signal(signal.SIGTERM if end == "by SIGTERM" else signal.SIGKILL)
        process.stdin.close()
        process.wait(60)
    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, "the server goes on")
    until(lambda: not data.parent.exists(), "its files are still there")
