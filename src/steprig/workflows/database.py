"""Databases for tests, each on a real engine and each gone after its test."""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree


@dataclass
class DatabaseFixture:
    """A database of one test's own."""

    connection_string: str
    host: str
    port: int
    database: str
    """Its whole name, or the path of its file."""
    user: str
    password: str
    drop: Callable[[], None] = field(repr=False)
    container: object = None
    """Always None: kept for those who know the field from elsewhere."""

    async def cleanup(self) -> None:
        """Drop it, even with connections open. Idempotent."""
        drop, self.drop = self.drop, _nothing
        await asyncio.to_thread(drop)


async def create_database(
    engine: str, database: str, user: str, password: str, schema: str | None, url: str | None
) -> DatabaseFixture:
    """See `AsyncWorkflowFixtures.create_test_database`."""
    if engine == "sqlite":
        return await asyncio.to_thread(_create_sqlite, database, user, password, schema)
    if engine != "postgresql":
        raise ValueError(f"there is no database engine {engine!r}; known: 'postgresql', 'sqlite'")
    return await asyncio.to_thread(_create_postgresql, database, user, password, schema, url)


def _create_sqlite(database: str, user: str, password: str, schema: str | None) -> DatabaseFixture:
    folder = Path(tempfile.mkdtemp(prefix="steprig-sqlite-"))
    path = folder / f"{Path(database).name}.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(schema or "")
    return DatabaseFixture(f"sqlite:///{path}", "", 0, str(path), user, password, lambda: rmtree(folder))


def _create_postgresql(database: str, user: str, password: str, schema: str | None, url: str | None) -> DatabaseFixture:
    from steprig.workflows.postgres import PostgresDatabases, embedded

    address = url or _address_of_environment()
    server = embedded() if address is None else PostgresDatabases(address)
    return server.create(database, user, password, schema)


def _address_of_environment() -> str | None:
    address = os.environ.get("DATABASE_URL", "")
    return address if address.startswith(("postgresql://", "postgres://")) else None


def _nothing() -> None:
    pass
